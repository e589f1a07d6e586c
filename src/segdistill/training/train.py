"""Train a network, alone or taught: from a recipe to a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from segdistill.atomic import write_text
from segdistill.device import choose_device
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.model import describe
from segdistill.recipe import Recipe
from segdistill.run import IfExists, Run
from segdistill.teachers.teacher import Group, Teacher
from segdistill.training.assemble import joined, student_of, supervised
from segdistill.training.budget import tell, with_its_student
from segdistill.training.knowledge import Knowledge, knowledge_of
from segdistill.training.loop import fit
from segdistill.training.memory import keep_freed_memory
from segdistill.training.precision import refuse_wrong_gradients
from segdistill.training.prepare import Prepared, prepare, workers
from segdistill.training.teachers import Given, teachers_of
from segdistill.training.validation import Validation


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    if_exists: IfExists = "fail",
    student: nn.Module | None = None,
    teachers: Mapping[str, Given] | None = None,
    trust: bool = False,
) -> Run:
    """Run a recipe: prepare the data, train the student with whatever teachers it has, keep everything in a folder.

    Args:
        recipe: checked, from `Recipe.load`.
        out: the run folder.
        if_exists: what to do where `out` exists: `fail`, `resume` or `overwrite`.
        student, teachers: networks of the caller's own, instead of what the recipe names.
        trust: let files that teachers come from run code (MONAI bundles, torch.export programs, some pickles).

    Raises:
        SegdistillError: anything that the user can mend, before or during training; nothing is written over.
    """
    Run(Path(out)).must_suit(if_exists)
    asked = recipe.student
    if if_exists == "resume":
        recipe = with_its_student(recipe, Run(Path(out)))
    fabric = launch(recipe)
    with fabric.rank_zero_first():
        data = prepare(recipe, student=student)
    recipe = data.recipe
    if if_exists == "resume" and Run(Path(out)).trained:  # nobody need be asked any more
        with writing(fabric, recipe, Path(out), if_exists) as run:
            must_be_the_same(run, data)
            return run
    student = student_of(data, student)
    known = teachers_of(data, student, teachers, trust=trust)
    knowledge = knowledge_of(data, student, known, fabric.device, shown=fabric.is_global_zero)
    distiller = joined(data, student, knowledge.teachers, fabric.device)
    if fabric.device.type == "cpu" and recipe.train.precision in HALF:
        see_gradients(distiller, data, HALF[recipe.train.precision])
    with writing(fabric, recipe, Path(out), if_exists) as run:
        must_be_the_same(run, data)
        must_answer_the_same(run, knowledge)
        if fabric.is_global_zero:
            record(run, data, distiller, asked, knowledge, known)
        fit(
            fabric, run, recipe, distiller, data.patches(knowledge.entries), validation(data),
            iterations=recipe.train.iterations or max(1, len(data.splits.train) // recipe.data.batch_size),
            workers=loaders(recipe),
        )  # fmt: skip
        if fabric.is_global_zero:
            seconds = sum(event["seconds"] for event in run.events() if event["event"] == "epoch")
            run.update(status="finished", seconds=round(seconds, 1))
    return run


HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def launch(recipe: Recipe) -> Fabric:
    """Start Fabric on the devices that the recipe asks for.

    Raises:
        SegdistillError: the devices are not there.
    """
    train = recipe.train
    # One meaning of `auto` everywhere; Fabric's own would also take a Mac's MPS.
    accelerator = choose_device("auto").type if train.accelerator == "auto" else train.accelerator
    if train.precision == "16-mixed" and accelerator != "cuda":
        raise SegdistillError("train.precision 16-mixed needs a GPU; use bf16-mixed or 32-true on a CPU")
    several = train.devices * train.nodes > 1
    # A network may have parameters that a forward pass does not use (Teach-Former's fourth Swin stage).
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
    try:
        fabric = Fabric(
            accelerator=accelerator, devices=train.devices, num_nodes=train.nodes, strategy=strategy,
            precision=train.precision,
        )  # fmt: skip
    except Exception as error:  # Fabric raises its own kinds for what a machine lacks
        raise SegdistillError(
            f"train.accelerator {train.accelerator!r} with train.devices {train.devices} is not to be had here "
            f"({error}); "
            "use train.accelerator=cpu, or fewer devices"
        ) from error
    fabric.launch()
    if accelerator == "cpu":
        keep_freed_memory()
    return fabric


def see_gradients(distiller: Distiller, data: Prepared, dtype: torch.dtype) -> None:
    """Refuse a precision in which this processor would train the student or a peer by wrong gradients."""
    example = torch.zeros(1, len(data.plan.channels), *data.facts.image_size)
    refuse_wrong_gradients(distiller.student, distiller.seen(example), dtype, "student")
    for name, peer in distiller.peers.items():
        seen = example if peer.inputs is None else example[:, list(peer.inputs)]
        refuse_wrong_gradients(peer.module, seen, dtype, f"teachers.{name}")


@contextmanager
def writing(fabric: Fabric, recipe: Recipe, out: Path, if_exists: IfExists) -> Iterator[Run]:
    """The run folder, made by the first process and locked against other commands."""
    if not fabric.is_global_zero:
        fabric.barrier()
        yield Run(out)
        return
    with Run(out).locked():
        run = Run.create(
            out, recipe, kind="distilled" if recipe.terms or recipe.critic else "alone", if_exists=if_exists
        )
        fabric.barrier()
        yield run


def validation(data: Prepared) -> Validation:
    """What scores the student after each epoch."""
    settings = data.recipe.evaluate
    return Validation(
        store=data.store,
        cases=data.splits.validation,
        patch_size=data.facts.image_size,
        loss=supervised(data.recipe, data.plan),
        regions=data.plan.regions,
        slices=data.slices,
        inputs=data.inputs,
        overlap=settings.overlap,
        window_batch=settings.window_batch,
        dtype=HALF.get(data.recipe.train.precision),
        sites={
            case: data.training_sites.index(site)
            for case, site in (data.sites or {}).items()
            if site in data.training_sites
        },
    )


def loaders(recipe: Recipe) -> int:
    """Processes that cut patches beside the training process; 0 on a single core or where the recipe says 0."""
    return 0 if recipe.data.workers == 0 else workers(recipe) - 1


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

    An empty list: it is known that it has learnt from none of them. A teacher that tells nothing is left out.
    """
    here = {case.id for case in data.dataset.cases}
    found = {name: sorted(here & set(each.trained_on)) for name, each in teachers.items()}
    return {name: cases for name, cases in found.items() if cases or tells_all(teachers[name])}


def tells_all(teacher: Teacher) -> bool:
    """Whether a teacher, or each model of a group, says what it has learnt from."""
    several = teacher.whole_cases
    return all(one.trained_on for one in (several.members if isinstance(several, Group) else (teacher,)))


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
