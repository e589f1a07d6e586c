"""Who answered for the cases of a run: the run itself, its teachers, and runs that are put beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.data.dataset import Dataset
from segdistill.errors import SegdistillError
from segdistill.report.figures.pictures import find_prediction
from segdistill.report.origins import run_folder
from segdistill.report.run_folder import RunRecord, read_run
from segdistill.report.scores import Scores
from segdistill.run import Run

METRICS = ("metrics.json", "metrics_test.json", "metrics_validation.json", "metrics_train.json")


@dataclass(frozen=True)
class Answer:
    """One who answered.

    title: as the page calls it: "Student", "Teacher unetr", "alone".
    record: its run.
    dataset: what the values of its masks mean.
    scores: of all cases that it was evaluated on, whatever their split.
    """

    title: str
    record: RunRecord
    dataset: Dataset
    scores: Scores

    def mask(self, case: str) -> Path | None:
        """The mask that it predicted for a case."""
        return find_prediction(self.record, case)


def answers_of(run: Path, beside: Sequence[Path] = ()) -> tuple[list[Answer], list[str]]:
    """The answer of a run first, then its teachers', then those of the runs beside it.

    Args:
        run: a run folder.
        beside: further run folders on the same data, such as the student alone.

    Returns:
        The answers, and in words what is left out of them.

    Raises:
        SegdistillError: no run there, a broken file, or a run beside it that is on other data.
    """
    main = read_run(Run.open(run).path)
    found = {run.resolve(): _answer("Student" if main.kind == "distilled" else "Prediction", main)}
    left_out = []
    for title, teacher, place in _teachers(main):
        if place is None:
            left_out.append(f"teacher {teacher} is no run folder here, so there are no masks of it to show")
            continue
        record = read_run(place)
        if record.dataset != main.dataset:
            left_out.append(f"teacher {teacher} is a run on other images ({record.dataset or 'not told'})")
            continue
        found.setdefault(place, _answer(title, record))
    for path in beside:
        record = read_run(Run.open(path).path)
        if record.dataset != main.dataset:
            raise SegdistillError(
                f"{path} is on other images ({record.dataset}) than {run} ({main.dataset}); "
                "put runs on the same data beside each other"
            )
        found.setdefault(path.resolve(), _answer(record.name, record))
    answers = list(found.values())
    for answer in answers[1:]:
        if not (answer.record.path / "predictions").is_dir():
            left_out.append(
                f"{answer.title} has no masks; `segdistill evaluate {answer.record.path}` makes them"
            )
    return _told_apart(answers), left_out


def _teachers(run: RunRecord) -> Iterator[tuple[str, str, Path | None]]:
    """Title, name and run folder of each teacher; of one that is several models, of each."""
    for name in run.teachers:
        places = run.places(name)
        for place in places:
            told = name if len(places) == 1 else f"{name} ({Path(place).name})"
            yield ("Teacher" if told == "teacher" else f"Teacher {told}"), told, run_folder(run, place)


def _answer(title: str, record: RunRecord) -> Answer:
    return Answer(title, record, Run.open(record.path).plan.dataset, Scores.from_rows(_rows(record.path)))


def _rows(run: Path) -> Iterator[dict[str, Any]]:
    """The rows of all metrics of a run; of a case that was scored twice, those of the first file alone."""
    seen: set[str] = set()
    for name in METRICS:
        path = run / name
        if not path.is_file():
            continue
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["cases"]
            here = {str(row["case"]) for row in rows} - seen
        except (ValueError, KeyError, TypeError) as error:
            raise SegdistillError(
                f"{path}: is broken ({type(error).__name__}: {error}); `segdistill evaluate {run}` writes it again"
            ) from error
        yield from (row for row in rows if str(row["case"]) in here)
        seen |= here


def _told_apart(answers: list[Answer]) -> list[Answer]:
    """Answers whose titles are equal get their number behind it."""
    titles = [answer.title for answer in answers]
    return [
        answer
        if titles.count(answer.title) == 1
        else Answer(f"{answer.title} {number}", answer.record, answer.dataset, answer.scores)
        for number, answer in enumerate(answers, 1)
    ]
