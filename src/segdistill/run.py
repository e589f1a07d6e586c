"""A run is a folder: recipe, log, checkpoints, figures of merit, cost, report.

recipe.yaml  run.json  splits.json  plan.json  log.jsonl  checkpoints/{last,best}.safetensors
metrics.json  cost.json  predictions/  report.html  report.md
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segdistill.atomic import write_json, write_text
from segdistill.errors import SegdistillError
from segdistill.recipe import IDENTITY, Recipe

if TYPE_CHECKING:
    from segdistill.data.plan import Plan
    from segdistill.data.splits import Splits

CIRCUMSTANCE = {
    "train": ("devices", "nodes", "accelerator", "tensorboard", "mlflow"),
    "data": ("workers", "store"),
}
"""Settings, by section, that do not change what a run becomes."""

IfExists = Literal["fail", "resume", "overwrite"]


@dataclass(frozen=True)
class Run:
    """A run folder. Make one with `Run.create`, read one with `Run.open`."""

    path: Path

    @classmethod
    def create(cls, path: Path, recipe: Recipe, *, kind: str, if_exists: IfExists = "fail") -> Run:
        """Make the folder with recipe.yaml and run.json, or go on with one that exists. Call it while `locked`.

        Raises:
            SegdistillError: the folder exists and nothing was said; or it holds another recipe and `resume` was said.
        """
        run = cls(Path(path))
        run.must_suit(if_exists)
        if run.file("run.json").is_file():
            if if_exists == "resume":
                return run._same_recipe(recipe)
            for entry in run.path.iterdir():
                if entry.name != ".lock":
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return run._begin(recipe, kind)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run.

        Raises:
            SegdistillError: there is no run at `path`.
        """
        run = cls(Path(path))
        if not run.file("run.json").is_file() or not run.file("recipe.yaml").is_file():
            hint = "no such folder" if not run.path.exists() else "it has no run.json and recipe.yaml"
            raise SegdistillError(
                f"{path} is not a run: {hint}; a run is what `segdistill train` or `distill` leaves in --out"
            )
        return run

    @property
    def exists(self) -> bool:
        """Whether there is anything at the run's path."""
        return self.path.is_file() or (
            self.path.is_dir() and any(e.name != ".lock" for e in self.path.iterdir())
        )

    @property
    def _hardly_begun(self) -> bool:
        """Whether the folder holds no more than a run that was stopped before it had begun."""
        names = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else {""}
        return {name for name in names if ".partial." not in name} <= {".lock", "recipe.yaml"}

    def must_suit(self, if_exists: IfExists) -> None:
        """Raise where the folder cannot be made, exists against the user's word, or is something else than a run."""
        if self.exists and if_exists == "fail":
            raise SegdistillError(
                f"{self.path} exists: --resume goes on with it, --overwrite replaces it, --out names another folder"
            )
        if self.exists and not self.file("run.json").is_file() and not self._hardly_begun:
            raise SegdistillError(
                f"{self.path} is not a run (it has no run.json), so it is left as it is; choose another --out"
            )
        file = next((above for above in self.path.parents if above.is_file()), None)
        if file is not None:
            raise SegdistillError(f"{self.path} cannot be made: {file} is a file; choose another --out")

    def _begin(self, recipe: Recipe, kind: str) -> Run:
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.file("recipe.yaml"), recipe.to_yaml())
        info = {
            "format": 1,
            "name": self.path.name,
            "kind": kind,
            "recipe": recipe.name,
            "seed": recipe.train.seed,
        }
        info |= {
            "status": "started",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
        }
        info |= {"command": shlex.join(["segdistill", *sys.argv[1:]]), "machine": machine()}
        write_json(self.file("run.json"), info)
        return self

    def _same_recipe(self, recipe: Recipe) -> Run:
        """Resuming with another recipe would mix two runs."""
        if different := unlike(self.recipe, recipe):
            raise SegdistillError(
                f"{self.path} was made by another recipe (different: {', '.join(different[:6])}); "
                "resume with the same one, or choose another --out"
            )
        return self

    def file(self, name: str) -> Path:
        """A file of the run."""
        return self.path / name

    @property
    def recipe(self) -> Recipe:
        """The recipe with every default, as it was run."""
        return Recipe.load(self.file("recipe.yaml"))

    @property
    def info(self) -> dict[str, Any]:
        """run.json."""
        return self.read_json("run.json")

    @property
    def finished(self) -> bool:
        """Whether training ended as planned."""
        return self.info.get("status") == "finished"

    @property
    def trained(self) -> bool:
        """Whether there is a finished run at this path."""
        return self.file("run.json").is_file() and self.finished

    @property
    def plan(self) -> Plan:
        """How the run's images were prepared; enough to prepare a new one."""
        from segdistill.data.plan import Plan

        return Plan.from_dict(self.read_json("plan.json"), str(self.file("plan.json")))

    @property
    def splits(self) -> Splits:
        """Which cases trained, which chose the checkpoint, which are evidence."""
        from segdistill.data.splits import Splits

        return Splits.load(self.file("splits.json"))

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run.

        Raises:
            SegdistillError: missing or broken.
        """
        try:
            value = json.loads(self.file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SegdistillError(
                f"{self.file(name)}: missing or broken ({error}); restore it, or begin the run anew with --overwrite"
            ) from None
        if not isinstance(value, dict):
            raise SegdistillError(
                f"{self.file(name)}: holds a {type(value).__name__} where a JSON object should be; restore it"
            )
        return value

    def update(self, **fields: Any) -> None:
        """Set fields of run.json."""
        write_json(self.file("run.json"), self.info | fields)

    def log(self, event: str, **fields: Any) -> None:
        """Append a line to log.jsonl."""
        line = json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n"
        with open(self.file("log.jsonl"), "ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read() == b"\n" else f"\n{line}"  # a kill cut the last line short
            file.write(line.encode())

    def warn(self, message: str, **fields: Any) -> None:
        """Log a warning and show it."""
        self._say("warning", message, "yellow", **fields)

    def note(self, message: str, **fields: Any) -> None:
        """Log something worth knowing and show it."""
        self._say("note", message, "dim", **fields)

    def _say(self, event: str, message: str, style: str, **fields: Any) -> None:
        from rich.console import Console

        self.log(event, message=message, **fields)
        console = Console(stderr=True)
        console.print(f"{event}: {message}", style=style, highlight=False, markup=False, soft_wrap=True)

    def events(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; a last line that a kill cut short is left out."""
        if not self.file("log.jsonl").is_file():
            return []
        events = []
        for line in self.file("log.jsonl").read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events

    def forget_after(self, epoch: int) -> None:
        """Drop logged epochs from `epoch` on: a resumed run does them again."""
        kept = [e for e in self.events() if e.get("epoch", -1) < epoch]
        write_text(self.file("log.jsonl"), "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in kept))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing into this run.

        Raises:
            SegdistillError: another process is at work in it.
        """
        if self.path.is_file():
            raise SegdistillError(f"{self.path} is a file, not a run; choose another --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SegdistillError(
                f"{self.path} cannot be made ({error.strerror or error}); choose another --out"
            ) from None
        with open(self.path / ".lock", "w") as file:
            try:
                # Not flock: a child, such as a loader of patches, would keep it for a while when this one is killed.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SegdistillError(
                    f"{self.path} is being written by another process; wait for it or choose another --out"
                ) from None
            yield


def unlike(one: Recipe, other: Recipe) -> list[str]:
    """The settings in which two recipes differ, but for what they are called and how a machine is used for them."""
    plain = [each.model_dump(mode="json", exclude=set(IDENTITY)) for each in (one, other)]
    for recipe in plain:
        for section, keys in CIRCUMSTANCE.items():
            for key in keys:
                recipe[section].pop(key)
    return sorted(_differences(plain[0], plain[1]))


def machine() -> dict[str, Any]:
    """What figures depend on: processor, cores, versions."""
    import torch

    from segdistill import __version__

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "segdistill": __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}" if place else str(key))
    elif old != new:
        yield place
