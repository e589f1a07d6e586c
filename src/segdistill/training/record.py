"""What a run writes down before its first step, and what has to be as it was where a run is gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segdistill.atomic import write_text
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.model import describe
from segdistill.run import Run
from segdistill.teachers.teacher import Group, Teacher
from segdistill.training.budget import tell
from segdistill.training.knowledge import Knowledge
from segdistill.training.prepare import Prepared


def must_be_the_same(run: Run, data: Prepared) -> None:
    """Raise where a run that is gone on with was begun on other images or splits."""
    begun = run.info.get("dataset")
    same_store = begun is None or begun.get("store", data.store.fingerprint) == data.store.fingerprint
    if begun and (begun["fingerprint"] != data.fingerprint or not same_store or run.splits != data.splits):
        raise SegdistillError(
            f"{run.path} was begun on other images or splits than {data.dataset.path} gives now; bring those back, or "
            "begin anew with --overwrite or another --out"
        )


def must_answer_the_same(run: Run, knowledge: Knowledge) -> None:
    """Raise where a run that is gone on with was begun with other answers of its teachers: it would mix two runs."""
    for name, begun in (run.info.get("knowledge") or {}).items():
        before = Path(begun["cached"]).name.rpartition("-")[2] if isinstance(begun, Mapping) else "online"
        entry = knowledge.entries.get(name)
        now = "online" if entry is None else entry.path.name.rpartition("-")[2]
        if before == now:
            continue
        how = {True: "answer in every step", False: "answer from the cache"}
        told = (
            "its teacher, or how it is asked, has changed since"
            if "online" not in (before, now)
            else f"teachers.{name} would now {how[now == 'online']}, where it began to {how[before == 'online']}"
        )
        raise SegdistillError(
            f"{run.path} cannot be gone on with: {told} (teachers.{name}; {'; '.join(knowledge.notes)}); bring back "
            "what was there, or begin anew with --overwrite or another --out"
        )


def record(
    run: Run,
    data: Prepared,
    distiller: Distiller,
    asked: Mapping[str, Any],
    knowledge: Knowledge,
    known: Mapping[str, Teacher],
) -> None:
    """Write down what was decided, before the first step.

    Args:
        asked: the recipe's student, before it was settled.
        known: the teachers as they were found, before they were asked.
    """
    weighed = None if data.budget is None else [asdict(row) for row in data.budget.weighed]
    write_text(run.file("plan.json"), data.plan.seen_by(data.inputs).to_json())
    data.splits.save(run.file("splits.json"))
    part = data.recipe.student
    run.update(
        dataset={
            "name": data.dataset.name,
            "fingerprint": data.fingerprint,
            "store": data.store.fingerprint,
        },
        network=part["type"],
        architecture=describe(distiller.student, part, data.facts),
        teachers={
            name: source_of(teacher) for name, teacher in distiller.teachers.items() if not teacher.learns
        },
        groups={
            name: group_of(teacher.whole_cases)
            for name, teacher in known.items()
            if isinstance(teacher.whole_cases, Group)
        },
        sites=data.training_sites,
        learning={name: kind_of(teacher) for name, teacher in distiller.teachers.items() if teacher.learns},
        knowledge={
            name: {"cached": str(knowledge.entries[name].path)} if name in knowledge.entries else "online"
            for name, teacher in distiller.teachers.items()
            if not teacher.learns
        },
        taught_on=taught_on(known, data),
        status="training",
        **({} if weighed is None else {"budget": {"asked": dict(asked), "weighed": weighed}}),
    )
    if run.events():
        run.log("note", message="resumed")
        return
    if data.budget is not None:
        tell(data.budget, run)
    if len(data.training_sites) == 1:
        run.warn(
            f"data.sites finds one site in the names of the training cases ({data.training_sites[0]}), so nothing is "
            "learned between sites; say by data.sites where the site stands in a name"
        )
    for text in knowledge.notes:
        run.note(text)
    for row in distiller.pairing:
        run.log("pair", **row)
        own, other = f"{row['student_map']} of the student", f"{row['teacher_map']} of {row['teacher']}"
        if row["resized"]:
            which, to = (own, other) if row["resized"] == "student" else (other, own)
            run.note(f"terms.{row['term']}: {which} is resized to {to}")
    patch = data.facts.image_size
    small = [id for id in data.splits.train if exceeds(patch, data, id)]
    if small:
        run.note(f"{len(small)} training images are smaller than the patches {list(patch)}: padded with 0")
    for name, teacher in distiller.teachers.items():
        seen = set(teacher.trained_on) & set(data.splits.test)
        if seen:
            more = ", ..." if len(seen) > 3 else ""
            run.warn(
                f"teachers.{name} was trained on {len(seen)} of this run's test cases "
                f"({', '.join(sorted(seen)[:3])}{more}): what the student scores on them is no evidence; "
                "use the same data.splits for both, or test on cases that it has not seen (data.splits.test)"
            )


def taught_on(teachers: Mapping[str, Teacher], data: Prepared) -> dict[str, list[str]]:
    """By teacher, the cases of these data that it has learnt from, as far as is known.

    Left out is a teacher that tells nothing, or names none of these cases: it may have had them under other names.
    """
    here = {case.id for case in data.dataset.cases}
    return {name: found for name, each in teachers.items() if (found := sorted(here & set(each.trained_on)))}


def exceeds(patch: Sequence[int], data: Prepared, case: str) -> bool:
    """Whether a patch is larger than an image along any axis that the network sees."""
    shape = data.store.case(case).image.shape[1:]
    seen = [n for axis, n in enumerate(shape) if data.slices is None or axis != data.slices.axis]
    return any(n < side for n, side in zip(seen, patch, strict=True))


def kind_of(teacher: Teacher) -> dict[str, Any]:
    """What a teacher is that learns meanwhile and has no folder."""
    kind = "peer" if teacher.peer is not None else "moving average of the student"
    size = sum(p.numel() for p in teacher.module.parameters())
    return {"kind": kind, "network": type(teacher.module).__name__, "parameters": size}


def group_of(group: Group) -> dict[str, Any]:
    """Where the models of a teacher lie that is several, and which of them teach a case."""
    return {
        "members": [source_of(one) for one in group.members],
        "folds": "out_of_fold" if group.out_of_fold else None,
    }


def source_of(teacher: Teacher) -> str:
    """Where a teacher lies, wherever the run is looked at from later; of several models, the first."""
    return "python" if teacher.source is None else str(teacher.source.resolve())
