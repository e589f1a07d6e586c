"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from segdistill.data.patches import Patches
from segdistill.data.plan import Plan
from segdistill.distiller import Distiller
from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.phases import phase_at
from segdistill.progress import Bar
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training.batches import batches
from segdistill.training.board import Board
from segdistill.training.mlflow import Tracking
from segdistill.training.optimization import OPTIMIZERS, SCHEDULES
from segdistill.training.shares import watch_shares
from segdistill.training.state import keep, resume
from segdistill.training.validation import Validation, average


def fit(
    fabric: Fabric,
    run: Run,
    recipe: Recipe,
    distiller: Distiller,
    patches: Patches,
    validate: Validation,
    *,
    iterations: int,
    workers: int,
) -> None:
    """Train the distiller's student until the epochs are over or it stops improving.

    Every random number follows from the seed and the step, so a run that was killed and resumed ends with the same
    weights, bit for bit on a CPU, as one that was not.

    Args:
        iterations: steps of an epoch.
        workers: processes that cut patches; 0 cuts them in this one.
    """
    train = recipe.train
    made, rates = optimizers_of(recipe, distiller)
    schedule = build(SCHEDULES, train.schedule, "train.schedule")
    model, *ready = fabric.setup(distiller, *made.values())
    optimizers = dict(zip(made, ready, strict=True))
    state = resume(run, distiller, optimizers)  # now that the weights are on their device
    stream = batches(
        patches,
        batch=recipe.data.batch_size,
        parts=train.accumulate,
        rank=fabric.global_rank,
        devices=fabric.world_size,
        first_step=state.epoch * iterations,
        steps=train.epochs * iterations,
        workers=workers,
    )
    first = fabric.is_global_zero
    board = Board(run, train.tensorboard and first)
    with (
        Tracking(run, train.mlflow if first else None) as tracking,
        Bar("Training", train.epochs * iterations, state.epoch * iterations, shown=first) as bar,
    ):
        while not state.over:
            epoch, began = state.epoch, time.perf_counter()
            phase = phase_at(distiller.phases, epoch)
            done = epoch / train.epochs if phase is None else phase.done(epoch)
            for name, optimizer in optimizers.items():
                set_rate(optimizer, rates[name] * schedule(done))
            model.train()
            sums: dict[str, Tensor] = {}
            for step in range(epoch * iterations, (epoch + 1) * iterations):
                losses = one_step(fabric, model, optimizers, stream, step, epoch, recipe)
                distiller.follow((step + 1) / (train.epochs * iterations))
                sums = {name: sums.get(name, 0) + value for name, value in losses.items()}
                bar.advance(f"epoch {epoch + 1}/{train.epochs}  loss {float(losses['total']):.3f}")
            check_weights(distiller, epoch)
            means = {name: over_devices(fabric, value, "mean") / iterations for name, value in sums.items()}
            scores = (
                validated(fabric, distiller, validate) if (epoch + 1) % train.validate_every == 0 else None
            )
            state.judge(scores, train, last_phase=phase is None or phase is distiller.phases[-1])
            if first:
                seconds = round(time.perf_counter() - began, 3)
                event: dict[str, Any] = {
                    "epoch": epoch,
                    "step": state.epoch * iterations,
                    "lr": optimizers["student"].param_groups[0]["lr"],
                }
                if phase is not None:
                    event["phase"] = phase.name
                if missing := left_out(distiller):
                    event["left_out"] = missing
                    tell_left_out(run, missing, validate.store.plan)
                run.log("epoch", **event, loss=means, validation=scores, seconds=seconds)
                keep(run, distiller, optimizers, state)
                watch_shares(fabric, run, distiller, patches, recipe, epoch)
                board.write(epoch, means, scores)
                tracking.write(epoch, means, scores)
                bar.note(
                    f"{run.path.name} epoch {epoch + 1}/{train.epochs}",
                    means,
                    scores["dice"] if scores else None,
                )
            fabric.barrier()


