"""One run of a study, from nothing or from where it was killed to its figures and cost."""

from __future__ import annotations

import json
import traceback

from segdistill.atomic import write_text
from segdistill.cost.record import Cost, keep_cost
from segdistill.errors import SegdistillError
from segdistill.evaluation.evaluate import evaluate
from segdistill.model import architecture
from segdistill.run import Run
from segdistill.study.expansion import Planned
from segdistill.study.folder import StudyFolder
from segdistill.study.hold import holding
from segdistill.study.moved import follow
from segdistill.training.distill import distill
from segdistill.training.mlflow import log_scores
from segdistill.training.train import train


def perform(folder: StudyFolder, name: str) -> None:
    """Train a run (or go on with it), score it and measure it. What is there already is not made again.

    Raises:
        SegdistillError: no such run, a teacher that is not done, another process at it, or anything that training
            raises, which is kept in failed/NAME.txt, too.
    """
    planned = folder.one(name)
    for teacher in planned.needs:
        if folder.status(folder.one(teacher)) != "done":
            raise SegdistillError(f"{name} is taught by {teacher}, which is not done")
    failed = folder.file(f"failed/{name}.txt")
    with holding(folder.file(f"running/{name}")) as got:
        if not got:
            raise SegdistillError(f"{name} is being run by another process")
        try:
            _make(folder, planned)
        except Exception as error:
            write_text(failed, f"{error}\n" if isinstance(error, SegdistillError) else traceback.format_exc())
            raise
        failed.unlink(missing_ok=True)


def _make(folder: StudyFolder, planned: Planned) -> None:
    follow(folder.run(planned.name), planned.recipe)
    make = distill if planned.distils else train
    run = make(planned.recipe, folder.run(planned.name).path, if_exists="resume")
    if not run.file("metrics.json").is_file():
        evaluate(run)
    keep_cost(run, _known_cost(folder, run))
    log_scores(run)


def _known_cost(folder: StudyFolder, run: Run) -> Cost | None:
    """What an equal network cost in another run: two times of one network would differ by what else was going on."""
    made = json.dumps(architecture(run), sort_keys=True)
    for planned in folder.planned:
        other = folder.run(planned.name)
        if other.file("cost.json").is_file() and json.dumps(architecture(other), sort_keys=True) == made:
            return other.read_json("cost.json")
    return None
