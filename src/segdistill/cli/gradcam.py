"""`segdistill gradcam`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from segdistill.cli.arguments import Device
from segdistill.errors import SegdistillError

if TYPE_CHECKING:
    from segdistill.data.dataset import Case
    from segdistill.run import Run


def gradcam_command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, in the order of the columns: for example the student alone and the distilled one.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.", show_default=False)],
    case: Annotated[
        str | None,
        typer.Option(
            help="Case with a label.  [default: the first run's first test case]", show_default=False
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option(
            "--class", help="Class (or region) to explain.  [default: the first]", show_default=False
        ),
    ] = None,
    stage: Annotated[
        str, typer.Option(help="Stage of every network, such as encoder/8 or decoder/1.")
    ] = "encoder/deepest",
    over: Annotated[
        Literal["predicted", "reference"],
        typer.Option(help="Voxels whose logits are explained: each network's own answer, or the reference."),
    ] = "predicted",
    teachers: Annotated[
        bool, typer.Option("--teachers", help="Show the teachers of the runs in front.")
    ] = False,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a picture that is there.")] = False,
) -> None:
    """Show where several networks look for a class: Grad-CAM heat maps side by side on one slice.

    Each network sees one patch of its own size around the centre of the class, preprocessed as it was trained. The
    maps show what a stage contributes to an answer; they are no proof that the answer is right.

    **Example**

      segdistill gradcam runs/alone runs/hinton --teachers --class tumour --out gradcam.png
    """
    if out.suffix.lower() != ".png":
        raise SegdistillError(f"{out}: the picture is a PNG; choose an --out that ends in .png")
    if out.exists() and not overwrite:
        raise SegdistillError(f"{out} exists: --overwrite replaces it, or choose another --out")
    from segdistill.run import Run

    opened = [Run.open(path) for path in runs]
    columns = name_columns(opened, with_teachers=teachers)
    class_name = choose_class(opened[0], columns.values(), class_name)
    cases = {name: find_case(run, case or default_case(opened[0])) for name, run in columns.items()}
    axis = slices_axis(columns.values())
    from segdistill.atomic import replacing
    from segdistill.data.case_files import read_channels, read_classes
    from segdistill.data.image import read_geometry
    from segdistill.evaluation.grad_cam import cam_of_case, centre_voxel
    from segdistill.evaluation.predict import Predictor
    from segdistill.report.figures import grad_cam

    console = Console(stderr=True)
    plan, shown = opened[0].plan, find_case(opened[0], case or default_case(opened[0]))
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
    for name, run in columns.items():
        if not read_geometry(cases[name].images[0]).same_grid(geometry):
            raise SegdistillError(
                f"{run.path}: case {shown.id} lies on another grid than that of {opened[0].path}; "
                "compare runs of one dataset"
            )
        if shown.id in run.splits.train:
            told = f"warning: {run.path} was trained on case {shown.id}; its answer there is no evidence"
            console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
        try:
            predictor = Predictor.of(run, device=device)
            cams[name] = cam_of_case(predictor, cases[name], class_name, centre, stage=stage, over=over)
        except SegdistillError as error:
            raise SegdistillError(
                str(error) if str(run.path) in str(error) else f"{run.path}: {error}"
            ) from error
    figure = grad_cam.draw(
        image, reference, geometry, centre, cams,
        channels=plan.dataset.channels, case=shown.id, class_name=class_name, stage=stage, axis=axis,
    )  # fmt: skip
    with replacing(out) as temporary:
        temporary.write_bytes(figure.png)
    console.print(f"{out}: {figure.alt}", highlight=False, markup=False, soft_wrap=True)


def name_columns(runs: Sequence[Run], *, with_teachers: bool) -> dict[str, Run]:
    """Column title -> run, teachers first; each folder once, by its name, or its path where names are equal.

    Raises:
        SegdistillError: no run has a teacher, or one of them is no run folder.
    """
    from segdistill.run import Run

    found: dict[Path, tuple[str, Run]] = {}
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


def choose_class(first: Run, runs: Iterable[Run], asked: str | None) -> str:
    """The class asked for, or the first run's first; SegdistillError with the choices where a run lacks it."""
    chosen = asked or first.plan.classes[0]
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
    from segdistill.report.words import listing

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
