"""What a recipe says of a network: a part of the table or a preset, and how it is changed.

Beside the network's own settings it may say `inputs` (the image channels that it sees), `width` (a share of every
width) and, of a student, `like` (a teacher's topology) or `budget` (the widest that fits).
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.networks.width import at_width, parse_share
from segdistill.parts import class_of, complete, schema, unknown
from segdistill.sections.section import Settings, section
from segdistill.sections.student import BudgetSection
from segdistill.sections.teacher import TeacherSection

CHANGES = ("inputs", "width", "budget")
"""Words beside a network's own settings."""


def own_settings(spec: Mapping[str, Any]) -> Settings:
    """A network's part without the words that change it."""
    return {key: value for key, value in spec.items() if key not in CHANGES}


def complete_network(spec: Any, place: str, *, student: bool = False) -> Settings:
    """Check a network's part and fill in its defaults; a student may have a budget.

    `{preset: NAME}` stays as it is until the data tell 2-D from 3-D; so do `python`, `inputs` and `budget`. `width` is
    worked into the settings, of a preset later.

    Raises:
        SegdistillError: unknown words, values out of range, or words that exclude each other; with the place.
    """
    from segdistill.networks import NETWORKS, PRESETS

    if not isinstance(spec, Mapping):
        return complete(NETWORKS, spec, place)
    spec = {key: value for key, value in spec.items() if key not in CHANGES or value is not None}
    if "width" in spec and "budget" in spec:
        raise SegdistillError(f"{place}: give `width` or `budget`, which finds the width, not both")
    if "budget" in spec and not student:
        raise SegdistillError(f"{place}.budget: is for the student; leave it out")
    kept = {key: _checked_change(key, spec[key], place) for key in CHANGES if key in spec}
    own = own_settings(spec)
    if "preset" in own:
        name = str(own["preset"])
        if name not in PRESETS:
            raise SegdistillError(f"{place}.preset: {unknown(name, PRESETS)}")
        if "type" in own:
            raise SegdistillError(
                f"{place}: give `type` or `preset`, not both; preset {name} has its own type"
            )
        changed = {key: value for key, value in own.items() if key != "preset"}
        preset = PRESETS[name]
        settings = complete(NETWORKS, {**preset.expand(max(preset.settings)), **changed}, place)
        _must_scale(settings["type"], kept, place)
        return own | kept
    if own.get("type") == "python":
        if "width" in kept or "budget" in kept:
            raise SegdistillError(f"{place}: the width of a network of your own is yours to change")
        return own | kept
    _see_words(own, place)
    settings = complete(NETWORKS, own, place)
    _must_scale(settings["type"], kept, place)
    share = kept.pop("width", None)
    return (settings if share is None else scaled(settings, share, place)) | kept


def scaled(settings: Mapping[str, Any], share: object, place: str) -> Settings:
    """Complete settings at a share of the width, checked again."""
    from segdistill.networks import NETWORKS

    try:
        exact = share if isinstance(share, Fraction) else parse_share(share)
        found = at_width(settings, NETWORKS[settings["type"]].widths, exact)
    except ValueError as error:
        raise SegdistillError(f"{place}.width: {settings['type']}: {error}") from None
    return complete(NETWORKS, found, place)


def like_a_teacher(spec: Mapping[str, Any], teachers: Mapping[str, TeacherSection]) -> Settings:
    """`{like: NAME, ...}` as the part of that teacher's network, changed by whatever else is said.

    `teacher` means the only teacher, whatever its name. A budget then goes up to the teacher's own width.

    Raises:
        SegdistillError: no such teacher, or its network is not known yet.
    """
    name = str(spec["like"])
    if name not in teachers and name == "teacher" and len(teachers) == 1:
        name = next(iter(teachers))
    if "type" in spec or "preset" in spec:
        raise SegdistillError("student: give `like`, or `type` or `preset`, not both")
    if name not in teachers:
        raise SegdistillError(f"student.like: {unknown(name, teachers)}; it names a teacher of the recipe")
    part = {key: value for key, value in _network_of(name, teachers[name]).items() if key != "inputs"}
    changed = {key: value for key, value in spec.items() if key != "like"}
    # Only of a preset, which stays one until the data are known, is the width still there.
    if "width" in part and changed.get("width") is not None:
        changed["width"] = str(parse_share(part["width"]) * parse_share(changed["width"]))
    if isinstance(changed.get("budget"), Mapping):
        if "width" in part:
            raise SegdistillError(
                f"student.budget: teacher {name} is a preset at another width; write its network and settings instead"
            )
        changed["budget"] = {"widest": 1, **changed["budget"]}
    return part | changed


def _network_of(name: str, teacher: TeacherSection) -> Mapping[str, Any]:
    """What is known of a teacher's network: that of its finished run, or the one that it will be trained with.

    The channels that it sees are its own.
    """
    from segdistill.model import architecture
    from segdistill.run import Run

    run = None if teacher.run is None else Run(Path(teacher.run))
    begun = run is not None and run.file("run.json").is_file() and "architecture" in run.info
    if run is not None and begun and (run.finished or teacher.network is None):
        part: Mapping[str, Any] = architecture(run)["part"]
        if part["type"] == "python":
            raise SegdistillError(
                f"student.like: teacher {name} is a network of your own ({part['class']}); give a narrower one in "
                "Python, segdistill.distill(recipe, out, student=...)"
            )
        return own_settings(part)
    if teacher.network is not None:
        return teacher.network
    raise SegdistillError(
        f"student.like: teacher {name} has no network yet; name its run by teachers.{name}.run, or how to train it by "
        f"teachers.{name}.network"
    )


def _see_words(own: Mapping[str, Any], place: str) -> None:
    """Raise for a setting that the network has not, and that looks like one of the words beside its settings."""
    from segdistill.networks import NETWORKS

    kind = own.get("type")
    known: Any = schema(class_of(NETWORKS[kind])).model_fields if kind in NETWORKS else None
    for key in own.keys() - {"type"} if known is not None else ():
        near = get_close_matches(key, (*CHANGES, "like"), n=1)
        if key not in known and near:
            raise SegdistillError(f"{place}: {key!r} is unknown; did you mean {near[0]!r}?")


def _checked_change(key: str, value: Any, place: str) -> Any:
    if key == "inputs":
        return _inputs(value, place)
    if key == "budget":
        return section(BudgetSection, value, f"{place}.budget").model_dump(exclude_none=True)
    try:
        return str(parse_share(value))
    except ValueError as error:
        raise SegdistillError(f"{place}.width: {error}") from None


def _inputs(names: Any, place: str) -> list[str]:
    if not isinstance(names, list | tuple) or not names or not all(isinstance(n, str) for n in names):
        raise SegdistillError(
            f"{place}.inputs: expected names of image channels, [CT] or [CT, PET], got {names!r}"
        )
    if len(set(names)) < len(names):
        raise SegdistillError(f"{place}.inputs: a channel stands there twice: {', '.join(names)}")
    return list(names)


def _must_scale(network: str, kept: Mapping[str, Any], place: str) -> None:
    from segdistill.networks import NETWORKS

    asked = next((key for key in ("width", "budget") if key in kept), None)
    if asked is not None and not NETWORKS[network].widths:
        able = [name for name, row in NETWORKS.items() if row.widths]
        raise SegdistillError(
            f"{place}.{asked}: {network} has one width only; these have others: {', '.join(able)}"
        )
