"""What nnU-Net's preprocessing does to an image, against naive computation, and the way back to the file."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError
from segdistill.teachers.nnunet.configuration import Configuration
from segdistill.teachers.nnunet.placement import Placement, Reading
from segdistill.teachers.nnunet.preprocessing import prepare
from segdistill.teachers.nnunet.resampling import SPLINE, TORCH, Resampling
from segdistill.teachers.source import CaseImage


def configured(tiny: SimpleNamespace, dims: int = 3, channels: int = 1, **changes: object) -> Configuration:
    plans = tiny.plans(dims, channels, **changes)
    return Configuration.of(plans, next(iter(plans["configurations"])), channels, "plans.json")


def test_z_score_of_the_crop_in_the_order_of_nnunet(tiny: SimpleNamespace) -> None:
    image = np.zeros((1, 6, 7, 8), np.float32)
    image[0, 1:5, 2:6, 3:8] = np.random.default_rng(0).uniform(1, 9, (4, 4, 5))
    case = CaseImage("a", image, Geometry((6, 7, 8), np.eye(4)))
    array, placement = prepare(case, configured(tiny))
    inside = image[0, 1:5, 2:6, 3:8]
    mean = inside.sum() / inside.size
    deviation = np.sqrt(((inside - mean) ** 2).sum() / inside.size)
    for x, y, z in itertools.product(range(4), range(4), range(5)):
        assert array[0, z, y, x] == pytest.approx((inside[x, y, z] - mean) / deviation, abs=1e-5)
    assert placement.to_original() @ [0, 0, 0, 1] == pytest.approx([1, 2, 3, 1])
    assert placement.to_original() @ [4, 3, 2, 1] == pytest.approx([3, 5, 7, 1])


def test_statistics_of_what_is_not_empty_leave_the_rest_at_zero(tiny: SimpleNamespace) -> None:
    image = np.zeros((2, 6, 6, 6), np.float32)
    image[0, 0, 0, 0], image[1, 1:6, 1:6, 1:6] = 3, 7
    image[1, 2, 2, 2] = 9
    case = CaseImage("a", image, Geometry((6, 6, 6), np.eye(4)))
    array, _ = prepare(case, configured(tiny, channels=2, use_mask_for_norm=[False, True]))
    some = image[1][(image != 0).any(axis=0)]
    assert array.shape == (2, 6, 6, 6)
    assert array[1, 0, 3, 3] == 0
    assert array[1, 2, 2, 2] == pytest.approx((9 - some.mean()) / some.std(), rel=1e-5)
    assert array[1, 0, 0, 0] == pytest.approx((0 - some.mean()) / some.std(), rel=1e-5)


def test_a_hole_is_not_empty(tiny: SimpleNamespace) -> None:
    image = np.full((1, 5, 5, 5), 2, np.float32)
    image[0, 2, 2, 2] = 0
    case = CaseImage("a", image, Geometry((5, 5, 5), np.eye(4)))
    array, _ = prepare(case, configured(tiny, use_mask_for_norm=[True]))
    assert array[0, 2, 2, 2] < -5


def test_an_image_of_zeros_is_kept_whole(tiny: SimpleNamespace) -> None:
    case = CaseImage("a", np.zeros((1, 4, 5, 6), np.float32), Geometry((4, 5, 6), np.eye(4)))
    array, _ = prepare(case, configured(tiny))
    assert array.shape == (1, 6, 5, 4)
    assert not array.any()


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("CTNormalization", lambda v: (np.clip(v, -10, 90) - 40) / 20),
        ("NoNormalization", lambda v: v),
        ("RescaleTo01Normalization", lambda v: (v - v.min()) / (v.max() - v.min())),
        ("RGBTo01Normalization", lambda v: v / 255),
    ],
)
def test_schemes(tiny: SimpleNamespace, scheme: str, expected: object) -> None:
    case = tiny.case((4, 5, 6))
    before = case.image.copy()
    array, _ = prepare(case, configured(tiny, normalization_schemes=[scheme]))
    np.testing.assert_allclose(array[0], expected(before[0]).transpose(2, 1, 0), atol=1e-5)  # type: ignore[operator]
    array += 1  # the case's own image is not what was changed
    np.testing.assert_array_equal(case.image, before)


def test_colours_that_are_no_bytes_are_refused(tiny: SimpleNamespace) -> None:
    case = tiny.case((4, 5, 6))
    case.image[0, 1, 1, 1] = 300
    with pytest.raises(SegdistillError, match=r"case1, channel 0: .*300 are no bytes"):
        prepare(case, configured(tiny, normalization_schemes=["RGBTo01Normalization"]))


@given(
    order=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    spacing=st.tuples(*[st.floats(0.5, 4)] * 3),
    wanted=st.tuples(*[st.floats(0.5, 4)] * 3),
    transpose=st.permutations([0, 1, 2]),
    reader=st.sampled_from(["SimpleITKIO", "NibabelIOWithReorient"]),
    margin=st.integers(0, 2),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_voxel_of_the_grid_lies_where_its_value_comes_from(
    tiny: SimpleNamespace,
    order: list[int],
    signs: tuple[int, ...],
    spacing: tuple[float, ...],
    wanted: tuple[float, ...],
    transpose: list[int],
    reader: str,
    margin: int,
) -> None:
    """An image that tells its own place: a value is what the place that `to_original` names says."""
    shape = (9, 10, 11)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * np.array(signs) * np.array(spacing)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(np.float32) + 1
    places[:, :margin] = 0  # empty: to be cropped
    case = CaseImage("a", places, Geometry(shape, affine))
    array, placement = prepare(
        case,
        configured(
            tiny,
            channels=3,
            spacing=list(wanted),
            transpose_forward=transpose,
            image_reader_writer=reader,
            normalization_schemes=["NoNormalization"] * 3,
            resampling_fn_data_kwargs={"is_seg": False, "order": 1, "force_separate_z": False},
        ),
    )
    grid = np.stack(np.meshgrid(*map(np.arange, array.shape[1:]), indexing="ij")).reshape(3, -1)
    original = (placement.to_original() @ np.vstack([grid, np.ones(grid.shape[1])]))[:3]
    low, high = np.array([[margin], [0], [0]]), np.array(shape)[:, None] - 1
    np.testing.assert_allclose(array.reshape(3, -1) - 1, np.clip(original, low, high), atol=1e-3)


def test_splines_are_those_of_scipy(tiny: SimpleNamespace) -> None:
    image = np.random.default_rng(0).normal(size=(2, 7, 9, 5)).astype(np.float32)
    shape = (10, 6, 8)
    found = Resampling(SPLINE, {"order": 3, "force_separate_z": False}).apply(
        image, shape, (1, 1, 1), (1, 1, 1)
    )
    for before, after in zip(image, found, strict=True):
        zoom = [m / n for m, n in zip(shape, before.shape, strict=True)]
        told = ndimage.zoom(before.astype(float), zoom, order=3, mode="nearest", grid_mode=True)
        np.testing.assert_allclose(after, np.clip(told, before.min(), before.max()), atol=1e-5)


@pytest.mark.parametrize("function", [SPLINE, TORCH])
def test_coarse_slices_are_taken_whole(function: str) -> None:
    image = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    rule = Resampling(function, {"force_separate_z": None})
    found = rule.apply(image, (8, 9, 9), (5, 1, 1), (2.5, 2 / 3, 2 / 3))
    for k in range(8):
        alone = rule.apply(image[:, k // 2 : k // 2 + 1], (1, 9, 9), (5, 1, 1), (5, 2 / 3, 2 / 3))
        np.testing.assert_allclose(found[:, k], alone[:, 0], atol=1e-6)
    isotropic = rule.apply(image, (8, 9, 9), (2, 1, 1), (1, 2 / 3, 2 / 3))
    assert np.abs(isotropic - found).max() > 0.01


@pytest.mark.parametrize(
    ("spacing", "wanted", "axis"),
    [
        ((5, 1, 1), (5, 1, 1), 0),
        ((1, 1, 1), (1, 1, 5), 2),
        ((1, 5, 5), (1, 1, 1), None),  # two coarse axes
        ((3, 1, 1), (3, 1, 1), None),  # a ratio of 3 is not larger than 3
    ],
)
def test_which_axis_is_coarse(
    spacing: tuple[float, ...], wanted: tuple[float, ...], axis: int | None
) -> None:
    assert Resampling(SPLINE, {"force_separate_z": None})._apart(spacing, wanted) == axis


def test_planes_of_a_volume_keep_their_distance(tiny: SimpleNamespace) -> None:
    case = tiny.case((8, 9, 5), spacing=(1, 1, 4))
    array, placement = prepare(case, configured(tiny, dims=2, spacing=[0.5, 2.0]))
    assert array.shape == (1, 5, 18, 4)
    assert placement.to_original() @ [3, 0, 0, 1] == pytest.approx([0.5, -0.25, 3, 1])


def test_a_photograph_keeps_rows_and_columns(tiny: SimpleNamespace) -> None:
    case = tiny.case((6, 9), channels=3)
    configuration = configured(
        tiny, 2, 3, image_reader_writer="NaturalImage2DIO", normalization_schemes=["NoNormalization"] * 3
    )
    array, placement = prepare(case, configuration)
    np.testing.assert_array_equal(array, case.image[:, None])
    np.testing.assert_allclose(placement.to_original(), np.eye(3))


def test_a_plane_of_another_format_is_turned_as_simpleitk_turns_it(tiny: SimpleNamespace) -> None:
    case = tiny.case((6, 9), spacing=(2, 1))
    array, placement = prepare(case, configured(tiny, 2, normalization_schemes=["NoNormalization"]))
    np.testing.assert_array_equal(array[:, 0, :, ::2].shape, (1, 9, 6))  # 2 mm become 1 mm
    assert placement.to_original() @ [1, 0, 1] == pytest.approx([-0.25, 1, 1])


def test_a_plane_in_a_network_of_volumes_is_refused(tiny: SimpleNamespace) -> None:
    with pytest.raises(SegdistillError, match="case1 is a plane, but the configuration '3d_fullres'"):
        prepare(tiny.case((6, 9)), configured(tiny))


def test_too_many_channels_are_refused(tiny: SimpleNamespace) -> None:
    with pytest.raises(SegdistillError, match="case1: the image has 2 channels, nnU-Net's sees 1"):
        prepare(tiny.case((6, 9, 7), channels=2), configured(tiny))


def test_placement_of_a_flipped_axis() -> None:
    reading = Reading((2, 1, 0), (False, False, True), (1, 1, 1), (10, 4, 3))
    placement = Placement(reading, (0, 1, 2), (0, 0, 2), (3, 4, 6), (3, 4, 3))
    # The last axis begins two voxels from the end, in steps of two: its first voxel covers x = 7 and 6.
    assert placement.to_original() @ [0, 0, 0, 1] == pytest.approx([6.5, 0, 0, 1])
