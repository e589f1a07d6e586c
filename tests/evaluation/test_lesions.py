"""Lesions matched by loops over all pairings, and by hand."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from segdistill.evaluation.lesions import LesionRow, case_lesions, detection, read_lesions, terciles


def components(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Sets of voxels that touch by face, edge or corner, found by flooding."""
    left = {tuple(map(int, place)) for place in np.argwhere(mask)}
    found = []
    while left:
        edge = [left.pop()]
        whole = set(edge)
        while edge:
            here = edge.pop()
            for step in itertools.product((-1, 0, 1), repeat=mask.ndim):
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in left:
                    left.remove(there)
                    whole.add(there)
                    edge.append(there)
        found.append(whole)
    return found


def naive(prediction: np.ndarray, reference: np.ndarray, least: float) -> tuple[list[Any], Counter[int]]:
    """(size, found, Dice) of each lesion and the sizes of false alarms, of the pairing with the largest sum of IoU."""
    truths, said = components(reference), components(prediction)
    best: tuple[float, dict[int, int]] = (-1.0, {})
    places = [*range(len(said)), *[-1] * len(truths)]
    for chosen in set(itertools.permutations(places, len(truths))):
        pairs, total = {}, 0.0
        for t, s in enumerate(chosen):
            iou = len(truths[t] & said[s]) / len(truths[t] | said[s]) if s >= 0 else 0.0
            if iou > least:
                pairs[t], total = s, total + iou
        best = max(best, (total, pairs), key=lambda one: one[0])
    rows = []
    for t, truth in enumerate(truths):
        s = best[1].get(t)
        dice = 0.0 if s is None else 2 * len(truth & said[s]) / (len(truth) + len(said[s]))
        rows.append((len(truth), s is not None, dice))
    false = Counter(len(said[s]) for s in range(len(said)) if s not in best[1].values())
    return rows, false


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("least", [0.1, 0.4])
def test_equals_the_best_of_all_pairings(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    space, spacing = ((7, 8), (0.5, 2.0)) if seed % 2 else ((5, 4, 5), (1.0, 2.0, 1.5))
    masks = (rng.random((2, 1, *space)) < (0.2 if seed % 2 else 0.08)).astype(np.int16)
    prediction, reference = masks[0], masks[1].copy()
    prediction[reference == 1] |= (rng.random(int((reference == 1).sum())) < 0.6).astype(np.int16)
    if len(components(reference[0] == 1)) > 4 or len(components(prediction[0] == 1)) > 5:
        prediction[0, 3:] = reference[0, 3:] = 0
    row = json.loads(json.dumps(case_lesions(prediction, reference, spacing, ["a"], least_iou=least)))[0]
    lesions, false = naive(prediction[0] == 1, reference[0] == 1, least)
    voxel = float(np.prod(spacing))
    told = [(one["volume"], one["found"], one["dice"]) for one in row["reference"]]
    expected = sorted((n * voxel, hit, dice) for n, hit, dice in lesions)
    assert np.array(sorted(told), float) == pytest.approx(np.array(expected, float))
    assert [volume for volume, _, _ in told] == sorted((volume for volume, _, _ in told), reverse=True)
    assert row["false_positives"] == [[n * voxel, false[n]] for n in sorted(false, reverse=True)]


def line(*runs: tuple[int, int, int]) -> np.ndarray:
    """(1, 1, 40) with a value from one voxel up to another."""
    found = np.zeros((1, 1, 40), np.int16)
    for start, stop, value in runs:
        found[0, 0, start:stop] = value
    return found


def test_by_hand() -> None:
    reference = line((0, 10, 1), (20, 22, 1), (30, 34, 2))
    prediction = line((5, 10, 1), (21, 32, 1), (36, 37, 1), (38, 39, 1), (33, 34, 2))
    a, b = case_lesions(prediction, reference, (2.0, 0.5), ["a", "b"])
    # 5 of 10 voxels: Dice 10 / 15. One voxel of 2 in a component of 11: IoU 1 / 12, below 0.1.
    assert a["reference"] == [
        {"volume": 10.0, "found": True, "dice": pytest.approx(2 / 3)},
        {"volume": 2.0, "found": False, "dice": 0.0},
    ]
    assert a["false_positives"] == [[11.0, 1], [1.0, 2]]
    assert b == {
        "class": "b",
        "reference": [{"volume": 4.0, "found": True, "dice": pytest.approx(0.4)}],
        "false_positives": [],
    }
    rows = read_lesions([{"case": "c", **a}, {"case": "c", **b}])["c"]
    whole = detection(rows)
    assert (whole.lesions, whole.found, whole.false_positives) == (3, 2, 3)
    assert (whole.recall, whole.precision, whole.f1) == pytest.approx((2 / 3, 2 / 5, 4 / 8))
    assert whole.dice == pytest.approx((2 / 3 + 0 + 0.4) / 3)
    small = detection(rows, 0.0, 2.0)
    assert (small.lesions, small.found, small.false_positives, small.f1) == (1, 0, 2, 0)


def test_corners_join_and_one_component_finds_one_lesion() -> None:
    reference = np.zeros((1, 4, 9), np.int16)
    reference[0, 0, 0] = reference[0, 1, 1] = 1  # one lesion, by a corner
    reference[0, 2, 3:9] = 1
    prediction = np.zeros_like(reference)
    prediction[0, :3, :9] = 1  # covers both
    (row,) = case_lesions(prediction, reference, (1.0, 1.0), ["a"])
    assert [(one["volume"], one["found"]) for one in row["reference"]] == [(6.0, True), (2.0, False)]
    assert row["false_positives"] == []


def test_ignored_voxels_are_no_false_alarms_and_regions_stand_for_themselves() -> None:
    reference = np.stack([line((0, 4, 1))[0], line((0, 8, 1), (20, 30, -1))[0]])
    prediction = np.stack([line((20, 24, 1))[0], line((0, 8, 1), (22, 25, 1))[0]])
    small, large = case_lesions(prediction, reference, (1.0, 1.0), ["small", "large"], regions=True)
    assert small["false_positives"] == [[4.0, 1]] and not small["reference"][0]["found"]
    assert large["false_positives"] == [] and large["reference"][0]["dice"] == 1


def test_empty_masks() -> None:
    empty = np.zeros((1, 3, 3, 3), np.int16)
    (row,) = case_lesions(empty, empty, (1, 1, 1), ["a"])
    assert row == {"class": "a", "reference": [], "false_positives": []}
    nothing = detection([LesionRow.from_dict(row)])
    assert nothing.recall is nothing.precision is nothing.f1 is nothing.dice is None
    (row,) = case_lesions(empty + 1, empty, (1, 1, 1), ["a"])
    assert row["false_positives"] == [[27.0, 1]]


def test_thirds_of_the_reference_lesions() -> None:
    def rows(*volumes: float) -> list[LesionRow]:
        return [LesionRow("a", tuple((volume, True, 1.0) for volume in volumes), ())]

    edges = terciles(rows(6, 1, 2, 5, 3, 4))
    assert edges == (0, 2, 4, float("inf"))
    counts = [detection(rows(6, 1, 2, 5, 3, 4), *ends).lesions for ends in itertools.pairwise(edges)]
    assert counts == [2, 2, 2]
    assert terciles(rows(3, 3, 3)) == terciles(rows()) == (0, float("inf"))
    assert terciles(rows(1, 1, 1, 9)) == (0, 1, float("inf"))
