"""What every row of the table of distillation losses promises, checked on all of them."""

from __future__ import annotations

import typing
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from segdistill.losses import LOSSES, Row

FLAGS = ("zero_at_equal", "batch_invariant", "patch_invariant", "differentiable_at_equal")
PARTS: dict[str, tuple[Row, Any]] = {}  # every loss with its defaults and with each of its named choices
for _name, _row in LOSSES.items():
    PARTS[_name] = (_row, _row.part())
    for _field, _hint in typing.get_type_hints(_row.part).items():
        if typing.get_origin(_hint) is Literal:
            for _choice in typing.get_args(_hint):
                PARTS[f"{_name}-{_choice}"] = (_row, _row.part(**{_field: _choice}))

every_loss = pytest.mark.parametrize("name", PARTS)
every_space = pytest.mark.parametrize("space", [(3, 4), (3, 2, 4)], ids=["2-D", "3-D"])


def declared(name: str, flag: str) -> bool:
    return bool(getattr(PARTS[name][0], flag))


def maps(*space: int, batch: int = 4, seed: int = 0) -> Tensor:
    """Maps (batch, 3, *space) of normal numbers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *space, dtype=torch.float64, generator=generator)


def planes(*space: int, batch: int = 4, seed: int = 7) -> Tensor:
    """A label of 3 classes, a plane each: (batch, 3, *space) of 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 3, (batch, *space), generator=generator)
    return torch.nn.functional.one_hot(label, 3).movedim(-1, 1).double()


def value_of(
    name: str, student: Tensor, teacher: Tensor, where: Tensor | None = None, label: Tensor | None = None
) -> Tensor:
    """The loss, given the label if it asks for one."""
    loss = PARTS[name][1]
    if not getattr(loss, "needs_label", False):
        return loss(student, teacher, where)
    if label is None:
        label = planes(*student.shape[2:], batch=len(student))
    return loss(student, teacher, label=label.to(student.dtype), where=where)


@every_loss
@every_space
def test_is_a_finite_distance(name: str, space: tuple[int, ...]) -> None:
    value = value_of(name, maps(*space), maps(*space, seed=1))
    assert value.shape == () and value.dtype == torch.float64
    assert torch.isfinite(value) and value > 0


@every_loss
@every_space
def test_zero_where_both_say_the_same(name: str, space: tuple[int, ...]) -> None:
    same = maps(*space)
    value = float(value_of(name, same, same.clone()))
    if declared(name, "zero_at_equal"):
        assert value == pytest.approx(0, abs=1e-14)
    elif name in LOSSES:
        assert abs(value) > 1e-6, "the flag can be on"


@every_loss
@every_space
def test_batch_is_averaged(name: str, space: tuple[int, ...]) -> None:
    student, teacher, label = maps(*space), maps(*space, seed=1), planes(*space)
    whole = float(value_of(name, student, teacher, label=label))
    thrice = [each.repeat_interleave(3, 0) for each in (student, teacher, label)]
    repeated = float(value_of(name, thrice[0], thrice[1], label=thrice[2]))
    one_by_one = [
        float(value_of(name, student[[n]], teacher[[n]], label=label[[n]])) for n in range(len(student))
    ]
    same = [repeated, sum(one_by_one) / len(one_by_one)] == pytest.approx([whole, whole], rel=1e-9)
    if declared(name, "batch_invariant"):
        assert same
    elif name in LOSSES:
        assert not same, "the flag can be on"


@every_loss
@every_space
def test_weight_means_the_same_at_every_patch_size(name: str, space: tuple[int, ...]) -> None:
    student, teacher, label = maps(*space), maps(*space, seed=1), planes(*space)
    tiles = (1, 1, 2, 3, 2)[: student.ndim]
    tiled = float(value_of(name, student.repeat(tiles), teacher.repeat(tiles), label=label.repeat(tiles)))
    same = tiled == pytest.approx(float(value_of(name, student, teacher, label=label)), rel=1e-9)
    if declared(name, "patch_invariant"):
        assert same
    elif name in LOSSES:
        assert not same, "the flag can be on"


