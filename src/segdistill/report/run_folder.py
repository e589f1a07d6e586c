"""One run folder, read: what was asked for, on which cases, what came out, and at what cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from segdistill.errors import SegdistillError
from segdistill.evaluation.calibration import CaseBins, read_calibration
from segdistill.evaluation.lesions import LesionRow, read_lesions
from segdistill.recipe import Recipe
from segdistill.report.run_cost import Cost, cost_from
from segdistill.report.scores import Scores


@dataclass(frozen=True)
class Epoch:
    """One line of the log: losses by name, and what validation gave (None where it was not run)."""

    number: int
    loss: Mapping[str, float]
    validation: Mapping[str, float] | None


@dataclass(frozen=True)
class Members:
    """The models of a teacher that is several."""

    places: tuple[str, ...]
    out_of_fold: bool  # each case is taught by those that have not learnt from it; else by all


@dataclass(frozen=True)
class RunRecord:
    """A run folder. What a run that is not finished has not written is empty or None."""

    path: Path
    name: str
    status: str  # started | finished | failed ...; empty where the run does not say
    kind: str  # alone | distilled
    method: str  # the recipe's name
    network: str
    seed: int | None
    started: str
    seconds: float | None
    command: str
    machine: Mapping[str, Any]
    dataset: str
    fingerprint: str
    teachers: Mapping[str, str]  # name -> where from
    recipe: Mapping[str, Any]
    splits: Mapping[str, tuple[str, ...]]
    epochs: tuple[Epoch, ...]
    shares: tuple[Mapping[str, float], ...]  # of the student's gradient, term by term, now and then
    split: str  # of the scored cases: test | validation | train; empty where there are no scores
    classes: tuple[str, ...]
    tolerance: float | None  # mm, of NSD
    scores: Scores | None
    baselines: Mapping[str, Scores]
    cost: Cost | None
    learning: tuple[str, ...] = ()  # teachers without a folder, in words: peers, a moving average
    groups: Mapping[str, Members] = field(
        default_factory=dict
    )  # those of the teachers that are several models
    taught_on: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # teacher -> cases it had learnt from
    cached: Mapping[str, bool] = field(
        default_factory=dict
    )  # teacher -> asked once beforehand, or in every step
    calibration: Mapping[str, CaseBins] = field(default_factory=dict)  # by case; empty in older runs
    lesions: Mapping[str, tuple[LesionRow, ...]] = field(default_factory=dict)  # by case; empty in older runs

    def places(self, teacher: str) -> tuple[str, ...]:
        """Where a teacher lies; of one that is several models, where each does."""
        group = self.groups.get(teacher)
        return (self.teachers[teacher],) if group is None else group.places

    @property
    def fold(self) -> int:
        """Of the training cases, whose part validated."""
        data = self.recipe.get("data")
        splits = data.get("splits") if isinstance(data, Mapping) else None
        return int(splits.get("fold") or 0) if isinstance(splits, Mapping) else 0

    @property
    def part(self) -> int | None:
        """In cross-validation the fold, whose validation cases it scores; None: all folds score the same test cases."""
        return self.fold if self.split == "validation" else None

    @cached_property
    def strangers(self) -> tuple[str, ...]:
        """Scored cases that are none of its own: of another data set, or copied from another run."""
        own = set(self.splits.get(self.split, ()))
        return tuple(sorted(set(self.scores.cases) - own)) if self.scores and own else ()

    @property
    def finished(self) -> bool:
        """Whether training ended as planned, or does not say that it did not."""
        return self.status in ("", "finished")

    @property
    def planned_epochs(self) -> int | None:
        train = self.recipe.get("train")
        epochs = train.get("epochs") if isinstance(train, Mapping) else None
        return int(epochs) if epochs is not None else None


def is_run(folder: Path) -> bool:
    """Whether `folder` is a run folder."""
    return (folder / "run.json").is_file()


def read_run(folder: Path) -> RunRecord:
    """Read a run folder.

    Raises:
        SegdistillError: there is no run.json, or a file is not what its name says.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise SegdistillError(
            f"{folder} is not a run folder (it has no run.json); give the folders that "
            "`segdistill train` and `segdistill distill` wrote"
        )
    about = _json(folder / "run.json")
    metrics = _json(folder / "metrics.json")
    dataset = about.get("dataset") or {}
    log = _log(folder / "log.jsonl")
    recipe = _recipe(folder / "recipe.yaml")
    tolerance = metrics.get("tolerance_mm")
    seconds, seed = about.get("seconds"), about.get("seed")
    try:
        return RunRecord(
            path=folder,
            name=str(about.get("name") or folder.name),
            status=str(about.get("status") or ""),
            kind=str(about.get("kind", "alone")),
            method=Path(str(about.get("recipe") or about.get("kind", ""))).stem,
            network=_network(about, recipe),
            seed=None if seed is None else int(seed),
            started=str(about.get("started") or ""),
            seconds=float(seconds) if seconds is not None else None,
            command=_command(about.get("command")),
            machine=about.get("machine") or {},
            dataset=str(dataset.get("name", "")),
            fingerprint=str(dataset.get("fingerprint", "")),
            teachers=_teachers(about, recipe),
            learning=_learning(about.get("learning") or {}),
            groups={
                str(name): Members(tuple(map(str, one["members"])), one.get("folds") == "out_of_fold")
                for name, one in (about.get("groups") or {}).items()
            },
            taught_on={str(name): tuple(map(str, v)) for name, v in (about.get("taught_on") or {}).items()},
            cached={str(name): how != "online" for name, how in (about.get("knowledge") or {}).items()},
            recipe=recipe,
            splits={k: tuple(map(str, v)) for k, v in _json(folder / "splits.json").items() if _is_list(v)},
            epochs=tuple(_epoch(line) for line in log if line.get("event") == "epoch"),
            shares=tuple(line["share"] for line in log if line.get("event") == "share"),
            split=str(metrics.get("split", "test")) if metrics.get("cases") else "",
            classes=tuple(map(str, metrics.get("classes", ()))),
            tolerance=float(tolerance) if tolerance is not None else None,
            scores=Scores.from_rows(metrics["cases"]) if metrics.get("cases") else None,
            baselines={
                str(name): Scores.from_rows(row["cases"])
                for name, row in (metrics.get("baselines") or {}).items()
                if row.get("cases")
            },
            cost=cost_from(_json(folder / "cost.json")),
            calibration=read_calibration(metrics.get("calibration") or ()),
            lesions=read_lesions(metrics.get("lesions") or ()),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SegdistillError(
            f"{folder} holds a file that is not in the form of a run folder ({type(error).__name__}: "
            f"{error}); run `segdistill evaluate` on it again, or leave it out of the report"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SegdistillError(
            f"{path} is not valid JSON ({error}); was it cut short? Make it again"
        ) from error
    if not isinstance(value, dict):
        raise SegdistillError(f"{path} holds a {type(value).__name__}, not a JSON object")
    return value


def _recipe(path: Path) -> dict[str, Any]:
    """The recipe as it was run, with the defaults of keys that came later, so that runs of two versions compare.

    A recipe that today's keys no longer describe is compared as it is written.
    """
    written = _yaml(path)
    try:
        return Recipe.check(written).model_dump(mode="json")
    except SegdistillError:
        return written


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SegdistillError(f"{path} is not valid YAML ({' '.join(str(error).split())})") from error
    return value if isinstance(value, dict) else {}


def _log(path: Path) -> list[dict[str, Any]]:
    """The log's lines; the last may be cut short where the run was killed, and is then left out."""
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _epoch(line: Mapping[str, Any]) -> Epoch:
    def numbers(values: Mapping[str, Any]) -> dict[str, float]:
        return {str(name): float(value) for name, value in values.items() if isinstance(value, int | float)}

    validation = line.get("validation")
    return Epoch(
        int(line["epoch"]), numbers(line.get("loss") or {}), numbers(validation) if validation else None
    )


def _command(value: object) -> str:
    return shlex.join(map(str, value)) if isinstance(value, list) else str(value or "")


def _teachers(about: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, str]:
    """Where the teachers lie; a run that has only begun says so in its recipe alone."""
    if about.get("teachers"):
        return {str(name): str(source) for name, source in about["teachers"].items()}
    sections = recipe.get("teachers") or {}
    frozen = {
        name: section or {}
        for name, section in sections.items()
        if not any((section or {}).get(kind) for kind in ("peer", "average"))
    }
    return {str(name): _place(section.get("run") or section.get("path")) for name, section in frozen.items()}


def _place(named: Any) -> str:
    """What a recipe names, as one string."""
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named or "")


def _learning(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Who learned beside the student: "peer friend (UNet, 0.12 M)", "the moving average of the student"."""
    told = []
    for name, teacher in about.items():
        if teacher.get("kind") == "peer":
            told.append(f"peer {name} ({teacher.get('network')}, {teacher.get('parameters', 0) / 1e6:.2f} M)")
        else:
            told.append(f"the {teacher.get('kind')}")
    return tuple(told)


def _network(about: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    student = recipe.get("student") or {}
    return str(about.get("network") or student.get("preset") or student.get("type") or "network")


def _is_list(value: object) -> bool:
    return isinstance(value, list)
