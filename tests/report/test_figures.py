from __future__ import annotations

import io
import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.data import open_dataset
from segdistill.errors import SegdistillError
from segdistill.report import build
from segdistill.report.figures import Figure, Missing, bubble, curves, differences, overlays, slopes
from segdistill.report.figures.pictures import find_dataset, find_prediction, read_picture
from segdistill.report.figures.style import CYCLE, MARKS, for_page
from segdistill.report.gather import gather
from segdistill.report.run_folder import read_run
from segdistill.report.shown import Shown


def test_figures_of_lines_are_vector_and_pixels_and_name_the_models(study: list[Path]) -> None:
    evidence = gather(study)
    drawn = [
        bubble.draw(evidence),
        differences.draw(evidence),
        slopes.draw(evidence),
        curves.draw(evidence.comparisons[0]),
    ]
    for figure in drawn:
        assert isinstance(figure, Figure) and figure.svg is not None
        assert "S1" in figure.svg and figure.alt and figure.caption
        ElementTree.fromstring(figure.svg)
        assert Image.open(io.BytesIO(figure.png)).width > 300
    curve = drawn[3]
    assert isinstance(curve, Figure) and curve.svg is not None
    assert all(term in curve.svg for term in ("coarse", "fine", "pixel", "segmentation", "total"))


