"""Metrics against naive loops on tiny masks, and against MONAI's own over whole volumes."""

from __future__ import annotations

import itertools
import json
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_surface_dice,
)
from scipy.ndimage import gaussian_filter

from segdistill.errors import SegdistillError
from segdistill.evaluation.metrics import METRICS, bounding_box, case_metrics


def boundary(mask: np.ndarray) -> list[tuple[int, ...]]:
    """Mask voxels with a face neighbour outside of the mask or of the image, found one by one."""
    found = []
    for voxel in itertools.product(*map(range, mask.shape)):
        if not mask[voxel]:
            continue
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            neighbour = list(voxel)
            neighbour[axis] += step
            inside = 0 <= neighbour[axis] < mask.shape[axis]
            if not inside or not mask[tuple(neighbour)]:
                found.append(voxel)
                break
    return found


def percentile(values: list[float], share: float) -> float:
    """Linear interpolation between the two nearest ranks."""
    ranked = sorted(values)
    place = (len(ranked) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def naive(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> dict[str, float]:
    """All metrics of two masks that are not empty: every pair of boundary voxels is measured."""
    edges = [boundary(prediction), boundary(reference)]
    ways = [
        [
            min(
                math.sqrt(sum(((x - y) * step) ** 2 for x, y, step in zip(p, q, spacing, strict=True)))
                for q in there
            )
            for p in here
        ]
        for here, there in (edges, edges[::-1])
    ]
    both = ways[0] + ways[1]
    shared = sum(bool(p and q) for p, q in zip(prediction.flat, reference.flat, strict=True))
    predicted, referred = int(prediction.sum()), int(reference.sum())
    return {
        "dice": 2 * shared / (predicted + referred),
        "iou": shared / (predicted + referred - shared),
        "hd95": max(percentile(way, 0.95) for way in ways),
        "assd": sum(both) / len(both),
        "nsd": sum(distance <= tolerance + 1e-5 for distance in both) / len(both),
        "rvd": (predicted - referred) / referred,
    }


def row(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], tolerance: float = 2.0
) -> dict[str, Any]:
    """The row of one class of masks without a channel axis."""
    return case_metrics(
        prediction[None].astype(np.int16), reference[None].astype(np.int16), spacing, ["a"], False, tolerance
    )[0]


def blob(rng: np.random.Generator, shape: tuple[int, ...], smooth: float, share: float) -> np.ndarray:
    """A random smooth mask that fills `share` of the image; it touches the image's border often."""
    field = gaussian_filter(rng.normal(size=shape), smooth)
    return field > np.quantile(field, 1 - share)


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3).map(tuple),
    spacing=st.lists(st.sampled_from([0.5, 0.8, 1.0, 2.0, 3.27]), min_size=3, max_size=3),
    tolerance=st.sampled_from([0.0, 1.0, 2.0]),
    seed=st.integers(0, 10_000),
)
def test_every_metric_equals_naive_loops(
    shape: tuple[int, ...], spacing: list[float], tolerance: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    prediction, reference = (rng.random(shape) < rng.uniform(0.1, 1) for _ in range(2))
    prediction.flat[0] = reference.flat[-1] = True
    steps = tuple(spacing[: len(shape)])
    found = row(prediction, reference, steps, tolerance)
    expected = naive(prediction, reference, steps, tolerance)
    assert {name: found[name] for name in METRICS} == pytest.approx(expected, rel=1e-5)
    assert found["reference_voxels"] == reference.sum()
    assert found["prediction_voxels"] == prediction.sum()


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((40, 33, 21), (0.8, 0.8, 2.5)), ((24, 24, 24), (1.0, 1.0, 1.0)), ((70, 51), (0.4, 1.3))],
)
def test_agrees_with_monai_over_the_whole_volume(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    rng = np.random.default_rng(3)
    for share in (0.02, 0.1, 0.4):
        reference = blob(rng, shape, 2.0, share)
        prediction = blob(rng, shape, 2.0, share) ^ blob(rng, shape, 1.0, 0.02) | reference & blob(
            rng, shape, 3.0, 0.7
        )
        found = row(prediction, reference, spacing, tolerance=2.1)
        masks = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference)]
        monai = {
            "dice": compute_dice(*masks),
            "iou": compute_iou(*masks),
            "hd95": compute_hausdorff_distance(
                *masks, include_background=True, percentile=95, spacing=spacing
            ),
            "assd": compute_average_surface_distance(
                *masks, include_background=True, symmetric=True, spacing=spacing
            ),
            "nsd": compute_surface_dice(*masks, [2.1], include_background=True, spacing=spacing),
        }
        assert {name: found[name] for name in monai} == pytest.approx(
            {name: float(value) for name, value in monai.items()}, rel=1e-5
        )


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), pad=st.integers(0, 4))
def test_space_around_an_image_changes_nothing(seed: int, pad: int) -> None:
    """A mask that touches the border has its boundary there, with or without background beyond."""
    rng = np.random.default_rng(seed)
    prediction, reference = (blob(rng, (9, 8, 6), 1.0, 0.3) for _ in range(2))
    wide = [np.pad(mask, pad) for mask in (prediction, reference)]
    assert row(*wide, spacing=(1.0, 2.0, 3.0)) == pytest.approx(row(prediction, reference, (1.0, 2.0, 3.0)))


