"""A teacher's answer on the student's grid: voxel by voxel through the patient's world, in millimetres."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segdistill.data.geometry import Geometry
from segdistill.data.grid import Grid, plan_grid
from segdistill.teachers.on_grid import BACKGROUND, FromGroup, brought
from segdistill.teachers.source import Answer
from segdistill.teachers.teacher import Group, Teacher


def directed(
    shape: tuple[int, ...], order: tuple[int, ...], signs: tuple[int, ...], steps: tuple[float, ...],
    corner: tuple[float, ...],
) -> np.ndarray:  # fmt: skip
    """Affine of an array whose axis j runs along world axis order[j], up or down, by steps[j] mm.

    corner: the lowest world coordinate that any of its voxels covers.
    """
    affine = np.eye(4)
    affine[:3, :3] = 0
    for j, (along, sign, step) in enumerate(zip(order, signs, steps, strict=True)):
        affine[along, j] = sign * step
        affine[along, 3] = corner[along] + (step / 2 if sign > 0 else shape[j] * step - step / 2)
    return affine


def place_of(grid: Grid, affine: np.ndarray, index: tuple[int, ...]) -> np.ndarray:
    """World coordinates of the centre of a voxel of the student's grid, from the extent of the image alone."""
    place = np.empty(3)
    for k in range(3):  # canonical axes are those of the world
        step = np.linalg.norm(affine[:3, grid.axes[k]])
        extent = grid.shape[grid.axes[k]] * step
        lowest = (
            min(affine[k, 3], affine[k, 3] + affine[k, grid.axes[k]] * (grid.shape[grid.axes[k]] - 1))
            - step / 2
        )
        place[k] = lowest + (grid.origin[k] + index[k] + 0.5) * extent / grid.resampled[k]
    return place  # fmt: skip


def interpolated(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Linear between the eight voxels around a place; beyond the border the border's value."""
    place = np.clip(place, 0, np.array(values.shape[1:]) - 1)
    low = np.minimum(np.floor(place).astype(int), np.maximum(np.array(values.shape[1:]) - 2, 0))
    out = np.zeros(len(values))
    for corner in itertools.product((0, 1), repeat=3):
        share = np.prod(np.where(corner, place - low, 1 - (place - low)))
        if share > 0:
            out += share * values[(slice(None), *(low + corner))]
    return out


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, Any]:
    def orientation() -> tuple[Any, Any, Any]:
        order = tuple(draw(st.permutations([0, 1, 2])))
        signs = tuple(draw(st.sampled_from([-1, 1])) for _ in range(3))
        steps = tuple(draw(st.sampled_from([0.5, 1.0, 1.5, 2.0])) for _ in range(3))
        return order, signs, steps

    sizes = st.tuples(*[st.integers(2, 6)] * 3)
    shape, target = draw(sizes), draw(sizes)
    own, its = orientation(), orientation()
    corner = tuple(draw(st.sampled_from([-3.0, 0.0, 1.5])) for _ in range(3))
    return {
        "shape": shape,
        "affine": directed(shape, *own, (0.0, 0.0, 0.0)),
        "spacing": tuple(draw(st.sampled_from([None, 0.8, 1.2, 1.9])) for _ in range(3)),
        "crop": draw(st.sampled_from([None, target])),
        "theirs": draw(sizes),
        "orientation": (*its, corner),
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(3)),
        "kept": tuple(draw(st.integers(1, 3)) for _ in range(3)),
        "regions": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


