"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from segdistill import checkpoint
from segdistill.data.patches import Patches
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.progress import Bar
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training import shares
from segdistill.training.batches import batches
from segdistill.training.optimization import OPTIMIZERS, SCHEDULES
from segdistill.training.validation import Validation, average

LAST, BEST = "checkpoints/last.safetensors", "checkpoints/best.safetensors"


@dataclass
class State:
    """What a resumed run must know besides tensors."""

    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    monitored: float = -math.inf
    stale: int = 0
    seconds: float = 0.0


def fit(
    fabric: Fabric, run: Run, recipe: Recipe, distiller: Distiller, patches: Patches, validate: Validation, *, iterations: int,
    workers: int,
) -> None:
    """Train the distiller's student until the epochs are over or it stops improving.

    Every random number follows from the seed and the step, so a run that was killed and resumed ends with the same
    weights, bit for bit on a CPU, as one that was not.
    """
    train, batch = recipe.train, recipe.data.batch_size
    optimizer = build(OPTIMIZERS, train.optimizer, "train.optimizer")(p for p in distiller.parameters() if p.requires_grad)
    rate, schedule = optimizer.param_groups[0]["lr"], build(SCHEDULES, train.schedule, "train.schedule")
    state = resume(run, distiller, optimizer)
    model, optimizer = fabric.setup(distiller, optimizer)
    stream = batches(
        patches, batch=batch, parts=train.accumulate, rank=fabric.global_rank, devices=fabric.world_size,
        first_step=state.epoch * iterations, steps=train.epochs * iterations, workers=workers,
    )  # fmt: skip
    with Bar("Training", train.epochs * iterations, state.epoch * iterations, shown=fabric.is_global_zero) as bar:
        for epoch in range(state.epoch, train.epochs):
            started = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = rate * schedule(epoch / train.epochs)
            sums: dict[str, Tensor] = {}
            model.train()
            for iteration in range(iterations):
                step = epoch * iterations + iteration
                losses = one_step(fabric, model, optimizer, stream, train.accumulate, step, epoch, recipe)
                sums = {name: sums.get(name, 0) + value for name, value in losses.items()}
                bar.advance(f"epoch {epoch + 1}/{train.epochs}  loss {float(losses['total']):.3f}")
            means = {name: float(fabric.all_reduce(value, reduce_op="mean")) / iterations for name, value in sums.items()}
            scores = validated(fabric, distiller, validate) if (epoch + 1) % train.validate_every == 0 else None
            state.seconds += time.perf_counter() - started
            stop = judge(state, scores, recipe, epoch)
            if fabric.is_global_zero:
                event = {"epoch": epoch, "step": (epoch + 1) * iterations, "lr": optimizer.param_groups[0]["lr"]}
                run.log("epoch", **event, loss=means, validation=scores, seconds=round(time.perf_counter() - started, 3))
                measure_shares(fabric, run, distiller, patches, recipe, epoch)
                state.epoch = epoch + 1
                keep(run, distiller, optimizer, state, best=state.best_epoch == epoch, last=stop or epoch + 1 == train.epochs)
                dice = scores and scores["dice"]
                bar.note(f"epoch {epoch + 1}/{train.epochs}", means, None if dice is None else dice)
            fabric.barrier()
            if stop:
                break


def one_step(
    fabric: Fabric, model: Any, optimizer: Any, stream: Iterator[dict[str, Tensor]], parts: int, step: int, epoch: int,
    recipe: Recipe,
) -> dict[str, Tensor]:
    """One optimizer step over `parts` small batches; the detached mean losses."""
    torch.manual_seed((recipe.train.seed * 1_000_003 + step) * fabric.world_size + fabric.global_rank)
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for part in range(parts):
        data = fabric.to_device(next(stream))
        with fabric.no_backward_sync(model, enabled=part + 1 < parts):
            losses = model(data["image"], data["label"], float(epoch))
            if not torch.isfinite(losses["total"]):
                named = ", ".join(f"{name} {float(value):.4g}" for name, value in losses.items())
                raise SegdistillError(
                    f"the loss became {float(losses['total'])} in epoch {epoch + 1}, step {step} ({named}); stopped, the last "
                    "good checkpoint is kept. Lower train.optimizer.lr, or look at the images with `segdistill data check`"
                )
            fabric.backward(losses["total"] / parts)
        sums = {name: sums.get(name, 0) + value.detach() / parts for name, value in losses.items()}
    if recipe.train.gradient_clip is not None:
        fabric.clip_gradients(model, optimizer, max_norm=recipe.train.gradient_clip, error_if_nonfinite=False)
    optimizer.step()
    return sums


