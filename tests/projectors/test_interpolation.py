from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segdistill.projectors.interpolation import Interpolation

Widths = st.integers(1, 9)


def interpolated(values: list[float], width: int) -> list[float]:
    """Linear interpolation of numbers at the centres of equal cells, beyond the last centre constant."""
    out = []
    for n in range(width):
        place = max((n + 0.5) * len(values) / width - 0.5, 0.0)
        left = min(math.floor(place), len(values) - 1)
        right = min(left + 1, len(values) - 1)
        out.append(values[left] + (place - left) * (values[right] - values[left]))
    return out


def numbered(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@given(student_width=Widths, teacher_width=Widths, spatial_dims=st.sampled_from([2, 3]))
def test_interpolated_channels_against_loops(
    student_width: int, teacher_width: int, spatial_dims: int
) -> None:
    space = (2, 3, 2)[:spatial_dims]
    student, teacher = numbered(2, student_width, *space), numbered(2, teacher_width, *space)
    for side, changed, width in (("teacher", teacher, student_width), ("student", student, teacher_width)):
        projector = Interpolation(student_width, teacher_width, spatial_dims, side=side)
        own, other = projector(student, teacher)
        assert own.shape == other.shape
        found, kept = (other, own) if side == "teacher" else (own, other)
        assert torch.equal(kept, student if side == "teacher" else teacher)
        columns = changed.movedim(1, -1).flatten(0, -2).tolist()
        expected = torch.tensor([interpolated(column, width) for column in columns], dtype=torch.float64)
        assert torch.allclose(found.movedim(1, -1).flatten(0, -2), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["linear", "nearest", "area"])
def test_equal_widths_are_left_alone(mode: str) -> None:
    student, teacher = numbered(1, 5, 2, 2), numbered(1, 5, 2, 2)
    for side in ("teacher", "student"):
        own, other = Interpolation(5, 5, 2, side=side, mode=mode)(student, teacher)
        assert own is student and other is teacher


@pytest.mark.parametrize("old, new", [(8, 4), (4, 8), (9, 5)])
def test_a_ramp_stays_a_ramp(old: int, new: int) -> None:
    ramp = torch.linspace(0, 1, old).reshape(1, old, 1, 1)
    _, other = Interpolation(new, old, 2)(torch.zeros(1, new, 1, 1), ramp)
    steps = other.flatten().diff()[1:-1]  # the ends are held constant
    assert torch.allclose(steps, torch.full_like(steps, float(steps[0])), atol=1e-6)
    assert (steps > 0).all()


def test_modes() -> None:
    teacher = torch.tensor([1.0, 2.0, 5.0, 8.0]).reshape(1, 4, 1, 1)
    student = torch.zeros(1, 2, 1, 1)
    found = {
        mode: Interpolation(2, 4, 2, mode=mode)(student, teacher)[1].flatten().tolist()
        for mode in ("linear", "nearest", "area")
    }
    assert found == {"linear": [1.5, 6.5], "nearest": [1.0, 5.0], "area": [1.5, 6.5]}


@given(student_width=Widths, teacher_width=Widths, mode=st.sampled_from(["linear", "nearest", "area"]))
def test_interpolation_makes_averages(student_width: int, teacher_width: int, mode: str) -> None:
    matrix = Interpolation(student_width, teacher_width, 2, mode=mode).matrix
    assert matrix.shape == (student_width, teacher_width)
    assert torch.allclose(matrix.sum(1), torch.ones(student_width), atol=1e-5)
    assert (matrix >= 0).all()


def test_interpolation_has_nothing_to_learn_or_to_save() -> None:
    projector = Interpolation(3, 7, 3)
    assert not list(projector.parameters()) and not projector.state_dict()
