"""Who teaches whom in a recipe, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segdistill.recipe import Recipe
from segdistill.reference.markdown import code
from segdistill.reference.settings import in_a_line
from segdistill.sections.teacher import TeacherSection
from segdistill.sections.train import PhaseSection


def roles(recipe: Recipe, raw: Mapping[str, Any]) -> list[str]:
    """Lines on student, teachers and phases, and on what the published code does otherwise.

    Args:
        raw: the recipe as its file writes it.
    """
    told = [f"Student: {_network(raw['student'])}"] if "student" in raw else []
    for name, section in recipe.teachers.items():
        told.append(f"Teacher `{name}`: {_teacher(section, raw['teachers'][name].get('network'))}")
    if "combine" in raw:
        kind = recipe.combine["type"]
        told.append(f"Teachers are combined by [{kind}](parts.md#combine-{kind})")
    total = sum(phase.share for phase in recipe.phases)
    told += [f"Phase `{phase.name}`: {_phase(phase, total)}" for phase in recipe.phases]
    if "code" in raw:
        changed = ", ".join(f"`{place}`" for place in _places(raw["code"]))
        told.append(f"`parity=code` follows the published code, which differs in {changed}")
    return told


def _network(spec: Any) -> str:
    """A network as the recipe writes it, with a link."""
    spec = {"type": spec} if isinstance(spec, str) else spec
    name = spec.get("preset") or spec["type"]
    return f"[{name}](networks.md#{name}), {code(in_a_line(spec))}"


def _teacher(section: TeacherSection, network: Any) -> str:
    """What a teacher is, and the network that the recipe gives it."""
    if section.peer is not None:
        words = "a peer, trained beside the student"
        words += f", for site `{section.peer.site}`" if section.peer.site else ""
    elif section.average is not None:
        words = f"the moving average of the student's weights, momentum {section.average.momentum:g}"
    else:
        words = f"a run, by default `{section.run}`" if section.run else "a run or a network of your own"
    if network is not None:
        words += f"; its network is {_network(network)}"
        words += ", trained first where the run does not exist yet" if section.frozen else ""
    words += "; it sees another view of the image" if section.view is not None else ""
    return words + ("" if section.weight == 1 else f"; weight {section.weight:g}")


def _phase(phase: PhaseSection, total: float) -> str:
    """How long a phase lasts, and what acts in it."""
    if phase.terms is None:
        acting = "all terms"
    else:
        acting = ", ".join(code(name) for name in phase.terms) or "no term"
    words = [f"{phase.share / total:.0%} of the epochs", acting]
    words += [f"segmentation x {phase.segmentation:g}"] if phase.segmentation != 1 else []
    words += [] if phase.student else ["the student does not learn"]
    words += [] if phase.reconstruction else ["projectors do not learn by losses of their own"]
    return ", ".join(words)


def _places(data: Mapping[str, Any], depth: int = 2) -> list[str]:
    """The paths of what a section changes, two steps deep."""
    found = []
    for key, value in data.items():
        if depth > 1 and isinstance(value, Mapping) and "type" not in value:
            found += [f"{key}.{below}" for below in _places(value, depth - 1)]
        else:
            found.append(key)
    return found