def test_in_the_page_ink_follows_the_theme_and_ids_do_not_clash(study: list[Path]) -> None:
    evidence = gather(study)
    one, two = bubble.draw(evidence), slopes.draw(evidence)
    assert isinstance(one, Figure) and isinstance(two, Figure)
    ids = []
    for figure in (one, two):
        root = ElementTree.fromstring(for_page(figure))
        ids += [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert "currentColor" in for_page(figure) and "width" not in root.attrib
    assert len(ids) == len(set(ids))


def test_roles_differ_by_mark_and_lines_by_lightness_not_by_colour_alone() -> None:
    assert len(set(MARKS.values())) == len(MARKS)
    assert len(set(CYCLE)) == len(CYCLE)


def test_what_cannot_be_drawn_says_why(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "d", kind="distilled", network="unet", scores=scores(0.7), method="m", epochs=0)
    (run / "cost.json").unlink()
    evidence = gather([run])
    for figure, reason in (
        (bubble.draw(evidence), "number of parameters"),
        (slopes.draw(evidence), "trained alone"),
        (differences.draw(evidence), "can be compared"),
        (curves.draw(evidence.comparisons[0]), "no epochs"),
        (overlays.draw(evidence, evidence.comparisons[0]), "no longer at nowhere"),
    ):
        assert isinstance(figure, Missing) and reason in figure.reason


def test_best_median_and_worst_case_are_shown(study: list[Path]) -> None:
    evidence = gather(study)
    figures = overlays.draw(evidence, evidence.comparisons[0])
    assert isinstance(figures, list)
    assert [figure.title.split(":")[0] for figure in figures] == ["Best case", "Median case", "Worst case"]
    dice = evidence.of("distilled")[0].by_case("dice", evidence.cases)
    ordered = sorted(dice, key=lambda case: dice[case] or 0.0)
    assert [figure.title.split(": ")[1] for figure in figures] == [ordered[-1], ordered[3], ordered[0]]
    pixels = np.asarray(Image.open(io.BytesIO(figures[0].png)).convert("RGB")).reshape(-1, 3).astype(int)
    orange = (abs(pixels - [230, 159, 0]).sum(axis=1) < 30).sum()
    assert orange > 100  # the contour of the first class


def test_cases_of_ones_own_choice_are_shown_instead(study: list[Path]) -> None:
    evidence = gather(study)
    (comparison,) = evidence.comparisons
    figures = overlays.draw(evidence, comparison, ["case_10", "case_09", "case_10"])
    assert not isinstance(figures, Missing)
    assert [figure.title for figure in figures] == ["Chosen case: case_10", "Chosen case: case_09"]
    with pytest.raises(
        SegdistillError, match=r"case 'case_01': S1 teach_former was not scored on it \(it was on case_08"
    ):
        overlays.draw(evidence, comparison, ["case_01"])


def test_images_or_masks_that_are_gone_leave_the_overlays_out(study: list[Path]) -> None:
    evidence = gather(study)
    shutil.rmtree(study[0].parent / "distilled_seed0" / "predictions")
    missing = overlays.draw(evidence, evidence.comparisons[0])
    assert isinstance(missing, Missing) and "predicted mask of case" in missing.reason
    shutil.rmtree(study[0].parent / "data")
    missing = overlays.draw(evidence, evidence.comparisons[0])
    assert isinstance(missing, Missing) and "no longer at" in missing.reason


def test_a_slice_is_cut_where_the_reference_is_largest(study: list[Path]) -> None:
    run = read_run(study[-1])
    dataset = find_dataset(run)
    mask = find_prediction(run, "case_09")
    assert mask is not None
    picture = read_picture(dataset, "case_09", {"Distilled": mask})
    assert picture.place in ("axial slice 5 of 10", "axial slice 6 of 10")
    assert picture.image.shape == (2, 20, 24) and picture.reference.shape == (1, 20, 24)
    assert picture.aspect == 1.0


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_the_patients_right_is_on_the_left_whatever_the_files_axes(
    tmp_path: Path, flips: tuple[int, ...]
) -> None:
    """One voxel, right-front of the middle: left and up in the picture."""
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    label = np.zeros((70, 72, 6), np.uint8)
    label[60, 65, 3] = 1  # RAS+: x to the right, y to the front
    label = np.ascontiguousarray(label[tuple(slice(None, None, flip) for flip in flips)])
    affine = np.diag([*(2.0 * np.array(flips)), 1.0])
    for name, array in (("imagesTr/a_0000", label.astype(np.float32)), ("labelsTr/a", label)):
        nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    (tmp_path / "dataset.json").write_text(
        '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "spot": 1}, "numTraining": 1, '
        '"file_ending": ".nii.gz"}'
    )
    picture = read_picture(open_dataset(tmp_path), "a", {})
    (row,), (column,) = np.nonzero(picture.reference[0])
    height, width = picture.reference.shape[1:]
    assert row < height / 2 and column < width / 2


def test_photographs_are_shown_in_colour(make_run: Callable[..., Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in ("images", "labels"):
        (data / folder).mkdir(parents=True)
    scores = {}
    run = make_run(
        tmp_path / "d", kind="distilled", network="unet", method="m", data=data,
        scores={f"p{n}": {"foreground": 0.5 + n / 10} for n in range(3)},
    )  # fmt: skip
    (run / "predictions").mkdir()
    for number in range(3):
        mask = np.zeros((40, 30), np.uint8)
        mask[10 : 20 + number, 8:20] = 255
        red = np.zeros((40, 30, 3), np.uint8)
        red[..., 0] = 200
        Image.fromarray(red).save(data / "images" / f"p{number}.png")
        Image.fromarray(mask).save(data / "labels" / f"p{number}.png")
        Image.fromarray(mask).save(run / "predictions" / f"p{number}.png")
        scores[f"p{number}"] = 1.0
    evidence = gather([run])
    figures = overlays.draw(evidence, evidence.comparisons[0])
    assert isinstance(figures, list), figures
    pixels = np.asarray(Image.open(io.BytesIO(figures[0].png)).convert("RGB")).reshape(-1, 3).astype(int)
    assert (abs(pixels - [200, 0, 0]).sum(axis=1) < 30).sum() > 1000


def test_a_case_name_cannot_lead_out_of_the_predictions(study: list[Path]) -> None:
    assert find_prediction(read_run(study[-1]), "../../data/labelsTr/case_09") is None


def test_pictures_stay_where_images_and_masks_are_gone(study: list[Path], tmp_path: Path) -> None:
    """But not those of other answers."""
    first = build(study, tmp_path / "report").page
    assert first.read_text().count("data:image/png") == 3
    for run in study:
        shutil.rmtree(run / "predictions")
    assert build(study, tmp_path / "report").page.read_text().count("data:image/png") == 3
    assert "Median case" in (tmp_path / "report" / "report.md").read_text()
    assert "data:image/png" not in build(study, tmp_path / "elsewhere").page.read_text()
    assert (
        "data:image/png" not in build(study, tmp_path / "report", shown=Shown(images=False)).page.read_text()
    )
    for run in study:
        metrics = json.loads((run / "metrics.json").read_text())
        for row in metrics["cases"]:
            row["dice"] *= 0.9
        (run / "metrics.json").write_text(json.dumps(metrics))
    assert "data:image/png" not in build(study, tmp_path / "report").page.read_text()