def test_full_image_has_its_boundary_on_the_border() -> None:
    full = np.ones((6, 6), dtype=bool)
    hole = full.copy()
    hole[2:4, 2:4] = False
    assert row(full, full, (1.0, 1.0))["nsd"] == 1
    assert row(hole, full, (1.0, 1.0))["assd"] == pytest.approx(naive(hole, full, (1.0, 1.0), 2.0)["assd"])


def test_known_shift_in_millimetres() -> None:
    """A plane moved by two voxels of 2.5 mm is 5 mm off, whatever the other axes measure."""
    reference = np.zeros((5, 5, 12), dtype=bool)
    reference[:, :, 3] = True
    found = row(np.roll(reference, 2, axis=2), reference, (0.7, 0.9, 2.5), tolerance=5.0)
    assert found["hd95"] == pytest.approx(5)
    assert found["assd"] == pytest.approx(5)
    assert found["nsd"] == 1, "the tolerance itself is tolerated"
    assert row(np.roll(reference, 2, axis=2), reference, (0.7, 0.9, 2.5), tolerance=4.9)["nsd"] == 0


def test_tolerance_survives_rounded_spacing() -> None:
    reference = np.zeros((9, 3), dtype=bool)
    reference[2] = True
    assert (
        row(np.roll(reference, 3, axis=0), reference, (0.7 / 3 * 1.0000001, 1.0), tolerance=0.7)["nsd"] == 1
    )


def test_symmetry_and_sign() -> None:
    rng = np.random.default_rng(0)
    large, small = blob(rng, (12, 12, 9), 1.5, 0.4), blob(rng, (12, 12, 9), 1.5, 0.1)
    one, other = row(small, large, (1.0, 1.0, 3.0)), row(large, small, (1.0, 1.0, 3.0))
    for name in ("dice", "iou", "hd95", "assd", "nsd"):
        assert one[name] == pytest.approx(other[name])
    assert one["rvd"] < 0 < other["rvd"]
    assert row(large, large, (1.0, 1.0, 3.0)) | {"class": "a"} == {
        "class": "a",
        "dice": 1,
        "iou": 1,
        "hd95": 0,
        "assd": 0,
        "nsd": 1,
        "rvd": 0,
        "reference_voxels": large.sum(),
        "prediction_voxels": large.sum(),
    }


def test_undefined_values_are_none() -> None:
    empty = np.zeros((4, 6, 10), dtype=bool)
    some = empty.copy()
    some[1, 1, 1:3] = True
    diagonal = math.sqrt(4**2 + 12**2 + 30**2)
    steps = (1.0, 2.0, 3.0)
    nothing = dict.fromkeys(METRICS)
    assert row(empty, empty, steps) == {
        "class": "a",
        **nothing,
        "reference_voxels": 0,
        "prediction_voxels": 0,
    }
    worst = {"dice": 0, "iou": 0, "hd95": pytest.approx(diagonal), "assd": None, "nsd": 0}
    missed, invented = row(empty, some, steps), row(some, empty, steps)
    assert missed == {"class": "a", **worst, "rvd": -1, "reference_voxels": 2, "prediction_voxels": 0}
    assert invented == {"class": "a", **worst, "rvd": None, "reference_voxels": 0, "prediction_voxels": 2}
    json.dumps([missed, invented, row(empty, empty, steps), row(some, some, steps)], allow_nan=False)


def test_several_classes_are_separate_rows_in_order() -> None:
    reference = np.array([[[0, 1, 1, 2, 2, 0, 3, 3]] * 4], dtype=np.int16)
    prediction = np.array([[[0, 1, 1, 1, 2, 0, 0, 0]] * 4], dtype=np.int16)
    rows = case_metrics(prediction, reference, (1.0, 1.0), ["liver", "kidney", "spleen", "lung"])
    assert [one["class"] for one in rows] == ["liver", "kidney", "spleen", "lung"]
    assert [one["dice"] for one in rows] == [pytest.approx(16 / 20), pytest.approx(8 / 12), 0, None]
    for index, one in enumerate(rows[:2]):
        expected = naive(prediction[0] == index + 1, reference[0] == index + 1, (1.0, 1.0), 2.0)
        assert {name: one[name] for name in METRICS} == pytest.approx(expected)