SEVERAL = [name for name, (_, loss) in PARTS.items() if hasattr(loss, "of_several")]


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("everywhere", [True, False])
@every_space
def test_several_teachers_at_once_are_the_sum_of_each(
    name: str, everywhere: bool, space: tuple[int, ...]
) -> None:
    student, teachers = maps(*space).requires_grad_(), [maps(*space, seed=1), maps(*space, seed=2)]
    where = None if everywhere else maps(*space, seed=3)[:, :1].clamp(0, 1)
    together = PARTS[name][1].of_several(student, teachers, [0.5, 2.0], where)
    first, second = (value_of(name, student, teacher, where) for teacher in teachers)
    apart = 0.5 * first + 2 * second
    torch.testing.assert_close(together, apart)
    ours, theirs = (torch.autograd.grad(each, student) for each in (together, apart))
    torch.testing.assert_close(ours, theirs)


@every_loss
@every_space
def test_slope_where_both_say_the_same(name: str, space: tuple[int, ...]) -> None:
    teacher, direction = maps(*space, seed=1), maps(*space, seed=2)

    def slope(step: float) -> float:
        return float(value_of(name, teacher + step * direction, teacher)) / step

    student = teacher.clone().requires_grad_()
    value_of(name, student, teacher).backward()
    assert student.grad is not None and torch.isfinite(student.grad).all()
    vanishing = slope(1e-5) < 0.01 * slope(1e-2)
    if declared(name, "differentiable_at_equal"):
        assert vanishing
        assert student.grad.abs().max() < 1e-12
    elif name in LOSSES:
        assert not vanishing, "the flag can be on"


@every_loss
@every_space
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_is_right(name: str, space: tuple[int, ...], masked: bool) -> None:
    teacher = maps(*space, batch=3, seed=1)
    where = (maps(*space, batch=3, seed=3)[:, :1] > 0).double() if masked else None
    student = maps(*space, batch=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: value_of(name, s, teacher, where), student, atol=1e-7)


@every_loss
def test_slice_is_a_volume_of_one_slice(name: str) -> None:
    student, teacher, label = maps(4, 6), maps(4, 6, seed=1), planes(4, 6)
    for axis in (2, 3, 4):
        maps_3d = [each.unsqueeze(axis) for each in (student, teacher, label)]
        volume = float(value_of(name, maps_3d[0], maps_3d[1], label=maps_3d[2]))
        assert volume == pytest.approx(float(value_of(name, student, teacher, label=label)), rel=1e-12)


@every_loss
@every_space
def test_nothing_is_changed(name: str, space: tuple[int, ...]) -> None:
    student, teacher = maps(*space).requires_grad_(), maps(*space, seed=1)
    before = student.detach().clone(), teacher.clone()
    value_of(name, student, teacher).backward()
    assert student.grad is not None and student.grad.abs().max() > 0
    assert torch.equal(student.detach(), before[0]) and torch.equal(teacher.detach(), before[1])


@every_loss
@every_space
@pytest.mark.parametrize(
    "student_value, teacher_value", [(0, 0), (0, 1), (1, 0), (-2, 3), (1e-12, 1), (1e12, 1e-12)]
)
def test_one_class_patches(
    name: str, space: tuple[int, ...], student_value: float, teacher_value: float
) -> None:
    """Constant maps, in which all else but one channel is 0 too: values and gradients stay finite and sober."""
    for channels in (slice(None), slice(1)):
        student, teacher = torch.zeros(2, 3, *space), torch.zeros(2, 3, *space)
        student[:, channels], teacher[:, channels] = student_value, teacher_value
        student.requires_grad_()
        label = torch.zeros(2, 3, *space)
        label[:, 1] = 1
        value = value_of(name, student, teacher, label=label)
        value.backward()
        assert torch.isfinite(value)
        assert student.grad is not None and torch.isfinite(student.grad).all()
        if student_value in (0, 1, -2):
            assert student.grad.abs().max() < 100


