"""What a recipe adds up, and the formula of each of its terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segdistill.losses import LOSSES
from segdistill.parts import schema
from segdistill.recipe import Recipe
from segdistill.reference.markdown import bullets, code, prose
from segdistill.reference.settings import in_a_line
from segdistill.sections.objective import Stages, TermSection

CHANGED: dict[tuple[str, str, str | bool], str] = {
    **{
        (loss, "direction", "reverse"): "p and q exchanged"
        for loss in ("kl", "bernoulli", "band_kl", "signed_distance_kl")
    },
    ("kl", "reduction", "pairs"): "times 2 / C",
    ("attention_similarity", "norm", "l1_channel"): "||.||_1 over the channels of each voxel",
    ("attention_similarity", "norm", "l1_space"): "||.||_1 over the voxels of each channel",
    ("attention_similarity", "norm", "at_l2"): "v / ||v||_2 in place of f / ||f||_1, v_n = mean_c |f_cn|^2",
    ("coordinate", "channels", True): "v_cx = mean_(n at x) |f_cn|^power, one value a channel",
    (
        "texture",
        "directional",
        True,
    ): "d_l are the differences of a_l - up(a_(l+1)) along each axis, of unit length",
    ("self_training", "centre", False): "q = softmax(mean_n t / T_t)",
    ("affinity", "pooling", "average"): "the pool is the average, not the largest value",
}
"""(loss, setting, choice): what it changes in the formula of the table, which is that of the defaults."""


def equation(recipe: Recipe) -> str:
    """The sum that a recipe minimises: `weight x loss(student stage, teacher stage)`, a line each."""
    supervised = recipe.segmentation
    anyone = "each teacher" if len(recipe.teachers) > 1 else "teacher"
    parts = [f"{supervised.weight:g} x {supervised.loss['type']}(student logits, label)"]
    for term in recipe.terms.values():
        for own, other in term.stage_pairs():
            who = "student" if term.teacher_is else " and ".join(term.teachers or [anyone])
            call = f"{term.loss['type']}(student {_stages(own)}, {who} {_stages(other)})"
            parts.append(f"{_weight(term)} x {call}")
    if recipe.critic is not None:
        parts.append(f"{recipe.critic.weight:g} x critic(student logits, teacher logits)")
    return "total = " + "\n      + ".join(parts)


def _stages(stages: Stages) -> str:
    return stages if isinstance(stages, str) else f"[{' + '.join(stages)}]"


def _weight(term: TermSection) -> str:
    return f"{term.weight['type']}(epoch)" if isinstance(term.weight, Mapping) else f"{term.weight:g}"


def terms(recipe: Recipe, raw: Mapping[str, Any]) -> str:
    """Of each term: formula and source of its loss, the settings that the recipe gives, and what it costs.

    Args:
        raw: the recipe as its file writes it.
    """
    kind = recipe.segmentation.loss["type"]
    told = [f"supervised: [{kind}](losses.md#{kind}) {_given(raw.get('segmentation', {}).get('loss'))}"]
    for name, term in recipe.terms.items():
        kind = term.loss["type"]
        row = LOSSES[kind]
        formula = f"{code(row.formula)} {_given(raw['terms'][name]['loss'])}"
        lines = [
            f"`{name}`: [{kind}](losses.md#{kind})",
            f"formula: {'; '.join([formula, *_changes(term.loss)])}",
            f"source: {prose(row.reference)}",
            *_options(term),
            f"memory: {code(row.memory)}",
        ]
        told.append("\n  - ".join(lines))
    return bullets(told)


def _given(loss: Any) -> str:
    """The settings that a recipe gives a loss."""
    spec = loss if isinstance(loss, Mapping) else {}
    settings = {key: value for key, value in spec.items() if key != "type"}
    return f"with {code(in_a_line(settings))}" if settings else "with its defaults"


def _changes(loss: Mapping[str, Any]) -> list[str]:
    """What choices other than the defaults change in the formula of a loss; `loss` has every setting."""
    kind = loss["type"]
    defaults = {"type": kind, **schema(LOSSES[kind].part)().model_dump()}
    told = []
    for name, value in loss.items():
        if isinstance(value, str | bool) and value != defaults[name]:
            words = CHANGED.get((kind, name, value), "changes it; see its settings")
            told.append(f"{value if isinstance(value, str) else name}: {prose(words)}")
    return told


def _options(term: TermSection) -> list[str]:
    """What else a term says of how its maps are compared."""
    parts = {"weight": term.weight, "where": term.where, "projector": term.projector}
    told = [
        f"{word}: [{part['type']}](parts.md#{word}-{part['type']}), {code(in_a_line(part))}"
        for word, part in parts.items()
        if isinstance(part, Mapping)
    ]
    resized = "the student's map is brought to the size of the teacher's"
    return [*told, resized] if term.resize == "student" else told
