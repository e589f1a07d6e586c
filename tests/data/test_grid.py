"""From an image's own grid to the network's and back."""

from __future__ import annotations

import itertools
import json
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.data.geometry import Geometry
from segdistill.data.grid import Grid, from_grid, label_to_grid, plan_grid, to_grid
from segdistill.errors import SegdistillError


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        one[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = one @ matrix
    return matrix


@st.composite
def geometries(draw: Any) -> Geometry:
    """Permuted, flipped, oblique, anisotropic volumes."""
    shape = draw(st.tuples(*[st.integers(1, 12)] * 3))
    spacing = draw(st.tuples(*[st.sampled_from([0.4, 0.7, 1.0, 2.5, 5.0])] * 3))
    turned = draw(st.sampled_from(list(itertools.permutations(range(3)))))
    signs = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    oblique = draw(st.tuples(*[st.floats(-0.4, 0.4)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = rotation(oblique) @ np.eye(3)[:, list(turned)] @ np.diag(signs) @ np.diag(spacing)
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return Geometry(shape, affine)


def target_affine(grid: Grid) -> np.ndarray:
    """(4, 4) voxel index of the target grid -> mm, RAS+."""
    step = np.eye(4)
    step[: len(grid.shape)] = 0
    for k, axis in enumerate(grid.axes):
        scale = grid.oriented[k] / grid.resampled[k]
        start = (grid.origin[k] + 0.5) * scale - 0.5
        step[axis, k] = -scale if grid.flips[k] else scale
        step[axis, 3] = grid.shape[axis] - 1 - start if grid.flips[k] else start
    return np.asarray(grid.affine) @ step


SPACINGS = st.none() | st.tuples(*[st.none() | st.sampled_from([0.5, 1.0, 3.0])] * 3)
CROPS = st.none() | st.tuples(*[st.none() | st.integers(1, 16)] * 3)


def position_ramp(geometry: Geometry, direction: np.ndarray) -> np.ndarray:
    """(1, *space): each voxel's place in mm along a direction."""
    index = np.stack([*np.indices(geometry.shape), np.ones(geometry.shape)])
    place = np.tensordot(geometry.affine, index, 1)[:3]
    return np.tensordot(direction, place, 1)[None].astype(np.float32)


def volume(shape: tuple[int, ...] = (6, 5, 4), spacing: tuple[float, ...] = (1, 1, 1)) -> Geometry:
    return Geometry(shape, np.diag([*spacing, 1.0]))


@given(geometry=geometries(), spacing=SPACINGS, crop=CROPS)
def test_shapes_and_json_survive_any_grid(geometry: Geometry, spacing: Any, crop: Any) -> None:
    grid = plan_grid(geometry, spacing, 3, crop)
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
    image = np.random.default_rng(0).normal(size=(2, *geometry.shape)).astype(np.float32)
    there = to_grid(image, grid, "cubic")
    assert there.shape == (2, *grid.target)
    assert from_grid(there, grid).shape == image.shape
    label = (image[:1] > 0).astype(np.int16)
    assert label_to_grid(label, grid).shape == (1, *grid.target)
    if crop is not None:
        assert all(size is None or size == n for size, n in zip(crop, grid.target, strict=True))


@given(geometry=geometries())
def test_orientation_alone_is_lossless_and_agrees_with_nibabel(geometry: Geometry) -> None:
    grid = plan_grid(geometry, None, 3)
    image = np.random.default_rng(0).normal(size=(1, *geometry.shape)).astype(np.float32)
    there = to_grid(image, grid, "cubic")
    expected = nibabel.as_closest_canonical(nibabel.Nifti1Image(image[0], geometry.affine))
    np.testing.assert_array_equal(there[0], expected.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(target_affine(grid), expected.affine, atol=1e-4)
    np.testing.assert_array_equal(from_grid(there, grid), image)


@given(geometry=geometries(), spacing=SPACINGS, crop=CROPS, seed=st.integers(0, 9))
def test_every_voxel_stays_at_its_place_in_space(
    geometry: Geometry, spacing: Any, crop: Any, seed: int
) -> None:
    """A linear function of the position in mm has, after resampling, the value of the new position."""
    grid = plan_grid(geometry, spacing, 3, crop)
    direction = np.random.default_rng(seed).normal(size=3)
    there = to_grid(position_ramp(geometry, direction), grid, "linear")
    expected = position_ramp(Geometry(grid.target, target_affine(grid)), direction)
    # Inside: between the outermost centres of the original; slices taken whole are off by half a slice.
    sure = np.zeros(grid.target, bool)
    inner = []
    for k, (n, m) in enumerate(zip(grid.oriented, grid.resampled, strict=True)):
        at = (np.arange(grid.target[k]) + grid.origin[k] + 0.5) * n / m - 0.5
        inner.append((at >= -1e-6) & (at <= n - 1 + 1e-6) & (k != grid.coarse or n == m))
    sure[np.ix_(*inner)] = True
    np.testing.assert_allclose(there[0][sure], expected[0][sure], atol=2e-2)
    np.testing.assert_allclose(Geometry(grid.target, target_affine(grid)).spacing, grid.spacing, rtol=1e-6)


@given(geometry=geometries(), spacing=SPACINGS)
def test_a_ramp_comes_back_exactly_in_the_interior(geometry: Geometry, spacing: Any) -> None:
    grid = plan_grid(geometry, spacing, 3)
    image = position_ramp(geometry, np.array([1.0, -0.5, 0.25]))
    back = from_grid(to_grid(image, grid, "cubic"), grid)
    inner = []
    for axis, n in enumerate(geometry.shape):
        k = grid.axes.index(axis)
        m = grid.resampled[k]
        # A coarser grid holds the ramp from its first centre on; a finer one stands still up to the first
        # centre of the original, which touches one more of its own voxels.
        reach = 0 if m == n else 0.5 * n / m if m < n else 0.5 + n / m
        centre = np.arange(n) + 0.5
        inner.append((centre >= reach) & (centre <= n - reach) & (k != grid.coarse or m % n == 0))
    sure = np.ix_([True], *inner)
    np.testing.assert_allclose(back[sure], image[sure], atol=2e-2)


def test_mirrored_images_give_mirrored_results() -> None:
    """The half-voxel shift would show here: it moves to the other side."""
    image = np.random.default_rng(0).normal(size=(1, 9, 8, 7)).astype(np.float32)
    grid = plan_grid(volume((9, 8, 7), (1, 1, 1)), (1.7, 0.6, 2.2), 3)
    straight = to_grid(image, grid, "cubic")
    mirrored = to_grid(image[:, ::-1, ::-1, ::-1], grid, "cubic")
    np.testing.assert_allclose(mirrored[:, ::-1, ::-1, ::-1], straight, atol=1e-5)


def test_a_labelled_ball_comes_back_where_it_was() -> None:
    geometry = Geometry((32, 24, 12), np.diag([-1.0, 1.0, 2.5, 1.0]))
    x, y, z = np.indices(geometry.shape)
    grid = plan_grid(geometry, (1.5, 1.5, 1.5), 3)
    shifts = []
    for centre in np.linspace(9, 20, 12):  # one ball may land unevenly on the coarser voxels, many do not
        ball = ((x - centre) ** 2 + (y - 12) ** 2 + (2.5 * (z - 5)) ** 2 <= 49).astype(np.int16)[None]
        there = label_to_grid(ball, grid)
        back = from_grid(np.stack([there[0] == 0, there[0] == 1]).astype(np.float32), grid).argmax(0)
        assert 2 * (back * ball[0]).sum() / (back.sum() + ball.sum()) > 0.9
        shifts.append([index[back == 1].mean() - index[ball[0] == 1].mean() for index in (x, y, z)])
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=0.05)


def test_labels_take_the_likeliest_class_and_keep_ignore() -> None:
    geometry = volume((6, 1, 1))
    label = np.array([0, 0, 3, 3, -1, -1], np.int16).reshape(1, 6, 1, 1)
    finer = label_to_grid(label, plan_grid(geometry, (0.5, None, None), 3))
    assert finer.ravel().tolist() == [0, 0, 0, 0, 3, 3, 3, 3, -1, -1, -1, -1]
    assert set(np.unique(label_to_grid(label, plan_grid(geometry, (0.7, None, None), 3)))) == {-1, 0, 3}


def test_labels_may_take_the_nearest_voxel() -> None:
    """Of three voxels of three classes at one seventh of their size, the third one-hot map never wins a tie."""
    label = np.array([0, 5, -1], np.int16).reshape(1, 3, 1, 1)
    grid = plan_grid(volume((3, 1, 1)), (3 / 9, None, None), 3, (11, None, None))
    nearest = label_to_grid(label, grid, "nearest")
    assert nearest.dtype == np.int16 and nearest.ravel().tolist() == [0, 0, 0, 0, 5, 5, 5, -1, -1, -1, 0]
    slab = np.zeros((1, 6, 6, 1), np.int16)
    slab[0, 2, 2] = 1  # half of a voxel and more is background all around
    finer = plan_grid(volume((6, 6, 1)), (1 / 3, 1 / 3, None), 3)
    assert label_to_grid(slab, finer, "nearest").sum() == 9 > label_to_grid(slab, finer).sum()


def test_overlapping_regions_are_resampled_one_by_one() -> None:
    geometry = volume((8, 8, 4))
    whole = np.zeros((8, 8, 4), np.int16)
    whole[1:7, 1:7] = 1
    core = np.zeros_like(whole)
    core[3:5, 3:5] = 1
    grid = plan_grid(geometry, (0.5, 0.5, 1), 3)
    both = label_to_grid(np.stack([whole, core]), grid)
    np.testing.assert_array_equal(both[0], label_to_grid(whole[None], grid)[0])
    assert (both[1] <= both[0]).all() and both[1].any()


@pytest.mark.parametrize(
    ("spacing", "target", "coarse"),
    [
        ((0.5, 0.5, 5), None, 2),  # thick slices
        ((5, 0.5, 0.5), None, 0),
        ((1, 1, 3), None, None),  # not more than three times
        ((0.2, 1, 1), None, None),  # two coarse axes are no slices
        ((1, 1, 1), (1, 1, 6), 2),  # thick slices asked for
        ((0.5, 0.5, 5), (1, 1, 1), 2),
    ],
)
def test_coarse_axis(spacing: Any, target: Any, coarse: int | None) -> None:
    assert plan_grid(volume(spacing=spacing), target, 3).coarse == coarse


def test_thick_slices_are_not_blended() -> None:
    image = np.zeros((1, 6, 6, 3), np.float32)
    image[..., 1] = 10
    fine = to_grid(image, plan_grid(volume((6, 6, 3), (1, 1, 6)), (0.5, 0.5, 2), 3), "cubic")
    assert set(np.unique(fine.round(4))) == {0, 10}


def test_photographs_stay_as_they_are() -> None:
    image = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    grid = plan_grid(Geometry((5, 7), np.diag([-1.0, -1, 1, 1])), None, 2)
    np.testing.assert_array_equal(to_grid(image, grid, "cubic"), image)
    np.testing.assert_array_equal(from_grid(image, grid), image)


def test_crop_cuts_and_pads_and_is_undone() -> None:
    image = np.arange(1, 6 * 5 * 4 + 1, dtype=np.float32).reshape(1, 6, 5, 4)
    grid = plan_grid(volume(), None, 3, ((1, 5), 9, None))
    there = to_grid(image, grid, "linear")
    assert there.shape == (1, 4, 9, 4)
    np.testing.assert_array_equal(there[:, :, 2:7], image[:, 1:5])
    assert not there[:, :, :2].any() and not there[:, :, 7:].any()
    assert grid.inside == (slice(0, 4), slice(2, 7), slice(0, 4))
    back = from_grid(there, grid)
    np.testing.assert_array_equal(back[:, 1:5], image[:, 1:5])
    assert not back[:, 0].any() and not back[:, 5].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 2}, "spatial dimensions"),
        ({"spacing": (1, 1)}, "3 positive numbers"),
        ({"spacing": (1, 1, -2)}, "3 positive numbers"),
        ({"spacing": (1e-4, 1e-4, 1e-4)}, "coarser"),
        ({"crop": (3, 3)}, "3 entries"),
        ({"crop": ((4, 4), None, None)}, "leaves nothing"),
        ({"crop": ((60, 64), None, None)}, "leaves nothing"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SegdistillError, match=message):
        plan_grid(volume(), **{"spacing": None, "spatial_dims": 3, **arguments})


def test_an_affine_without_direction_is_refused() -> None:
    with pytest.raises(SegdistillError, match=r"singular|spacing"):
        plan_grid(volume(spacing=(1, 1, 0)), None, 3)


def test_an_array_of_another_grid_is_refused() -> None:
    grid = plan_grid(volume(), None, 3)
    with pytest.raises(ValueError, match="does not lie on"):
        to_grid(np.zeros((1, 5, 6, 4), np.float32), grid, "linear")