def test_overlapping_regions_are_read_by_channel() -> None:
    rng = np.random.default_rng(1)
    reference = np.stack([blob(rng, (9, 9), 1.0, 0.5), blob(rng, (9, 9), 1.0, 0.2)]).astype(np.int16)
    prediction = np.stack([blob(rng, (9, 9), 1.0, 0.5), blob(rng, (9, 9), 1.0, 0.2)]).astype(np.int16)
    rows = case_metrics(prediction, reference, (1.0, 2.0), ["whole", "core"], regions=True)
    for channel, one in enumerate(rows):
        alone = row(prediction[channel], reference[channel], (1.0, 2.0))
        assert one == alone | {"class": ["whole", "core"][channel]}


@pytest.mark.parametrize("regions", [False, True])
def test_ignored_voxels_count_in_neither_mask(regions: bool) -> None:
    rng = np.random.default_rng(2)
    mask, answer = (blob(rng, (10, 10, 6), 1.0, 0.4) for _ in range(2))
    ignored = np.zeros_like(mask)
    ignored[:, 6:] = True
    reference = np.where(ignored, -1, mask).astype(np.int16)[None]
    found = case_metrics(answer[None].astype(np.int16), reference, (1.0, 1.0, 2.0), ["a"], regions)[0]
    assert found == row(answer & ~ignored, mask & ~ignored, (1.0, 1.0, 2.0))
    elsewhere = (answer ^ ignored)[None].astype(np.int16)
    assert case_metrics(elsewhere, reference, (1.0, 1.0, 2.0), ["a"], regions)[0] == found


def test_all_ignored_is_both_empty() -> None:
    answer = np.ones((1, 4, 4), dtype=np.int16)
    found = case_metrics(answer, np.full_like(answer, -1), (1.0, 1.0), ["a"])[0]
    assert found["dice"] is None
    assert found["prediction_voxels"] == 0


def test_bounding_box_keeps_a_margin_and_stays_inside() -> None:
    mask = np.zeros((6, 7), dtype=bool)
    mask[0, 3] = mask[2, 4] = True
    assert bounding_box(mask) == (slice(0, 4), slice(2, 6))
    assert mask[bounding_box(np.zeros_like(mask))].size == 0


@pytest.mark.parametrize(
    ("shapes", "spacing", "classes", "regions", "tolerance", "message"),
    [
        (((1, 4, 4), (1, 4, 5)), (1.0, 1.0), ["a"], False, 2.0, "one grid"),
        (((1, 4, 4), (1, 4, 4)), (1.0, 1.0, 1.0), ["a"], False, 2.0, "3 spacings"),
        (((4, 4), (4, 4)), (1.0, 1.0), ["a"], False, 2.0, r"expected \(channel"),
        (((1, 4, 4), (1, 4, 4)), (1.0, 1.0), ["a", "b"], True, 2.0, "expected 2 channel"),
        (((2, 4, 4), (2, 4, 4)), (1.0, 1.0), ["a", "b"], False, 2.0, "expected 1 channel"),
        (((1, 4, 4), (1, 4, 4)), (1.0, 0.0), ["a"], False, 2.0, "not positive"),
        (((1, 4, 4), (1, 4, 4)), (1.0, 1.0), ["a"], False, -1.0, "tolerance_mm"),
    ],
)
def test_what_does_not_fit_is_refused(
    shapes: tuple[tuple[int, ...], ...],
    spacing: tuple[float, ...],
    classes: list[str],
    regions: bool,
    tolerance: float,
    message: str,
) -> None:
    prediction, reference = (np.zeros(shape, dtype=np.int16) for shape in shapes)
    with pytest.raises(SegdistillError, match=message):
        case_metrics(prediction, reference, spacing, classes, regions, tolerance)


@pytest.mark.slow
def test_a_large_case_takes_seconds() -> None:
    reference, prediction = np.zeros((2, 1, 512, 512, 200), dtype=np.int16)
    x, y, z = np.ogrid[:512, :512, :200]
    centres = [(130, 130, 60), (370, 130, 80), (130, 370, 100), (370, 370, 120), (256, 256, 160)]
    for index, (a, b, c) in enumerate(centres):
        for label, scale in ((reference, 1.0), (prediction, 0.93)):
            inside = (x - a) ** 2 / 90**2 + (y - b) ** 2 / 80**2 + (z - c) ** 2 / 35**2 <= scale**2
            label[0][inside] = index + 1
    started = time.perf_counter()
    case_metrics(prediction, reference, (0.8, 0.8, 2.5), list("abcde"))
    assert time.perf_counter() - started < 20
