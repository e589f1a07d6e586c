"""Answers without learning: their shape, their place, and what they score on real crops."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from segdistill.evaluation.baselines import all_background, centred_ellipsoid
from segdistill.evaluation.metrics import case_metrics
from segdistill.evaluation.summary import summarise


@pytest.mark.parametrize("shape", [(1, 5, 4, 3), (3, 6, 7)])
def test_all_background_has_the_shape_of_the_reference(shape: tuple[int, ...]) -> None:
    answer = all_background(np.ones(shape, dtype=np.int16))
    assert answer.shape == shape
    assert answer.dtype == np.int16
    assert not answer.any()


def test_all_background_misses_everything() -> None:
    reference = np.ones((1, 4, 4), dtype=np.int16)
    assert case_metrics(all_background(reference), reference, (1.0, 1.0), ["a"])[0]["dice"] == 0


def test_ellipsoid_has_its_volume_and_lies_in_the_middle() -> None:
    shape, spacing = (80, 70, 50), (1.5, 2.0, 3.0)
    answer = centred_ellipsoid(shape, spacing, margin_mm=25)
    assert answer.shape == (1, *shape)
    assert answer.dtype == np.int16
    semi_axes = [size * step / 2 - 25 for size, step in zip(shape, spacing, strict=True)]
    volume = 4 / 3 * np.pi * np.prod(semi_axes)
    assert answer.sum() * np.prod(spacing) == pytest.approx(volume, rel=0.02)
    for axis, (step, semi_axis) in enumerate(zip(spacing, semi_axes, strict=True)):
        assert np.array_equal(answer, np.flip(answer, axis + 1))
        reached = np.flatnonzero(answer[0].any(axis=tuple({0, 1, 2} - {axis})))
        assert np.ptp(reached) * step == pytest.approx(2 * semi_axis, abs=2 * step)


def test_ellipse_in_two_dimensions() -> None:
    answer = centred_ellipsoid((100, 60), (1.0, 1.0), margin_mm=10)
    assert answer.sum() == pytest.approx(np.pi * 40 * 20, rel=0.01)


def test_a_crop_no_larger_than_its_margins_gives_nothing_away() -> None:
    assert not centred_ellipsoid((100, 100, 10), (1.0, 1.0, 5.0), margin_mm=25).any()


def test_sarcoma_crops_give_the_position_away(real_data: Path) -> None:
    rows = []
    for path in sorted((real_data / "Dataset101_SarcomaPETCTMR" / "labelsTr").glob("*.nii.gz")):
        file = nibabel.load(path)
        reference = np.asarray(file.dataobj).astype(np.int16)[None]
        spacing = tuple(float(step) for step in file.header.get_zooms()[:3])
        answer = centred_ellipsoid(reference.shape[1:], spacing)
        rows += [
            {"case": path.name, **found} for found in case_metrics(answer, reference, spacing, ["tumour"])
        ]
    dice = summarise(rows)["tumour"]["dice"]
    assert dice["n"] == 26
    assert 0.56 < dice["mean"] < 0.60
