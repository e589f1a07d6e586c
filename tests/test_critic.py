from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.critic import Critic
from segdistill.distiller import Distiller
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import DiceFocal
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term

every_space = pytest.mark.parametrize("space", [(16, 16), (16, 16, 16)], ids=["2-D", "3-D"])


class Linear(nn.Module):
    """A judge that gives one weighted sum of its input, in a list as MONAI's does."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [image, (image * self.weight).flatten(1).sum(1)[:, None, None, None]]


def linear(space: tuple[int, ...], penalty: float = 10.0) -> Critic:
    torch.manual_seed(0)
    critic = Critic(2, len(space), width=4, layers=1, penalty=penalty)
    critic.judge = Linear(torch.randn(2, *space))  # type: ignore[assignment]
    return critic


def probabilities(space: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(3, 2, *space, generator=torch.Generator().manual_seed(seed)).softmax(1)


@every_space
def test_loss_of_a_linear_judge_by_hand(space: tuple[int, ...]) -> None:
    """The slope is the weight everywhere, so the penalty is (|weight| - 1)^2, wherever it is drawn."""
    critic = linear(space)
    weight = critic.judge.weight.detach()
    student, teacher = probabilities(space, 0), probabilities(space, 1)
    scores = [sum(float((each * weight).sum()) for each in p) / 3 for p in (student, teacher)]
    length = sum(float(w) ** 2 for w in weight.flatten()) ** 0.5
    assert critic.own_loss(student, teacher).item() == pytest.approx(
        scores[0] - scores[1] + 10 * (length - 1) ** 2, rel=1e-3
    )
    assert critic.holistic(student).item() == pytest.approx(-scores[0], rel=1e-4)


@every_space
def test_gradient_of_the_penalty_by_hand(space: tuple[int, ...]) -> None:
    """d penalty / dw = 2 lambda (|w| - 1) w / |w|, beside the mean difference of what is judged."""
    critic = linear(space, penalty=3.0)
    weight = critic.judge.weight
    student, teacher = probabilities(space, 0), probabilities(space, 1)
    critic.own_loss(student, teacher).backward()
    w = weight.detach()
    expected = (student - teacher).mean(0) + 6 * (w.norm() - 1) * w / w.norm()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, expected, rtol=1e-3, atol=1e-4)


def test_flat_judge_has_a_finite_gradient() -> None:
    critic = linear((4, 4))
    nn.init.zeros_(critic.judge.weight)
    loss = critic.own_loss(probabilities((4, 4), 0), probabilities((4, 4), 1))
    loss.backward()
    assert torch.isfinite(loss)
    assert critic.judge.weight.grad is not None and torch.isfinite(critic.judge.weight.grad).all()


@every_space
def test_who_learns_from_which_loss(space: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    critic = Critic(2, len(space), width=4, layers=2)
    student, teacher = (probabilities(space, seed).requires_grad_() for seed in (0, 1))
    assert critic.score(student).shape == (3,)
    critic.holistic(student).backward()
    assert student.grad is not None and student.grad.abs().max() > 0
    assert all(p.grad is None for p in critic.parameters())
    student.grad = None
    critic.own_loss(student, teacher).backward()
    assert student.grad is None and teacher.grad is None
    moved = [p.grad is not None and bool(p.grad.abs().max() > 0) for p in critic.parameters()]
    assert sum(moved) > len(moved) / 2


def network(seed: int, dims: int, classes: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return {2: nn.Conv2d, 3: nn.Conv3d}[dims](1, classes, 3, padding=1)


def distiller(dims: int = 2, regions: bool = False, **options: Any) -> Distiller:
    torch.manual_seed(5)
    critic = Critic(2, dims, width=4, layers=1)
    settings: dict[str, Any] = {
        "teachers": {"a": Teacher(network(1, dims)), "b": Teacher(network(2, dims))},
        "segmentation": DiceFocal(regions=regions),
        "regions": regions,
        "critic": (critic, 0.3),
        "example": torch.zeros(1, 1, *[8] * dims),
    }
    return Distiller(network(0, dims), **(settings | options))


def batch(dims: int = 2, layers: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    image = torch.randn(2, 1, *[8] * dims, generator=generator)
    return image, torch.randint(0, 2, (2, layers, *[8] * dims), generator=generator)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("regions", [False, True])
def test_in_the_distiller(dims: int, regions: bool) -> None:
    """The student's total has the holistic term and not the critic's own loss; one backward pass teaches both."""
    model = distiller(dims, regions)
    image, label = batch(dims, 2 if regions else 1)
    torch.manual_seed(3)
    losses = model(image, label)
    assert list(losses) == ["segmentation", "holistic", "total", "critic"]
    p, q, r = (
        z.sigmoid() if regions else z.softmax(1)
        for z in (n(image) for n in (model.student, *(t.network for t in model.teachers.values())))
    )
    assert model.critic is not None
    assert losses["holistic"].item() == pytest.approx(-0.3 * model.critic.score(p).mean().item(), rel=1e-4)
    torch.manual_seed(3)
    own = torch.stack([model.critic.own_loss(p, other) for other in (q, r)]).mean()
    assert losses["critic"].item() == pytest.approx(own.item(), rel=1e-3)
    assert losses["total"].item() == pytest.approx(
        (losses["segmentation"] + losses["holistic"]).item(), rel=1e-5
    )

    learners = model.learners()
    assert list(learners) == ["student", "critic"]
    (losses["total"] + losses["critic"]).backward()
    logits = model.student(image)
    score = model.critic.score(logits.sigmoid() if regions else logits.softmax(1)).mean()
    whole = model.segmentation(logits, label) - 0.3 * score
    expected = torch.autograd.grad(whole, list(model.student.parameters()))
    for parameter, gradient in zip(model.student.parameters(), expected, strict=True):
        assert parameter.grad is not None and torch.allclose(parameter.grad, gradient, atol=1e-5)
    assert all(p.grad is not None for p in learners["critic"])


def test_teacher_without_weight_is_not_judged() -> None:
    """A teacher of weight 0 is not asked, by terms or by the critic."""
    teachers = {"a": Teacher(network(1, 2)), "silent": Teacher(network(2, 2), weight=0.0)}
    both, alone = distiller(teachers=teachers), distiller(teachers={"a": Teacher(network(1, 2))})
    found = []
    for model in (both, alone):
        torch.manual_seed(3)
        found.append(model(*batch())["critic"].item())
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_student_as_its_own_teacher_is_not_judged() -> None:
    terms = {"own": Term(KL(), teacher_is="student")}
    found = []
    for model in (distiller(), distiller(terms=terms)):
        torch.manual_seed(3)
        found.append(model(*batch())["critic"].item())
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_critic_without_a_teacher() -> None:
    with pytest.raises(ValueError, match="critic: there is no teacher"):
        distiller(teachers={"silent": Teacher(network(2, 2), weight=0.0)})