def validated(fabric: Fabric, distiller: Distiller, validate: Validation) -> dict[str, float | None]:
    """Validation figures over all devices."""
    sums = validate(distiller.student, fabric.device, fabric.global_rank, fabric.world_size)
    return average({name: float(fabric.all_reduce(value, reduce_op="sum")) for name, value in sums.items()})


def judge(state: State, scores: dict[str, float | None] | None, recipe: Recipe, epoch: int) -> bool:
    """Note whether this is the best epoch yet; True where training should stop early."""
    if scores is None:
        return False

    def figure(name: str) -> float:
        value = scores[name]
        return -math.inf if value is None else value if name == "dice" else -value

    best = figure(recipe.train.best)
    if best > state.best or state.best_epoch < 0:
        state.best, state.best_epoch = best, epoch
    stopping = recipe.train.early_stopping
    if stopping is None:
        return False
    monitored = figure(stopping.monitor)
    state.stale = 0 if monitored > state.monitored else state.stale + recipe.train.validate_every
    state.monitored = max(state.monitored, monitored)
    return state.stale >= stopping.patience


def measure_shares(fabric: Fabric, run: Run, distiller: Distiller, patches: Patches, recipe: Recipe, epoch: int) -> None:
    """Log each term's share of the student's gradient on one batch, now and then, and warn where it says something."""
    every = recipe.train.share_every
    if not distiller.terms or not every or epoch % every:
        return
    # Samples that training does not see: negative numbers would be refused as seeds, so count from far away.
    drawn = [patches[2**40 + number] for number in range(min(2, recipe.data.batch_size))]
    data = {key: fabric.to_device(torch.stack([torch.as_tensor(d[key]) for d in drawn])) for key in ("image", "label")}
    found = shares.gradient_shares(distiller, data["image"], data["label"], float(epoch))
    run.log("share", epoch=epoch, share=found)
    for message in shares.warnings(found):
        run.warn(message, epoch=epoch)


def keep(run: Run, distiller: Distiller, optimizer: Any, state: State, *, best: bool, last: bool) -> None:
    """Write the checkpoints. `best` holds the student alone; `last` all that is needed to go on."""
    if best:
        checkpoint.save(run.file(BEST), distiller.student.state_dict(), {"epoch": state.best_epoch})
    own = {f"distiller.{name}": tensor for name, tensor in distiller.state_dict().items()}
    tensors, scalars = checkpoint.optimizer_tensors(optimizer)
    described = {key: None if value == -math.inf else value for key, value in asdict(state).items()}
    checkpoint.save(run.file(LAST), own | tensors, {"training": described, "optimizer": scalars, "over": last})


def resume(run: Run, distiller: Distiller, optimizer: torch.optim.Optimizer) -> State:
    """Go on from the last checkpoint, if there is one."""
    if not run.file(LAST).is_file():
        return State()
    tensors, described = checkpoint.load(run.file(LAST))
    own = {name.removeprefix("distiller."): t for name, t in tensors.items() if name.startswith("distiller.")}
    checkpoint.load_weights(distiller, own, run.file(LAST))
    checkpoint.restore_optimizer(optimizer, tensors, described["optimizer"])
    state = State(**{key: -math.inf if value is None else value for key, value in described["training"].items()})
    run.forget_after(state.epoch)
    if described["over"]:
        state.epoch = run.recipe.train.epochs
    return state
