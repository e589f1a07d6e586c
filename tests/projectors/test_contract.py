"""What every row of the table of projectors promises, checked on all of them."""

from __future__ import annotations

import typing
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from segdistill.losses.feature.mse import MSE
from segdistill.parts import build, complete
from segdistill.projectors import PROJECTORS

SPACES = {2: (4, 6), 3: (4, 3, 2)}
SETTINGS: dict[
    str, dict[str, Any]
] = {}  # every projector with its defaults, its named choices and its switches
for _name, _row in PROJECTORS.items():
    SETTINGS[_name] = {"type": _name}
    for _field, _hint in typing.get_type_hints(_row.part.__init__).items():
        for _choice in typing.get_args(_hint) if typing.get_origin(_hint) is Literal else ():
            SETTINGS[f"{_name}-{_choice}"] = {"type": _name, _field: _choice}
        if _hint is bool:
            SETTINGS[f"{_name}-{_field}"] = {"type": _name, _field: True}

every_projector = pytest.mark.parametrize("name", SETTINGS)
every_space = pytest.mark.parametrize("spatial_dims", SPACES, ids=["2-D", "3-D"])
every_width = pytest.mark.parametrize("widths", [(3, 5), (5, 3), (4, 4), (1, 6), (6, 1)], ids=str)


def part_of(name: str, widths: tuple[int, int], spatial_dims: int) -> nn.Module:
    torch.manual_seed(0)
    given = {"student_width": widths[0], "teacher_width": widths[1], "spatial_dims": spatial_dims}
    return build(PROJECTORS, SETTINGS[name], "projector", **given)


def maps(widths: tuple[int, int], spatial_dims: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    space = SPACES[spatial_dims]
    student, teacher = (torch.randn(2, width, *space, generator=generator) for width in widths)
    return student.requires_grad_(), teacher


def gradients(part: nn.Module, loss: Tensor) -> set[str]:
    """Names of the parameters that `loss` moves."""
    part.zero_grad()
    loss.backward()
    return {n for n, p in part.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


@every_projector
@every_space
@every_width
def test_brings_both_to_one_width(name: str, spatial_dims: int, widths: tuple[int, int]) -> None:
    part = part_of(name, widths, spatial_dims)
    student, teacher = maps(widths, spatial_dims)
    before = student.detach().clone(), teacher.clone()
    for mode in (True, False):
        own, other = part.train(mode)(student, teacher)
        assert own.shape == other.shape and own.ndim == student.ndim and len(own) == 2
        assert own.shape[2:] in (SPACES[spatial_dims], (1,) * spatial_dims)
        assert torch.isfinite(own).all() and torch.isfinite(other).all()
        assert own.requires_grad, "the student learns through it"
        assert not other.requires_grad, "the distillation's gradient must not train a side of the teacher"
    assert torch.equal(student.detach(), before[0]) and torch.equal(teacher, before[1])


@every_projector
@every_space
@every_width
def test_every_parameter_learns_from_one_loss(name: str, spatial_dims: int, widths: tuple[int, int]) -> None:
    part = part_of(name, widths, spatial_dims)
    student, teacher = maps(widths, spatial_dims)
    distilled = gradients(part, MSE()(*part(student, teacher)))
    assert student.grad is not None and student.grad.abs().max() > 0
    own = gradients(part, part.own_loss(teacher)) if hasattr(part, "own_loss") else set()  # type: ignore[operator]
    assert distilled | own == {name for name, _ in part.named_parameters()} and not distilled & own
    assert bool(own) == hasattr(part, "own_loss")


@every_projector
@every_space
def test_same_answer_from_saved_weights(name: str, spatial_dims: int) -> None:
    first, second = part_of(name, (3, 5), spatial_dims).eval(), part_of(name, (3, 5), spatial_dims).eval()
    for parameter in second.parameters():
        nn.init.ones_(parameter)
    second.load_state_dict(first.state_dict())
    answers = []
    for part in (first, second):
        torch.manual_seed(1)
        answers.append(part(*maps((3, 5), spatial_dims)))
    assert all(torch.equal(a, b) for a, b in zip(*answers, strict=True))


@every_projector
@every_space
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-12, 1e12])
def test_constant_maps_are_safe(name: str, spatial_dims: int, value: float) -> None:
    part = part_of(name, (3, 5), spatial_dims)
    student, teacher = (torch.full_like(each, value) for each in maps((3, 5), spatial_dims))
    own, other = part(student, teacher)
    assert torch.isfinite(own).all() and torch.isfinite(other).all()
    if hasattr(part, "own_loss"):
        loss = part.own_loss(teacher)  # type: ignore[operator]
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in part.parameters() if p.grad is not None)


@every_projector
def test_slice_is_a_volume_of_one_slice(name: str) -> None:
    """As far as nothing is drawn at random for the dimension: parameter-free projectors."""
    flat, deep = part_of(name, (3, 5), 2), part_of(name, (3, 5), 3)
    if any(True for _ in flat.parameters()):
        pytest.skip("kernels of two and of three axes have different weights")
    student, teacher = maps((3, 5), 2)
    for axis in (2, 3, 4):
        torch.manual_seed(0)
        expected = flat(student, teacher)
        torch.manual_seed(0)
        found = deep(student.unsqueeze(axis), teacher.unsqueeze(axis))
        assert all(
            torch.allclose(a.squeeze(axis), b, atol=1e-6) for a, b in zip(found, expected, strict=True)
        )


@pytest.mark.parametrize("name", PROJECTORS)
def test_row_tells_what_a_user_must_know(name: str) -> None:
    row = PROJECTORS[name]
    assert row.reference and row.summary and row.part.__doc__
    assert complete(PROJECTORS, name, "projector")["type"] == name, "every setting has a default"
