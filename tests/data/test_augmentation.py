from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.data.augmentation import Augmentation, Drawn, apply_geometric
from segdistill.errors import SegdistillError


def moved_together(
    augmentation: Augmentation, shape: tuple[int, ...], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image that equals its label, smooth enough that interpolation cannot part them by much."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = (
        sum((g - c) ** 2 / r for g, c, r in zip(grid, (0.2, -0.1, 0.0), (0.5, 0.3, 0.2), strict=False)) < 1
    )
    label = inside[None].astype(np.int16)
    return augmentation(label.astype(np.float32), label, np.random.default_rng(seed))


@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(12, 12, 12), (10, 10, 7), (9, 13), (8, 8)]))
def test_flips_and_turns_move_image_and_label_alike(seed: int, shape: tuple[int, ...]) -> None:
    image, label = moved_together(Augmentation(rotate90=1, affine=0, intensity=0), shape, seed)
    assert image.shape == label.shape == (1, *shape)
    assert (image == label).all()


@pytest.mark.parametrize("shape", [(24, 24, 24), (64, 48)])
def test_label_follows_the_image_through_rotation_and_scaling(shape: tuple[int, ...]) -> None:
    for seed in range(8):
        image, label = moved_together(Augmentation(affine=1, intensity=0), shape, seed)
        assert ((image > 0.5) != (label > 0)).mean() < 0.01


@given(seed=st.integers(0, 10_000))
def test_what_was_drawn_can_be_undone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = rng.normal(size=(2, 6, 6, 5))
    drawn = Augmentation(rotate90=1, affine=0).draw(rng, (6, 6, 5))
    assert drawn.turn is not None and drawn.turn[:2] == (0, 1)
    once = apply_geometric(array, drawn, 0)
    flips_off = apply_geometric(once, Drawn(drawn.size, flips=drawn.flips), 0)
    first, second, quarters = drawn.turn
    back = apply_geometric(flips_off, Drawn(drawn.size, turn=(first, second, -quarters)), 0)
    assert (back == array).all()
    assert once.shape == array.shape


def test_a_coarser_map_is_flipped_and_turned_just_as_its_image() -> None:
    coarse = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2).repeat(4, axis=3)
    for seed in range(20):
        drawn = Augmentation(rotate90=0.7, affine=0).draw(np.random.default_rng(seed), fine.shape[1:])
        expected = apply_geometric(fine, drawn, 1)[:, ::4, ::4, ::4]
        assert (apply_geometric(coarse, drawn, 1) == expected).all()


def test_matrix_agrees_with_a_naive_loop() -> None:
    rng = np.random.default_rng(3)
    drawn = Augmentation(affine=1, rotation=40, flip=0).draw(rng, (5, 6), spacing=(2.0, 1.0))
    assert drawn.matrix is not None
    label = rng.integers(-1, 9, size=(1, *drawn.reach)).astype(np.int16)
    out = apply_geometric(label, drawn, 0)
    for i in range(5):
        for j in range(6):
            x, y = np.array(drawn.matrix) @ (i - 2, j - 2.5) + (np.array(drawn.reach) - 1) / 2
            assert out[0, i, j] == label[0, int(np.floor(x + 0.5)), int(np.floor(y + 0.5))]


@given(seed=st.integers(0, 10_000), size=st.tuples(*[st.integers(1, 40)] * 3))
def test_reach_holds_all_that_the_patch_needs(seed: int, size: tuple[int, int, int]) -> None:
    drawn = Augmentation(affine=1, rotation=30).draw(
        np.random.default_rng(seed), size, spacing=(1.0, 1.0, 3.0)
    )
    corners = np.stack(np.meshgrid(*[(-(n - 1) / 2, (n - 1) / 2) for n in size])).reshape(3, -1)
    farthest = np.abs(np.array(drawn.matrix) @ corners).max(axis=1)
    assert (farthest <= (np.array(drawn.reach) - 1) / 2 + 1e-6).all()
    assert all((r - n) % 2 == 0 and r >= n for r, n in zip(drawn.reach, size, strict=True))


def test_rotation_is_rigid_in_millimetres() -> None:
    spacing = np.array([1.0, 1.0, 4.0])
    drawn = Augmentation(affine=1, scaling=(1.0, 1.0)).draw(
        np.random.default_rng(0), (8, 8, 8), tuple(spacing)
    )
    in_mm = np.array(drawn.matrix) * spacing[:, None] / spacing[None, :]
    assert np.allclose(in_mm @ in_mm.T, np.eye(3))
    assert not np.allclose(in_mm, np.eye(3))


def test_zoom_above_one_makes_things_larger() -> None:
    label = np.zeros((1, 20, 20, 20), np.int16)
    label[:, 7:13, 7:13, 7:13] = 1
    grown = Augmentation(affine=1, rotation=0, scaling=(1.5, 1.5), flip=0, intensity=0)(
        label.astype(np.float32), label, np.random.default_rng(0)
    )[1]
    assert 2.5 < grown.sum() / label.sum() < 4.3


def test_no_new_label_values_appear() -> None:
    rng = np.random.default_rng(0)
    label = rng.choice([-1, 0, 4, 7], size=(2, 16, 16, 16)).astype(np.int16)
    image = rng.normal(size=(1, 16, 16, 16)).astype(np.float32)
    for seed in range(10):
        _, turned = Augmentation(rotate90=0.5, affine=1)(image, label, np.random.default_rng(seed))
        assert turned.dtype == np.int16
        assert set(np.unique(turned)) <= {-1, 0, 4, 7}


def test_quarter_turns_keep_to_planes_of_equal_sides_and_spacing() -> None:
    always = Augmentation(rotate90=1, affine=0)
    turns = [always.draw(np.random.default_rng(s), (8, 8, 8), (1.0, 1.0, 3.0)).turn for s in range(20)]
    assert {turn[:2] for turn in turns if turn} == {(0, 1)}
    assert always.draw(np.random.default_rng(0), (8, 6, 4)).turn is None


def test_intensity_changes_leave_the_input_alone_and_happen_as_often_as_asked() -> None:
    image = np.random.default_rng(0).normal(size=(200, 6, 6)).astype(np.float32)
    before = image.copy()
    changed = Augmentation(intensity=0.15).change_intensity(image, np.random.default_rng(1))
    assert (image == before).all()
    assert changed.dtype == np.float32 and np.isfinite(changed).all()
    touched = (changed != image).any(axis=(1, 2)).mean()
    assert abs(touched - (1 - 0.85**4)) < 0.12
    assert (Augmentation(intensity=0).change_intensity(image, np.random.default_rng(1)) == image).all()


def test_intensity_survives_a_constant_channel() -> None:
    flat = np.full((4, 5, 5), 2, np.float32)
    assert np.isfinite(Augmentation(intensity=1).change_intensity(flat, np.random.default_rng(0))).all()


def test_on_grid_tells_whether_anything_is_interpolated() -> None:
    assert not Augmentation().on_grid
    assert Augmentation(affine=0).on_grid
    assert Augmentation(rotation=0, scaling=(1.0, 1.0)).on_grid


def test_a_flip_axis_that_is_not_there_is_named() -> None:
    with pytest.raises(SegdistillError, match=r"flip_axes.*\(0, 1\)"):
        Augmentation(flip_axes=(0, 2)).draw(np.random.default_rng(0), (4, 4))
