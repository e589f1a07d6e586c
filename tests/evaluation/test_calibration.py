"""Calibration error and Brier score against the textbook's loops over single voxels."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from segdistill.evaluation import calibration
from segdistill.evaluation.calibration import BINS, EDGES, Bins, CaseCalibration, read_calibration

SPACING = (3.0, 2.0, 7.0)  # 5 mm reach 1, 2 and 1 (at least one) voxels


def naive(pairs: list[tuple[float, bool, float]]) -> tuple[float, float]:
    """ECE and Brier of (confidence, right, squared distance)."""
    gaps = 0.0
    for low, high in itertools.pairwise(EDGES):
        inside = [(c, right) for c, right, _ in pairs if low < c <= high or (low == c == 0)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(right for _, right in inside) / len(inside)
            gaps += len(inside) / len(pairs) * abs(accuracy - confidence)
    return gaps, sum(s for _, _, s in pairs) / len(pairs)


def close(place: Any, others: np.ndarray) -> bool:
    return any(
        all(abs(a - b) <= r for a, b, r in zip(place, other, (1, 2, 1), strict=True)) for other in others
    )


def heard(reference: np.ndarray, maps: np.ndarray, regions: bool) -> dict[str, Any]:
    found = CaseCalibration(reference, SPACING, regions)
    passed = list(found.listen(iter(maps)))
    assert all(one is other for one, other in zip(passed, maps, strict=True)) or np.array_equal(passed, maps)
    return json.loads(json.dumps(found.to_dict()))


@pytest.mark.parametrize(("classes", "slab"), [(2, 2**19), (4, 2**19), (3, 1), (3, 120)])
def test_exclusive_classes_equal_loops_over_voxels(
    monkeypatch: pytest.MonkeyPatch, classes: int, slab: int
) -> None:
    monkeypatch.setattr(calibration, "SLAB", slab)
    rng = np.random.default_rng(classes)
    logits = rng.normal(0, 1, (classes, 7, 9, 6))
    logits[0, 3:] += 9  # sure of background there, and right
    reference = rng.integers(0, classes, (7, 9, 6))
    reference[3:] = 0
    reference[0, 0, :3] = -1
    maps = (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)
    maps[:, 6, 8] = 0  # cut away by a crop
    found = heard(reference[None].astype(np.int16), maps, False)
    answer = maps.argmax(0)
    there = np.argwhere((answer > 0) | (reference > 0))
    near, every = [], []
    for place in np.ndindex(reference.shape):
        p, truth = maps[(slice(None), *place)].astype(float), reference[place]
        if truth == -1 or p.max() == 0:
            continue
        distance = sum((p[c] - (truth == c)) ** 2 for c in range(classes))
        voxel = (p.max(), p.argmax() == truth, distance)
        every.append(voxel)
        if close(place, there):
            near.append(voxel)
    assert 0 < len(near) < len(every) < reference.size
    assert (found["ece"], found["brier"]) == pytest.approx(naive(near), rel=1e-5)
    assert (found["image"]["ece"], found["image"]["brier"]) == pytest.approx(naive(every), rel=1e-5)
    assert sum(found["bins"]["n"]) == len(near) and sum(found["image"]["bins"]["n"]) == len(every)
    assert found["image"]["ece"] < found["ece"]  # a whole image flatters


def test_regions_are_each_a_problem_of_two_answers() -> None:
    rng = np.random.default_rng(5)
    maps = rng.uniform(0.01, 0.99, (2, 5, 6, 4)).astype(np.float32)
    maps[:, 3:] = 0.02
    reference = (rng.random((2, 5, 6, 4)) > 0.6).astype(np.int16)
    reference[:, 3:] = 0
    reference[1, 0, 0] = -1
    found = heard(reference, maps, True)
    near, every = [], []
    for region in range(2):
        there = np.argwhere((maps[region] > 0.5) | (reference[region] == 1))
        for place in np.ndindex(reference.shape[1:]):
            p, truth = float(maps[(region, *place)]), reference[(region, *place)]
            if truth == -1:
                continue
            both = (1 - p, p)
            voxel = (max(both), (p > 0.5) == (truth == 1), (p - truth) ** 2 + (1 - p - (1 - truth)) ** 2)
            every.append(voxel)
            if close(place, there):
                near.append(voxel)
    assert (found["ece"], found["brier"]) == pytest.approx(naive(near), rel=1e-5)
    assert (found["image"]["ece"], found["image"]["brier"]) == pytest.approx(naive(every), rel=1e-5)


def test_one_class_and_one_region_say_the_same() -> None:
    """What a softmax over background and a class says, a sigmoid of the difference says, too."""
    rng = np.random.default_rng(6)
    p = rng.uniform(0.01, 0.99, (6, 5, 4)).astype(np.float32)
    reference = (rng.random((1, 6, 5, 4)) > 0.7).astype(np.int16)
    one = heard(reference, np.stack([1 - p, p]), False)
    other = heard(reference, p[None], True)
    assert (one["ece"], one["brier"]) == pytest.approx((other["ece"], other["brier"]), rel=1e-5)


def test_by_hand() -> None:
    """Three voxels at 0.9, of which two are right, and one at 0.6 that is right: |2 - 2.7| / 4 + |1 - 0.6| / 4."""
    bins = Bins.of(
        np.array([0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 0, 1], bool), np.array([0.02, 0.02, 1.62, 0.32])
    )
    assert bins.ece == pytest.approx((0.7 + 0.4) / 4)
    assert bins.brier == pytest.approx(1.98 / 4)


def test_a_confidence_on_an_edge_belongs_below_and_one_to_the_last() -> None:
    bins = Bins.of(np.array([0.0, EDGES[3], 1.0, 1.0 + 1e-7]), np.ones(4, bool), np.zeros(4))
    assert np.flatnonzero(bins.n).tolist() == [0, 2, BINS - 1] and bins.n[-1] == 2


def test_sure_and_right_is_perfect_and_sure_and_wrong_the_worst() -> None:
    reference = np.zeros((1, 4, 4), np.int16)
    reference[0, 1, 1] = 1
    right = np.stack([1 - reference[0], reference[0]]).astype(np.float32)
    for maps, worst in ((right, (0, 0)), (right[::-1], (1, 2))):
        found = CaseCalibration(reference, (1.0, 1.0))
        list(found.listen(maps))
        assert (found.image.ece, found.image.brier) == pytest.approx(worst)


def test_nothing_there_and_nothing_said_has_no_figure_near_it() -> None:
    found = CaseCalibration(np.zeros((1, 3, 3), np.int16), (1.0, 1.0))
    list(found.listen(np.stack([np.full((3, 3), 0.8), np.full((3, 3), 0.2)]).astype(np.float32)))
    assert found.near.ece is found.near.brier is None
    assert found.image.ece == pytest.approx(0.2)
    assert read_calibration([{"case": "a", **found.to_dict()}])["a"].near.ece is None


def test_bins_are_added_over_cases_and_survive_a_file() -> None:
    rng = np.random.default_rng(8)
    sure, right, squares = rng.random(500), rng.random(500) > 0.4, rng.random(500)
    whole = Bins.of(sure, right, squares)
    parts = [Bins.of(sure[part], right[part], squares[part]) for part in (slice(0, 111), slice(111, None))]
    rows = [
        {"case": str(k), **json.loads(json.dumps(part.to_dict() | {"image": whole.to_dict()}))}
        for k, part in enumerate(parts)
    ]
    read = read_calibration(rows)
    added = read["0"].near + read["1"].near
    assert read["0"].image.n.tolist() == whole.n.tolist()
    assert added.ece == pytest.approx(whole.ece, abs=1e-5)
    assert added.brier == pytest.approx(whole.brier)
    assert added.n.tolist() == whole.n.tolist()