@settings(max_examples=60)
@given(scenes())
def test_voxel_by_voxel_through_the_world(scene: dict[str, Any]) -> None:
    rng = np.random.default_rng(scene["seed"])
    affine, shape = scene["affine"], scene["theirs"]
    grid = plan_grid(Geometry(scene["shape"], affine), scene["spacing"], 3, scene["crop"])
    its = directed(shape, *scene["orientation"])
    stride, kept = np.array(scene["stride"]), np.array(scene["kept"])
    coarse = tuple(-(-n // s) for n, s in zip(shape, stride, strict=True))
    logits = rng.normal(size=(2, *shape)).astype(np.float32)
    features = rng.normal(size=(3, *coarse)).astype(np.float32)
    answer = Answer(
        {"logits": torch.from_numpy(logits), "encoder/2": torch.from_numpy(features)},
        {"logits": (1, 1, 1), "encoder/2": scene["stride"]},
        np.linalg.inv(affine) @ its,
    )
    told = brought(answer, grid, {"logits": (1, 1, 1), "encoder/2": scene["kept"]}, scene["regions"])
    back = np.linalg.inv(its)

    assert told["logits"].shape == (2, *grid.target) and told["logits"].dtype == torch.float32
    for index in np.ndindex(*grid.target):
        place = (back @ np.append(place_of(grid, affine, index), 1))[:3]
        far = np.minimum(place + 0.5, np.array(shape) - 0.5 - place).min()
        if abs(far) < 1e-4:  # on the very border of the teacher's image
            continue
        away = [-BACKGROUND, -BACKGROUND] if scene["regions"] else [BACKGROUND, 0.0]
        expected = interpolated(logits, place) if far > 0 else np.array(away)
        np.testing.assert_allclose(told["logits"][(slice(None), *index)].numpy(), expected, atol=1e-4)

    assert told["encoder/2"].shape == (3, *(-(-n // s) for n, s in zip(grid.target, kept, strict=True)))
    for index in np.ndindex(*told["encoder/2"].shape[1:]):
        centre = kept * index + (kept - 1) / 2  # between voxels where the stride is even
        low, high = (place_of(grid, affine, tuple(each)) for each in (np.floor(centre), np.ceil(centre)))
        place = (back @ np.append((low + high) / 2, 1))[:3]
        expected = interpolated(features, (place - (stride - 1) / 2) / stride)
        np.testing.assert_allclose(told["encoder/2"][(slice(None), *index)].numpy(), expected, atol=1e-4)


def test_the_same_grid_is_not_touched() -> None:
    affine = directed((4, 5, 6), (2, 0, 1), (1, -1, 1), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    grid = plan_grid(Geometry((4, 5, 6), affine), None, 3)
    logits = torch.randn(2, *grid.target)
    answer = Answer({"logits": logits}, {"logits": (1, 1, 1)}, grid.to_original)
    assert torch.equal(brought(answer, grid, {"logits": (1, 1, 1)}, False)["logits"], logits)


def test_photographs() -> None:
    grid = plan_grid(Geometry((4, 6), np.eye(4)), None, 2, (6, 6))
    whole = torch.arange(48, dtype=torch.float32).reshape(2, 4, 6)
    told = brought(Answer({"logits": whole}, {"logits": (1, 1)}, np.eye(3)), grid, {"logits": (1, 1)}, False)
    assert torch.equal(told["logits"][:, 1:5], whole)
    assert (told["logits"][0, [0, 5]] == BACKGROUND).all() and not told["logits"][1, [0, 5]].any()


def says(value: float) -> Any:
    return lambda case: {"logits": torch.full((2, 3), value)}


def test_a_group_averages_those_that_have_not_learnt_from_the_case() -> None:
    members = tuple(Teacher(None, trained_on=cases) for cases in (("a", "b"), ("b", "c"), ("a", "c")))
    asked = tuple(says(value) for value in (1.0, 2.0, 6.0))
    everyone, unseen = FromGroup(Group(members), asked), FromGroup(Group(members, out_of_fold=True), asked)
    assert float(everyone("a")["logits"].mean()) == 3.0
    assert [float(unseen(case)["logits"].mean()) for case in "abcd"] == [2.0, 6.0, 1.0, 3.0]
    learnt = Group((Teacher(None, trained_on=("a",)),), out_of_fold=True)
    with pytest.raises(Exception, match="case a: every model of the group was trained on it"):
        FromGroup(learnt, asked[:1])("a")


def test_a_member_is_not_asked_about_what_it_has_seen() -> None:
    def never(case: str) -> Any:
        raise AssertionError("asked about a case that it was trained on")

    group = Group((Teacher(None, trained_on=("a",)), Teacher(None, trained_on=("b",))), out_of_fold=True)
    assert float(FromGroup(group, (never, says(4.0)))("a")["logits"].mean()) == 4.0
