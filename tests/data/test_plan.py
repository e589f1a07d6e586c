"""Plans: decided from the training cases alone, written down whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdistill.data.dataset import Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.intensity import CT, MR, PET, Window
from segdistill.data.plan import Plan, make_plan
from segdistill.errors import SegdistillError

IDS = ["c0", "c1", "c2"]


def test_median_spacing_and_statistics_of_the_training_cases(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    assert plan.spacing == (1, 1, 2) and plan.shape == (8, 8, 6)
    assert [type(channel.intensity) for channel in plan.channels] == [CT, PET, MR]
    assert plan.channels[0].statistics["mean"] == pytest.approx(100, abs=1)  # of the tumour, not of the image
    assert plan.channels[1].statistics == {"mean": 5, "std": 0}
    assert make_plan(dataset, statistics_cases=["c2"]).spacing == (1, 1, 4)


def test_statistics_are_the_same_by_many_workers(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    assert make_plan(dataset, statistics_cases=IDS, workers=2) == make_plan(dataset, statistics_cases=IDS)


def test_a_test_case_has_no_say(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    before = make_plan(dataset, statistics_cases=IDS[:2])
    dataset.case("c2").images[0].write_bytes(b"nothing")
    assert make_plan(dataset, statistics_cases=IDS[:2]) == before


def test_settings_of_the_user(small_dataset: Callable[..., Dataset]) -> None:
    window = {"type": "window", "low": -40, "high": 160}
    plan = make_plan(
        small_dataset(),
        spacing=[None, 0.5, 2],
        crop=[6, [2, 12], None],
        channels={"CT": window, "PET_SUV": {"type": "none"}},
        statistics_cases=IDS,
    )
    assert plan.channels[0].intensity == Window(-40, 160) and plan.channels[0].statistics == {}
    assert plan.spacing == (None, 0.5, 2) and plan.shape == (6, 10, 6)
    assert plan.grid(Geometry((8, 8, 6), np.eye(4))).target == (6, 10, 3)
    assert make_plan(small_dataset(), spacing=None, statistics_cases=IDS).spacing is None


def test_json_round_trip_keeps_everything_needed(
    tmp_path: Path, small_dataset: Callable[..., Dataset]
) -> None:
    described = replace(
        small_dataset(),
        labels={"whole": (1, 2), "core": (2,)},
        regions=True,
        regions_class_order=(1, 2),
        ignore=3,
    )
    plan = make_plan(described, crop=[6, [2, 8], None], statistics_cases=IDS)
    again = Plan.from_json(plan.to_json())
    assert again == plan and again.fingerprint == plan.fingerprint
    assert str(tmp_path) not in plan.to_json()
    assert (again.classes, again.out_channels, again.ignore, again.regions) == (("whole", "core"), 2, 3, True)
    file_values = np.array([[0, 1], [2, 3]])
    np.testing.assert_array_equal(again.dataset.decode(again.dataset.encode(file_values)), file_values)


def test_plans_of_earlier_versions_are_read_and_keep_their_fingerprint(
    small_dataset: Callable[..., Dataset],
) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    assert plan.mask_first and plan.to_dict()["format"] == 1
    values = json.loads(plan.to_json())
    del values["mask_first"]
    assert not {"interpolation", "label_interpolation"} & set(values)
    old = Plan.from_dict(values)
    assert (old.interpolation, old.label_interpolation, old.mask_first) == ("cubic", "linear", False)
    assert replace(old, mask_first=True) == plan and old.fingerprint != plan.fingerprint
    unmasked = make_plan(dataset, channels={"MR_T1": {"type": "zscore"}}, statistics_cases=IDS)
    assert not unmasked.mask_first
    assert {"format", "dataset", "channels", "spacing", "crop", "shape"} == set(unmasked.to_dict())


def test_interpolation_is_kept_and_decides_the_fingerprint(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    linear = make_plan(dataset, interpolation="linear", statistics_cases=IDS)
    nearest = make_plan(dataset, label_interpolation="nearest", statistics_cases=IDS)
    assert linear.interpolation == "linear" and nearest.label_interpolation == "nearest"
    assert len({plan.fingerprint, linear.fingerprint, nearest.fingerprint}) == 3
    for each in (linear, nearest):
        assert Plan.from_json(each.to_json()) == each


def test_fingerprint_changes_with_what_decides_the_arrays_only(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    same = [replace(plan, shape=(1, 1, 1)), replace(plan, dataset=replace(plan.dataset, name="Other"))]
    assert {other.fingerprint for other in same} == {plan.fingerprint}
    two = replace(plan.dataset, labels={"a": 1, "b": 2})
    swapped = replace(plan.dataset, labels={"b": 2, "a": 1})
    others = [
        replace(plan, spacing=(1, 1, 1)),
        replace(plan, crop=(4, 4, 4)),
        replace(plan, channels=plan.channels[:2]),
        replace(plan, dataset=two),
        replace(plan, dataset=swapped),
    ]
    assert len({other.fingerprint for other in [plan, *others]}) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"channels": {"PET": {"type": "none"}}},
            "channels.PET: no such channel; Dataset001_Small has CT, PET_SUV, MR_T1",
        ),
        ({"channels": {"CT": {"type": "bone"}}}, "channels.CT.type"),
        ({"spacing": "mean"}, "spacing: 'mean'"),
        ({"spacing": [1, 1]}, "3 positive numbers"),
        ({"crop": [1]}, "3 entries"),
        ({"interpolation": "nearest"}, "data.interpolation: 'nearest' must be one of cubic, linear"),
        (
            {"label_interpolation": "cubic"},
            "data.label_interpolation: 'cubic' must be one of linear, nearest",
        ),
        ({"statistics_cases": ["c9"]}, "c9"),
        ({"statistics_cases": []}, "no training case"),
    ],
)
def test_what_cannot_be_planned_is_said(
    small_dataset: Callable[..., Dataset], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SegdistillError, match=message):
        make_plan(small_dataset(), **{"statistics_cases": IDS, **settings})


def test_no_foreground_to_measure_is_said(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    unlabelled = replace(dataset, cases=tuple(replace(case, label=None) for case in dataset.cases))
    with pytest.raises(SegdistillError, match=r"channels.CT: no voxel .* override it with \{type: zscore\}"):
        make_plan(unlabelled, statistics_cases=IDS)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 0}', '{"format": 1, "dataset": {}}'])
def test_a_wrong_plan_is_said(text: str) -> None:
    with pytest.raises(SegdistillError, match=r"here/plan.json.*again"):
        Plan.from_json(text, "here/plan.json")
