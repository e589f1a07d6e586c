from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from segdistill.distiller import Distiller
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import DiceFocal
from segdistill.teachers.average import Average
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))


def distiller(momentum: float = 0.9) -> tuple[Distiller, nn.Sequential, nn.Sequential]:
    student = network()
    teacher = copy.deepcopy(student)
    model = Distiller(
        student, {"mean": Teacher(teacher, average=Average(momentum))}, segmentation=DiceFocal(),
        terms={"response": Term(KL())}, example=torch.zeros(1, 1, 4, 4),
    )  # fmt: skip
    return model.train(), student, teacher


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, 4, 4, generator=generator)
    return image, torch.randint(0, 2, (2, 1, 4, 4), generator=generator)


def test_weights_move_and_statistics_are_copied() -> None:
    own, other = network(), network(1)
    other(batch()[0])  # batch norm's statistics and its count
    before = [p.clone() for p in own.parameters()]
    Average(0.75).follow(own, other, 0.0)
    for old, new, its in zip(before, own.parameters(), other.parameters(), strict=True):
        for x, y, z in zip(
            old.flatten().tolist(), new.flatten().tolist(), its.flatten().tolist(), strict=True
        ):
            assert y == pytest.approx(0.75 * x + 0.25 * z, abs=1e-6)
    buffers = list(zip(own.buffers(), other.buffers(), strict=True))
    assert len(buffers) == 3 and all(torch.equal(mine, its) for mine, its in buffers)


def test_momentum_along_half_a_cosine() -> None:
    average = Average(0.9, final=1.0)
    assert [average.at(done) for done in (0.0, 0.5, 1.0, 1.5)] == pytest.approx([0.9, 0.95, 1.0, 1.0])
    assert average.at(0.25) == pytest.approx(1 - 0.1 * (1 + math.cos(math.pi / 4)) / 2)
    assert [Average(0.9).at(done) for done in (0.0, 1.0)] == [0.9, 0.9]


def test_steps_of_training() -> None:
    model, student, teacher = distiller(0.5)
    optimizer = torch.optim.SGD(model.learners()["student"], lr=0.1)
    expected = [p.detach().clone() for p in teacher.parameters()]
    for step in range(3):
        optimizer.zero_grad()
        model(*batch(step))["total"].backward()
        optimizer.step()
        model.follow(step / 3)
        expected = [
            0.5 * old + 0.5 * new.detach() for old, new in zip(expected, student.parameters(), strict=True)
        ]
        assert not teacher.training  # it said its part in eval mode, though training puts all in train mode
        model.train()
    assert all(torch.allclose(e, p, atol=1e-6) for e, p in zip(expected, teacher.parameters(), strict=True))


def test_eval_mode_in_training() -> None:
    """Its answer comes from the running statistics, which no forward pass of its own changes."""
    model, student, teacher = distiller()
    student.requires_grad_(True)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    image, label = batch()
    losses = model(image, label)
    fresh = copy.deepcopy(teacher).eval()
    expected = KL()(student(image), fresh(image))
    assert losses["response"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_no_gradient_and_no_optimizer() -> None:
    model, student, teacher = distiller()
    model(*batch())["total"].backward()
    assert all(not p.requires_grad and p.grad is None for p in teacher.parameters())
    assert {id(p) for p in model.learners()["student"]} == {id(p) for p in student.parameters()}
    assert list(model.learners()) == ["student"]


def test_in_the_state_dict() -> None:
    """A killed run goes on with the same average."""
    model, _, teacher = distiller()
    model.follow(0.0)
    saved = {name: value for name, value in model.state_dict().items() if name.startswith("learning.")}
    assert {name.split(".", 2)[2] for name in saved} == set(teacher.state_dict())
    other, _, its = distiller()
    other.load_state_dict(model.state_dict())
    assert all(torch.equal(value, its.state_dict()[name]) for name, value in teacher.state_dict().items())