@every_loss
@every_space
def test_confident_teacher(name: str, space: tuple[int, ...]) -> None:
    """Scores of hundreds, as sure networks give: no logarithm of 0."""
    student, teacher = (100 * maps(*space)).float().requires_grad_(), 300 * maps(*space, seed=1).float()
    value = value_of(name, student, teacher)
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None and torch.isfinite(student.grad).all()


@every_loss
@every_space
def test_half_precision_is_safe(name: str, space: tuple[int, ...]) -> None:
    student, teacher = maps(*space).bfloat16().requires_grad_(), maps(*space, seed=1).bfloat16()
    value = value_of(name, student, teacher)
    value.backward()
    assert student.grad is not None and torch.isfinite(student.grad).all()
    assert float(value.detach()) == pytest.approx(
        float(value_of(name, student.detach().double(), teacher.double())), rel=0.03
    )


@every_loss
@every_space
def test_where_of_ones_changes_nothing(name: str, space: tuple[int, ...]) -> None:
    student, teacher = maps(*space), maps(*space, seed=1)
    ones = torch.ones(4, 1, *space, dtype=torch.float64)
    whole = float(value_of(name, student, teacher))
    assert float(value_of(name, student, teacher, ones)) == pytest.approx(whole, rel=1e-12)


@every_loss
@every_space
def test_where_of_zero_leaves_voxels_out(name: str, space: tuple[int, ...]) -> None:
    teacher = maps(*space, seed=1)
    where = (maps(*space, seed=3)[:, :1] > 0).double()
    assert 0 < where.mean() < 1
    student = maps(*space).requires_grad_()
    value = value_of(name, student, teacher, where)
    value.backward()
    other = maps(*space, seed=4) * (1 - where)
    changed = value_of(name, student.detach() + other, teacher - other, where)
    assert changed.item() == pytest.approx(value.item(), rel=1e-12)
    assert student.grad is not None
    assert (student.grad * (1 - where)).abs().max() == 0
    assert (student.grad * where).abs().max() > 0


@every_loss
@every_space
def test_where_of_nothing_but_zeros(name: str, space: tuple[int, ...]) -> None:
    student = maps(*space).requires_grad_()
    value = value_of(name, student, maps(*space, seed=1), torch.zeros(4, 1, *space, dtype=torch.float64))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None and student.grad.abs().max() == 0


@every_loss
@every_space
def test_missing_classes_are_left_out(name: str, space: tuple[int, ...]) -> None:
    """A patch with one class, or with no labelled voxel at all: a finite value and a finite gradient."""
    if not getattr(PARTS[name][1], "needs_label", False):
        pytest.skip("asks for no label")
    for classes in ((0,), (2,), (0, 1), ()):
        label = planes(*space)
        keep = torch.zeros(3, dtype=torch.float64)
        keep[list(classes)] = 1
        label = label * keep[:, None, None] if len(space) == 2 else label * keep[:, None, None, None]
        student = maps(*space).requires_grad_()
        value = value_of(name, student, maps(*space, seed=1), label=label)
        value.backward()
        assert torch.isfinite(value)
        assert student.grad is not None and torch.isfinite(student.grad).all()
        if not classes:
            assert value.item() == 0
    told = " ".join((PARTS[name][0].part.__doc__ or "").split())
    assert "left out" in told, "the docstring says what is left out where a class is missing"


@pytest.mark.parametrize("name", LOSSES)
def test_row_tells_what_a_user_must_know(name: str) -> None:
    row = LOSSES[name]
    assert row.reference and row.summary and row.formula and row.memory
    told = (row.part.__doc__ or "").lower().replace("-", " ")
    missing = [f for f in FLAGS if not getattr(row, f) and f"not {f.replace('_', ' ')}" not in told]
    assert not missing, f"{row.part.__name__} must say why it is not {missing}"
    assert row.part(), "every setting has a default"
