"""Intensities: what becomes of the numbers, and which part a channel's name gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segdistill.data.intensity import (
    INTENSITIES,
    Masked,
    Measured,
    describe_intensity,
    guess_kind,
    make_intensity,
)
from segdistill.errors import SegdistillError

MINIMAL: dict[str, dict[str, Any]] = {kind: {} for kind in INTENSITIES} | {
    "window": {"low": -200, "high": 300}
}


def part(kind: str, **settings: Any) -> Any:
    return make_intensity({"type": kind, **settings}, "channels.X")


@pytest.mark.parametrize("kind", INTENSITIES)
def test_every_part_gives_finite_float32_of_the_same_shape(kind: str) -> None:
    built = part(kind, **MINIMAL[kind])
    rng = np.random.default_rng(0)
    for channel in (rng.normal(50, 300, (6, 5, 4)), np.zeros((6, 5, 4)), np.full((3, 2), 7.0)):
        channel = channel.astype(np.float32)
        before = channel.copy()
        statistics = {}
        if isinstance(built, Measured):
            statistics = built.measure(built.select(rng.normal(50, 300, (6, 5)), np.ones((6, 5), bool)))
        got = built(channel, statistics)
        assert got.shape == channel.shape and got.dtype == np.float32 and np.isfinite(got).all()
        np.testing.assert_array_equal(channel, before)


@pytest.mark.parametrize("kind", INTENSITIES)
def test_a_part_can_be_written_down_and_read(kind: str) -> None:
    built = part(kind, **MINIMAL[kind])
    assert make_intensity(describe_intensity(built), "x") == built
    assert make_intensity(built, "x") is built


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(name, "ct") for name in ("CT", "ct", "CT_contrast", "CTres", "cbct")],
        *[(name, "pet") for name in ("PET", "PET_SUV", "SUV", "FDG", "18F-FDG PET", "PET/CT")],
        *[
            (name, "mr")
            for name in ("MR", "MRI", "MR_T1", "T1", "T1w", "t1gd", "T1ce", "T2", "T2W", "T2 FLAIR")
        ],
        *[(name, "mr") for name in ("FLAIR", "DWI", "ADC", "DWI_b1400", "HBV")],
        *[(name, "rgb") for name in ("R", "G", "B", "red", "rgb")],
        *[(name, "gray") for name in ("gray", "Grey", "grayscale", "ultrasound")],
        ("noNorm", "none"),
        *[(name, "zscore") for name in ("zscore", "cell membrane", "0", "")],
    ],
)
def test_kind_from_the_name(name: str, kind: str) -> None:
    assert guess_kind(name) == kind
    assert kind in INTENSITIES


def test_ct_clips_to_the_foreground_and_standardises() -> None:
    ct = part("ct")
    channel = np.array([-1000, 0, 100, 3000], np.float32)
    seen = ct.select(np.arange(6.0), np.array([False, True, True, False, False, True]))
    assert seen.tolist() == [1, 2, 5]
    statistics = ct.measure(np.linspace(0, 100, 10_001))
    assert statistics["low"] == pytest.approx(0.5) and statistics["high"] == pytest.approx(99.5)
    got = ct(channel, statistics)
    assert got[0] == got[1] and got[2] == got[3]
    assert (got[0] + got[3]) / 2 == pytest.approx(0, abs=1e-6)


def test_pet_counts_the_body_only() -> None:
    pet = part("pet")
    assert pet.select(np.array([-1, 0, 0.05, 1, 3.0]), np.zeros(5, bool)).tolist() == [1, 3]
    got = pet(np.array([-5, 0, 2, 3], np.float32), {"mean": 2.0, "std": 0.5})
    assert got.tolist() == [-4, -4, 0, 2]


def test_mr_does_not_count_masked_air() -> None:
    got = part("mr")(np.array([0, 0, 0, 0, 4, 6], np.float32), {})
    assert got[4:].tolist() == [-1, 1] and got[0] == -5


def test_a_mask_says_what_counts_and_the_rest_is_as_zero() -> None:
    channel, nearest = np.array([[0.1, -0.2, 0, 4, 5], [0, 0, 0, 4, 6]], np.float32)
    for built in (part("mr"), part("zscore", over="nonzero")):
        assert isinstance(built, Masked) and built.masks
        assert built.within(channel, nearest).tolist() == [-5, -5, -5, -1, 0]
        assert not built.within(channel, np.zeros(5, np.float32)).any()
    assert not part("zscore").masks and not isinstance(part("ct"), Masked)


def test_protocols_of_the_papers() -> None:
    ct = np.array([-3000, -512, 0, 1024, 2000], np.float32)
    assert part("window", low=-1024, high=1024)(ct, {}).tolist() == [-1, -0.5, 0, 1, 1]
    assert part("window", low=-200, high=300)(np.array([-200, 50, 400], np.float32), {}).tolist() == [
        -1,
        0,
        1,
    ]
    assert part("window", low=-40, high=160)(np.array([-40, 60, 400], np.float32), {}).tolist() == [-1, 0, 1]
    pet = np.array([1, 3], np.float32)
    got = part("zscore", epsilon=1e-3)(pet, {})
    np.testing.assert_allclose(got, (pet - pet.mean()) / (pet.std() + 1e-3), rtol=1e-6)
    assert part("maximum")(np.array([-2, 0, 5, 10], np.float32), {}).tolist() == [0, 0, 0.5, 1]


def test_photographs_fill_zero_to_one() -> None:
    overshoot = np.array([-3, 0, 51, 255, 260], np.float32)  # as cubic resampling leaves it at sharp edges
    np.testing.assert_allclose(part("rgb")(overshoot, {}), [0, 0, 0.2, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "windw"}, r"channels.CT.type: 'windw' .*window"),
        ({}, "channels.CT.type"),
        ({"type": "window", "low": 0}, "channels.CT.high"),
        ({"type": "window", "low": 5, "high": 5}, "must be below high"),
        ({"type": "window", "low": 0, "high": 1, "hihg": 2}, "channels.CT.hihg: window has no such setting"),
        ({"type": "ct", "low_percentile": 70}, "channels.CT.low_percentile"),
        ({"type": "zscore", "over": "brain"}, "channels.CT.over"),
        ("window", "channels.CT"),
    ],
)
def test_wrong_settings_are_said_with_their_place(settings: Any, message: str) -> None:
    with pytest.raises(SegdistillError, match=message):
        make_intensity(settings, "channels.CT")
