"""Train a network, alone or taught: from a recipe to a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from segdistill.device import choose_device
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe
from segdistill.run import IfExists, Run
from segdistill.training.assemble import joined, student_of, supervised
from segdistill.training.budget import with_its_student
from segdistill.training.knowledge import knowledge_of
from segdistill.training.loop import fit
from segdistill.training.memory import keep_freed_memory
from segdistill.training.precision import IMITATED, imitated, refuse_wrong_gradients
from segdistill.training.prepare import Prepared, prepare, workers
from segdistill.training.record import must_answer_the_same, must_be_the_same, record
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
    if fabric.world_size > 1 and fabric.broadcast(sorted(knowledge.entries)) != sorted(knowledge.entries):
        raise SegdistillError(
            "the processes of this run would ask their teachers in different ways (is the disk of data.store nearly "
            "full?); free some, or say knowledge=online"
        )
    distiller = joined(data, student, knowledge.teachers, fabric.device)
    half = HALF.get(recipe.train.precision) if fabric.device.type == "cpu" else None
    if half is not None:
        see_gradients(distiller, data, half)
    with writing(fabric, recipe, Path(out), if_exists) as run:
        must_be_the_same(run, data)
        must_answer_the_same(run, knowledge)
        if fabric.is_global_zero:
            record(run, data, distiller, asked, knowledge, known)
            if half is not None and imitated(half):
                run.warn(IMITATED)
        known.clear()  # networks whose answers are recorded need no memory any more
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
