"""Grad-CAM of run folders: each network's own patch around one class of one case, drawn side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from segdistill.errors import SegdistillError
from segdistill.report.evidence import Comparison, Evidence
from segdistill.report.figures.beside import called
from segdistill.report.figures.overlays import choose
from segdistill.report.figures.style import Figure, Missing
from segdistill.report.words import listing
from segdistill.run import Run

if TYPE_CHECKING:
    from segdistill.data.dataset import Case

TITLE = "Grad-CAM"
DEEPEST = "encoder/deepest"
Over = Literal["predicted", "reference"]


def explain(
    runs: Mapping[str, Run],
    case: str,
    class_name: str,
    *,
    stage: str = DEEPEST,
    over: Over = "predicted",
    device: str = "auto",
    tell: Callable[[str], None] = lambda _: None,
) -> Figure:
    """Where several networks look for a class.

    Args:
        runs: title of a column -> run; the first one's images are shown.
        case: of their dataset, with a label in which the class occurs.
        stage: of every network.
        over: voxels whose logits are explained: each network's own answer, or the reference.
        tell: is told of runs that were trained on the case.

    Raises:
        SegdistillError: no such case, class or stage, no voxel of the class, runs on other grids, a checkpoint that is
            not there.
    """
    from segdistill.data.case_files import read_channels, read_classes
    from segdistill.data.image import read_geometry
    from segdistill.evaluation.grad_cam import cam_of_case, centre_voxel
    from segdistill.evaluation.predict import Predictor
    from segdistill.report.figures import grad_cam

    first = next(iter(runs.values()))
    cases = {name: find_case(run, case) for name, run in runs.items()}
    axis = slices_axis(runs.values())
    plan, shown = first.plan, next(iter(cases.values()))
    assert shown.label is not None
    image, geometry = read_channels(shown.images, plan.dataset.channels)
    label = read_classes(shown.label, plan.dataset, shown.images[0], geometry)
    index = plan.classes.index(class_name)
    reference = label[index] == 1 if plan.regions else label[0] == index + 1
    if not reference.any():
        raise SegdistillError(
            f"case {shown.id} has no voxel of {class_name}; choose another --case or --class"
        )
    centre = centre_voxel(reference, geometry.spacing)
    cams = {}
    for name, run in runs.items():
        if not read_geometry(cases[name].images[0]).same_grid(geometry):
            raise SegdistillError(
                f"{run.path}: case {shown.id} lies on another grid than that of {first.path}; compare runs of one "
                "dataset"
            )
        if shown.id in run.splits.train:
            tell(f"warning: {run.path} was trained on case {shown.id}; its answer there is no evidence")
        try:
            predictor = Predictor.of(run, device=device)
            cams[name] = cam_of_case(predictor, cases[name], class_name, centre, stage=stage, over=over)
        except SegdistillError as error:
            raise SegdistillError(
                str(error) if str(run.path) in str(error) else f"{run.path}: {error}"
            ) from error
    return grad_cam.draw(
        image, reference, geometry, centre, cams,
        channels=plan.dataset.channels, case=shown.id, class_name=class_name, stage=stage, axis=axis,
    )  # fmt: skip


def explained(evidence: Evidence, comparison: Comparison, cases: Sequence[str] = ()) -> Figure | Missing:
    """Best teacher, student alone and distilled student on the median case, or the first of `cases`; else `Missing`."""
    chosen, rows = choose(evidence, comparison, cases), comparison.student.run.scores
    case = next((name for what, name in chosen if what == "Median"), chosen[0][1] if chosen else None)
    classes = rows.values.get(case, {}) if rows and case is not None else {}
    largest = max(classes, key=lambda name: classes[name].get("reference_voxels") or 0, default=None)
    if case is None or largest is None:
        return Missing(TITLE, f"{comparison.student.short} has no case with a defined Dice")
    teacher = next((t for t in comparison.teachers if t.evaluated), None)
    models = [model for model in (teacher, comparison.alone, comparison.student) if model is not None]
    try:
        return explain({called(model): Run.open(model.run.path) for model in models}, case, largest)
    except (SegdistillError, OSError) as error:
        return Missing(TITLE, str(error))


def choose_class(runs: Iterable[Run], asked: str | None) -> str:
    """The class asked for, or the first run's first; SegdistillError with the choices where a run lacks it."""
    runs = list(runs)
    chosen = asked or runs[0].plan.classes[0]
    for run in runs:
        classes = run.plan.classes
        if chosen not in classes:
            raise SegdistillError(
                f"{run.path} has no class {chosen!r}; choose --class from {', '.join(classes)}"
            )
    return chosen


def default_case(run: Run) -> str:
    """The first test case; where there is none, the first validation case."""
    cases = run.splits.test or run.splits.validation
    if not cases:
        raise SegdistillError(f"{run.path} has no test or validation cases (splits.json); name one by --case")
    return cases[0]


def find_case(run: Run, name: str) -> Case:
    """A case of the run's dataset, with its label; SegdistillError with some choices."""
    from segdistill.evaluation.evaluate import dataset_of

    dataset = dataset_of(run)
    case = next((case for case in dataset.cases if case.id == name), None)
    if case is None:
        choices = run.splits.test or run.splits.validation
        raise SegdistillError(f"{dataset.path} has no case {name!r}; choose --case from {listing(choices)}")
    if case.label is None:
        raise SegdistillError(f"{dataset.path}: case {name} has no label to centre the picture on")
    return case


def slices_axis(runs: Iterable[Run]) -> int | None:
    """The axis across which volumes are read as slices; None where no run does."""
    sections = [run.recipe.data.slices for run in runs]
    axes = {section.axis for section in sections if section is not None}
    if len(axes) > 1:
        raise SegdistillError(
            f"the runs read slices across different axes ({', '.join(map(str, sorted(axes)))}, data.slices.axis); "
            "no picture shows both"
        )
    return next(iter(axes), None)


def columns(runs: Iterable[Run], *, with_teachers: bool) -> dict[str, Run]:
    """Column title -> run, teachers first; each folder once, by its name, or its path where names are equal.

    Raises:
        SegdistillError: no run has a teacher, or one of them is no run folder.
    """
    runs, found = list(runs), dict[Path, tuple[str, Run]]()
    if with_teachers:
        for run in runs:
            for name, source in run.info.get("teachers", {}).items():
                try:
                    teacher = Run.open(source)
                except SegdistillError as error:
                    raise SegdistillError(
                        f"{run.path}: teacher {name}: {error}; leave out --teachers"
                    ) from None
                found.setdefault(
                    teacher.path.resolve(), (name if name == "teacher" else f"{name} (teacher)", teacher)
                )
        if not found:
            raise SegdistillError("--teachers: none of the runs has a teacher in its run.json; leave it out")
    for run in runs:
        found.setdefault(run.path.resolve(), (run.path.resolve().name, run))
    titles = [title for title, _ in found.values()]
    return {title if titles.count(title) == 1 else str(run.path): run for title, run in found.values()}
