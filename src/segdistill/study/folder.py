"""A study's folder: what it asks for, its runs, and how far each has come.

study.yaml  command.txt  runs/NAME/  logs/NAME.log  failed/NAME.txt  running/NAME  data/  preprocessed/  report/
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from segdistill.atomic import write_text
from segdistill.composition import merge
from segdistill.data.phantom import make_phantom
from segdistill.errors import SegdistillError
from segdistill.parts import unknown
from segdistill.run import Run, unlike
from segdistill.study.definition import Study, load, to_yaml
from segdistill.study.expansion import RUNS, Planned, expand
from segdistill.study.hold import held, holding
from segdistill.study.moved import at_home
from segdistill.study.standing_alone import with_whole_places

Status = Literal["done", "running", "failed", "stopped", "waiting"]
PHANTOM = "Dataset900_Phantom"


@dataclass(frozen=True)
class StudyFolder:
    """A study and the folder in which it is run."""

    path: Path
    study: Study

    @classmethod
    def begin(cls, path: Path, study: Study, command: str = "") -> StudyFolder:
        """Make the folder, or go on with the one there; groups, seeds and folds may have been added.

        Args:
            command: as it was typed, to be kept in command.txt.

        Raises:
            SegdistillError: it holds something else, runs that the study does not ask for or that were made with other
                settings, another process runs it, or no data are named.
        """
        path = Path(path).resolve()  # however it is named, so that its runs can be gone on with
        study = load(with_whole_places(study.model_dump(mode="json")))  # its runs may be made from elsewhere
        folder = cls(path, study)
        there = {each.name for each in path.iterdir()} if path.is_dir() else set()
        if path.is_file() or (there - {".lock"} and "study.yaml" not in there):
            raise SegdistillError(f"{path} is not the folder of a study; choose another --out")
        names = {one.name for one in folder.planned}  # before anything is written
        runs = {run.parent.name for run in (path / RUNS).glob("*/run.json")}
        if strangers := sorted(runs - names):
            raise SegdistillError(
                f"{path} holds runs that this study does not ask for ({', '.join(strangers[:4])}); it was begun by "
                "another study or profile: choose another --out"
            )
        if study.settings.get("data", {}).get("path") is None and study.phantom is None:
            raise SegdistillError(
                f"study {study.name} names no data; say data.path=FOLDER, or give it a section `phantom`"
            )
        for one in folder.planned:
            folder._made_alike(one)
        with folder.locked():
            write_text(folder.file("study.yaml"), to_yaml(study))
            if command:
                write_text(folder.file("command.txt"), f"{command}\n")
        return folder

    def _made_alike(self, planned: Planned) -> None:
        """A run that was begun with other settings would be told as one of this study."""
        run = self.run(planned.name)
        if not (run.file("recipe.yaml").is_file() and run.file("run.json").is_file()):
            return
        if different := unlike(at_home(run.recipe, planned.recipe), planned.recipe):
            raise SegdistillError(
                f"{run.path} was made with other settings than this study now asks for (different: "
                f"{', '.join(different[:6])}); choose another --out, or remove the folders of the runs that are to be "
                "made again"
            )

    @classmethod
    def open(cls, path: Path) -> StudyFolder:
        """A study that was begun.

        Raises:
            SegdistillError: there is none.
        """
        file = Path(path) / "study.yaml"
        if not file.is_file():
            raise SegdistillError(
                f"{path} is not the folder of a study (it has no study.yaml); `segdistill study run` makes one"
            )
        return cls(Path(path).resolve(), load(file))

    def file(self, name: str) -> Path:
        """A file of the study."""
        return self.path / name

    @property
    def command(self) -> str:
        """What made it, as it was typed last; empty where it was not begun on the command line."""
        file = self.file("command.txt")
        return file.read_text(encoding="utf-8").strip() if file.is_file() else ""

    def run(self, name: str) -> Run:
        """One of its runs."""
        return Run(self.path / RUNS / name)

    @cached_property
    def planned(self) -> list[Planned]:
        """Its runs, teachers first, on its data."""
        data = self.study.settings.get("data") or {}
        here: dict[str, str] = {}
        if data.get("path") is None:
            here["path"] = str(self.path / "data" / PHANTOM)
        if data.get("store") is None and not os.environ.get("SEGDISTILL_STORE"):
            here["store"] = str(self.path / "preprocessed")
        settings = merge(self.study.settings, {"data": here})
        return expand(self.study.model_copy(update={"settings": settings}), self.path)

    def one(self, name: str) -> Planned:
        """A planned run by its name.

        Raises:
            SegdistillError: it has none of that name.
        """
        found = {one.name: one for one in self.planned}
        if name not in found:
            raise SegdistillError(f"run: {unknown(name, found)}")
        return found[name]

    def make_data(self) -> None:
        """Make the synthetic patients, where it has no data of its own and they are not there."""
        given = (self.study.settings.get("data") or {}).get("path")
        place = self.path / "data" / PHANTOM
        if given is None and self.study.phantom is not None and not (place / "dataset.json").is_file():
            phantom = self.study.phantom
            make_phantom(
                place, patients=phantom.patients, size=phantom.size, difficulty=phantom.difficulty, seed=phantom.seed,
                overwrite=place.exists(),
            )  # fmt: skip

    def status(self, planned: Planned) -> Status:
        """How far a run has come: `done` is trained, scored and measured."""
        run = self.run(planned.name)
        if run.file("metrics.json").is_file() and run.file("cost.json").is_file() and _trained(run):
            return "done"
        if held(self.file(f"running/{planned.name}")):
            return "running"
        if self.file(f"failed/{planned.name}.txt").is_file():
            return "failed"
        if not run.file("run.json").is_file():
            return "waiting"
        return "stopped"

    def statuses(self) -> dict[str, Status]:
        """Of all its runs, in order."""
        return {one.name: self.status(one) for one in self.planned}

    def share(self, planned: Planned) -> float:
        """How much of a run's training is over, 0 to 1."""
        run = self.run(planned.name)
        if not run.file("log.jsonl").is_file():
            return 0.0
        epochs = [event["epoch"] for event in run.events() if event.get("event") == "epoch"]
        return min(1.0, (max(epochs, default=-1) + 1) / planned.recipe.train.epochs)

    def why_failed(self, name: str) -> str:
        """The last line of what a failed run said."""
        file = self.file(f"failed/{name}.txt")
        lines = (
            file.read_text(encoding="utf-8", errors="replace").strip().splitlines() if file.is_file() else []
        )
        return lines[-1] if lines else ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from starting the runs of this study.

        Raises:
            SegdistillError: another one is at it.
        """
        with holding(self.file(".lock")) as got:
            if not got:
                raise SegdistillError(
                    f"{self.path} is being run by another process; `segdistill study status {self.path}` shows how far "
                    "it has come"
                )
            yield


def _trained(run: Run) -> bool:
    """Whether its training is over; of a run whose run.json is damaged that is not known, and it is not."""
    try:
        return run.trained
    except SegdistillError:
        return False


def counted(statuses: Mapping[str, Status]) -> dict[Status, int]:
    """How many runs are in each state."""
    found: dict[Status, int] = {}
    for status in statuses.values():
        found[status] = found.get(status, 0) + 1
    return found


def ready(planned: Sequence[Planned], statuses: Mapping[str, Status]) -> list[Planned]:
    """Those that can be started: they wait or were stopped, and their teachers are done."""
    return [
        one
        for one in planned
        if statuses[one.name] in ("waiting", "stopped")
        and all(statuses[each] == "done" for each in one.needs)
    ]