def one_step(
    fabric: Fabric,
    model: Any,
    optimizers: Mapping[str, Any],
    stream: Iterator[dict[str, Tensor]],
    step: int,
    epoch: int,
    recipe: Recipe,
) -> dict[str, Tensor]:
    """One optimizer step over `train.accumulate` small batches; the detached mean losses.

    Raises:
        SegdistillError: a loss that is not finite.
    """
    parts = recipe.train.accumulate
    for optimizer in optimizers.values():
        optimizer.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    for part in range(parts):
        data = fabric.to_device(next(stream))
        # After the data: a loader draws from the same generator when it starts, which a resumed run does later.
        torch.manual_seed(
            recipe.train.seed * 1_000_003 + (step * parts + part) * fabric.world_size + fabric.global_rank
        )
        with fabric.no_backward_sync(model, enabled=part + 1 < parts):
            losses = model(
                data["image"],
                data["label"],
                float(epoch),
                data.get("site"),
                data.get("told"),
                data.get("inside"),
            )
            check_finite(losses, epoch, step)
            whole = losses["total"] + losses["critic"] if "critic" in losses else losses["total"]
            if (
                whole.requires_grad
            ):  # not where the only ones to learn, peers of one site, have no image in this batch
                fabric.backward(whole / parts)
        sums = {name: sums.get(name, 0) + value.detach() / parts for name, value in losses.items()}
    for optimizer in optimizers.values():
        if recipe.train.gradient_clip is not None:
            fabric.clip_gradients(
                model, optimizer, max_norm=recipe.train.gradient_clip, error_if_nonfinite=False
            )
        optimizer.step()
    return sums


def optimizers_of(recipe: Recipe, distiller: Distiller) -> tuple[dict[str, Any], dict[str, float]]:
    """An optimizer for each learner, so that none scales another's gradient, and the learning rates."""
    parts = dict.fromkeys(distiller.learners(), recipe.train.optimizer)
    if recipe.critic is not None:
        parts["critic"] = recipe.critic.optimizer
    made = {
        name: build(OPTIMIZERS, parts[name], "train.optimizer")(parameters)
        for name, parameters in distiller.learners().items()
    }
    return made, {name: part["lr"] for name, part in parts.items()}


def tell_left_out(run: Run, missing: dict[str, list[float]], plan: Plan) -> None:
    """Note once a term which classes were missing in how many samples."""
    names = plan.classes if plan.regions else ("background", *plan.classes)
    told = {event.get("left_out") for event in run.events() if event["event"] == "note"}
    for term, shares in missing.items():
        each = ", ".join(f"{name} in {share:.0%}" for name, share in zip(names, shares, strict=True) if share)
        if term not in told:
            run.note(
                f"terms.{term} leaves out classes where a patch has no voxel of them: {each} of them",
                left_out=term,
            )


def left_out(distiller: Distiller) -> dict[str, list[float]]:
    """By term the share of the labelled samples that had no voxel of each class, since this was last asked."""
    counts, distiller.left_out = distiller.left_out, {}
    shares = {name: (each[:-1] / each[-1].clamp_min(1)).tolist() for name, each in counts.items()}
    return {name: [round(share, 4) for share in each] for name, each in shares.items() if any(each)}


def check_finite(losses: dict[str, Tensor], epoch: int, step: int) -> None:
    """Stop where the total is NaN or infinite; the last epoch's checkpoint is as it was."""
    if all(torch.isfinite(losses[name].detach()) for name in ("total", "critic") if name in losses):
        return
    named = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in losses.items())
    raise SegdistillError(
        f"the loss is no longer a number in epoch {epoch + 1}, step {step} ({named}); stopped, and the last good "
        "checkpoint is kept. Lower train.optimizer.lr, or look at the images with `segdistill data check`"
    )


def check_weights(distiller: Distiller, epoch: int) -> None:
    """Stop where an update left weights that are no numbers, before they replace the last good checkpoint."""
    if not all(torch.isfinite(p).all() for p in distiller.parameters() if p.requires_grad):
        raise SegdistillError(
            f"the weights are no longer numbers after epoch {epoch + 1} (a gradient was not); stopped, the last good "
            "checkpoint is kept. Lower train.optimizer.lr, or look at the images with `segdistill data check`"
        )


def set_rate(optimizer: Any, rate: float) -> None:
    """Set the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def over_devices(fabric: Fabric, value: Tensor, how: str) -> float:
    """A number summed or averaged over all devices."""
    reduced = fabric.all_reduce(value, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return float(reduced)


def validated(fabric: Fabric, distiller: Distiller, validate: Validation) -> dict[str, float | None]:
    """Validation figures over all devices."""
    sums = validate(distiller.student, fabric.device, fabric.global_rank, fabric.world_size)
    return average({name: over_devices(fabric, value, "sum") for name, value in sums.items()})
