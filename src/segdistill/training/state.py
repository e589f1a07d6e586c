"""What training must remember: for early stopping, for the best checkpoint, and to go on after a kill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from segdistill import checkpoint
from segdistill.distiller import Distiller
from segdistill.model import BEST, LAST
from segdistill.run import Run
from segdistill.sections.train import TrainSection


@dataclass
class State:
    """Where training stands after some epochs; larger figures are better.

    Attributes:
        epoch: epochs that are done.
        best: best figure of the checkpoint's criterion, reached in `best_epoch`.
        monitored: best figure of early stopping's criterion, `stale` epochs ago.
        over: training has ended, as planned or early.
    """

    epoch: int = 0
    best: float | None = None
    best_epoch: int = -1
    monitored: float | None = None
    stale: int = 0
    over: bool = False

    def judge(
        self, scores: dict[str, float | None] | None, train: TrainSection, *, last_phase: bool = True
    ) -> None:
        """Note an epoch that is done, with its validation figures if there are any.

        Args:
            last_phase: only then early stopping counts: what comes before has another aim.
        """
        self.epoch += 1
        if scores is not None:
            best = _figure(scores, train.best)
            if self.best is None or best > self.best:
                self.best, self.best_epoch = best, self.epoch - 1
            if train.early_stopping is not None and last_phase:
                monitored = _figure(scores, train.early_stopping.monitor)
                better = self.monitored is None or monitored > self.monitored
                self.stale = 0 if better else self.stale + train.validate_every
                self.monitored = monitored if better else self.monitored
        stopped = train.early_stopping is not None and self.stale >= train.early_stopping.patience
        self.over = stopped or self.epoch >= train.epochs

    @property
    def best_now(self) -> bool:
        """Whether the epoch just done is the best one."""
        return self.best_epoch == self.epoch - 1


def keep(run: Run, distiller: Distiller, optimizers: Mapping[str, Any], state: State) -> None:
    """Write the checkpoints: `best` holds the student alone, `last` all that is needed to go on.

    Where no epoch was ever validated, the last one counts as the best.
    """
    if state.best_now or (state.over and state.best_epoch < 0):
        _forget_figures(run)  # before, so that a kill leaves none of another network
        checkpoint.save(run.file(BEST), distiller.student.state_dict(), {"epoch": state.epoch - 1})
        _forget_figures(run)  # and after, should somebody have evaluated it meanwhile
    own = {f"distiller.{name}": tensor for name, tensor in distiller.state_dict().items()}
    described: dict[str, Any] = {}
    for name, optimizer in optimizers.items():
        tensors, described[name] = checkpoint.optimizer_tensors(optimizer, prefix_of(name))
        own |= tensors
    checkpoint.save(run.file(LAST), own, {"training": asdict(state), "optimizers": described})


def resume(run: Run, distiller: Distiller, optimizers: Mapping[str, Any]) -> State:
    """Go on from the last checkpoint, if there is one; what was logged after it is forgotten."""
    if not run.file(LAST).is_file():
        run.forget_after(0)
        return State()
    tensors, described = checkpoint.load(run.file(LAST))
    own = {n.removeprefix("distiller."): t for n, t in tensors.items() if n.startswith("distiller.")}
    checkpoint.load_weights(distiller, own, run.file(LAST))
    if "optimizer" in described:  # as written before there could be several
        described["optimizers"] = {"student": described["optimizer"]}
    for name, optimizer in optimizers.items():
        checkpoint.restore_optimizer(optimizer, tensors, described["optimizers"][name], prefix_of(name))
    state = State(**described["training"])
    run.forget_after(state.epoch)
    return state


def prefix_of(learner: str) -> str:
    """How the state of a learner's optimizer is named in a checkpoint."""
    return "optimizer" if learner == "student" else f"optimizer of {learner}"


def _forget_figures(run: Run) -> None:
    """Remove what was scored of a student that is no longer the best."""
    for figures in run.path.glob("metrics*.json"):
        figures.unlink(missing_ok=True)


def _figure(scores: dict[str, float | None], name: str) -> float:
    """A validation figure, turned so that larger is better; an undefined one is worst."""
    value = scores[name]
    if value is None:
        return -math.inf
    return value if name == "dice" else -value
