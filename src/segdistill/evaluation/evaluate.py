"""Figures of a run on whole images in their own grids, beside answers that need no learning."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from torch import nn

from segdistill.atomic import write_json
from segdistill.data import open_dataset
from segdistill.data.dataset import Case, Dataset
from segdistill.data.image import suffix
from segdistill.errors import SegdistillError
from segdistill.evaluation.baselines import all_background, centred_ellipsoid
from segdistill.evaluation.predict import Predictor
from segdistill.evaluation.reference import Reference, Rows
from segdistill.evaluation.summary import summaries
from segdistill.model import BEST
from segdistill.progress import track
from segdistill.run import Run

Subset = Literal["test", "validation", "train"]


def evaluate(
    run: Run,
    *,
    subset: Subset | None = None,
    network: nn.Module | None = None,
    device: str = "auto",
    predictions: bool = True,
) -> dict[str, Any]:
    """Score the best student of a run, case by case and class by class; write metrics.json (and the masks).

    Args:
        subset: cases to score; None: the run's evidence, which is its test cases, or where it has none its validation
            cases (which chose the checkpoint: the report says so). Other figures go to metrics_<subset>.json.
        network: a module of the caller's own that the run trained.
        predictions: keep the masks, on the original grids, in predictions/.

    Returns:
        What metrics.json holds: rows a case and class, their summary, and the same for the baselines; `calibration`, a
        row a case (`CaseCalibration.to_dict`), and `lesions`, a row a case and class (`case_lesions`). Where a teacher
        had learnt from some of the cases, `leaks` names it and them, their rows are marked as leaking, and a summary
        without them stands beside that of all.

    Raises:
        SegdistillError: no such cases, data that is no longer there, or a training that kept a better student
            meanwhile.
    """
    dataset = dataset_of(run)
    evidence: Subset = "test" if run.splits.test else "validation"
    subset = subset or evidence
    ids = getattr(run.splits, subset)
    if not ids:
        raise SegdistillError(
            f"{run.path} has no {subset} cases (see its splits.json); ask for --subset validation"
        )
    leaks = leaks_of(run, ids)
    leaking = {case for cases in leaks.values() for case in cases}
    kept = _kept(run)
    predictor = Predictor.of(run, network=network, device=device)
    rows: Rows = []
    calibration: Rows = []
    lesions: Rows = []
    naive: dict[str, Rows] = {"all_background": []}
    ellipsoid = len(predictor.plan.classes) == 1 and predictor.plan.spatial_dims == 3
    if ellipsoid:
        naive["centred_ellipsoid"] = []
    for name in track(ids, f"Evaluating {run.path.name}", total=len(ids)):
        case = dataset.case(name)
        out = run.file("predictions") / f"{name}{mask_suffix(case)}"
        site = predictor.site_of(name)
        reference = Reference.of(case, predictor.plan.dataset, run, name in leaking)
        hearing = reference.listener()
        if predictions:
            answer = predictor.write(case.images, out, site, hearing.listen)
        else:
            answer = predictor.classes(case.images, site, hearing.listen)
        rows += reference.metrics(answer)
        calibration += reference.calibration(hearing)
        lesions += reference.lesions(answer)
        naive["all_background"] += reference.metrics(all_background(answer))
        if ellipsoid:
            ball = centred_ellipsoid(answer.shape[1:], reference.spacing)
            naive["centred_ellipsoid"] += reference.metrics(ball)
    result = {
        "format": 1,
        "split": subset,
        "classes": list(predictor.plan.classes),
        "tolerance_mm": run.recipe.evaluate.tolerance_mm,
        **({"leaks": leaks} if leaks else {}),
        "cases": rows,
        **summaries(rows),
        "calibration": calibration,
        "lesions": lesions,
        "baselines": {key: {"cases": found, **summaries(found)} for key, found in naive.items()},
    }
    if _kept(run) != kept:
        raise SegdistillError(
            f"{run.path} is still being trained and kept a better student meanwhile, so these figures are out of date "
            "already and were not written; evaluate it again when the training is over"
        )
    write_json(run.file("metrics.json" if subset == evidence else f"metrics_{subset}.json"), result)
    return result


def _kept(run: Run) -> tuple[int, int, int] | None:
    """What tells the file of the run's best student from one that replaced it; None: there is none."""
    best = run.file(BEST)
    if not best.is_file():
        return None
    file = best.stat()
    return file.st_ino, file.st_size, file.st_mtime_ns


def dataset_of(run: Run) -> Dataset:
    """The images and labels that a run was trained on, where its recipe says they are.

    Raises:
        SegdistillError: they are no longer there.
    """
    try:
        return open_dataset(run.recipe.data.path or "", run.recipe.data.layout)
    except SegdistillError as error:
        raise SegdistillError(f"{run.file('recipe.yaml')}, data.path: {error}") from error


def leaks_of(run: Run, cases: Iterable[str]) -> dict[str, list[str]]:
    """By teacher, those of the cases that it had learnt from before it taught the run, as far as is known."""
    asked = set(cases)
    found = {name: sorted(asked & set(learnt)) for name, learnt in run.info.get("taught_on", {}).items()}
    return {name: those for name, those in found.items() if those}


def mask_suffix(case: Case) -> str:
    """Masks are written in the format of the label; never in one that loses values, as JPEG does."""
    ending = suffix(Path(case.label or case.images[0]))
    return ".png" if ending in (".jpg", ".jpeg") else ending
