from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.distiller import Distiller
from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import IGNORE, DiceCE
from segdistill.networks.stages import name_stages
from segdistill.projectors.interpolation import Interpolation
from segdistill.teachers.combination import (
    COMBINATIONS,
    Confidence,
    Entropy,
    Importance,
    Mean,
    Sum,
    Validation,
)
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term

every_space = pytest.mark.parametrize("space", [(4, 4), (4, 2, 2)], ids=["2-D", "3-D"])


class Points(nn.Module):
    """Logits and a hidden map, functions of each voxel alone."""

    def __init__(self, classes: int, seed: int, dims: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.hidden = nn.Sequential(convolution(1, 3, 1), nn.Tanh())
        self.out = convolution(3, classes, 1)
        self.out.weight.data.mul_(3)

    def forward(self, image: Tensor) -> Tensor:
        return self.out(self.hidden(image))


def points(classes: int, seed: int, dims: int) -> nn.Module:
    return name_stages(Points(classes, seed, dims), {"decoder/1": "hidden"})


def answers(space: tuple[int, ...], problems: Sequence[int] = (1, 1, 1)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        f"teacher {number}": (3 * torch.randn(2, count, 3, *space, generator=generator)).softmax(2)
        for number, count in enumerate(problems)
    }


def made(name: str, *teachers: str) -> Any:
    """A combination of the table, told the teachers' names if it asks for them."""
    part = COMBINATIONS[name]
    return part(names=teachers) if part is Importance else part()


@pytest.mark.parametrize("name", COMBINATIONS)
@every_space
def test_shares_sum_to_one(name: str, space: tuple[int, ...]) -> None:
    part = made(name, "teacher 0", "teacher 1", "teacher 2")
    found = part(answers(space), {"teacher 0": 0.2, "teacher 1": 0.9, "teacher 2": 0.4})
    total = sum(torch.as_tensor(share) * torch.ones(2, 1, *space) for share in found.values())
    assert torch.allclose(total, torch.full_like(total, 3 if name == "sum" else 1))


@pytest.mark.parametrize("name", COMBINATIONS)
def test_no_teachers(name: str) -> None:
    assert made(name)({}, {}) == {}


def test_validation_counts_the_better_teacher_more() -> None:
    found, scores = dict.fromkeys("ab", torch.zeros(1)), {"a": 0.8, "b": 0.4}
    assert Validation()(found, scores) == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert Validation(power=2)(found, scores) == pytest.approx({"a": 0.8, "b": 0.2})
    assert Validation(power=0)(found, scores) == Mean()(found, scores) == {"a": 0.5, "b": 0.5}
    assert Validation()(found, {"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}


@every_space
@pytest.mark.parametrize("part", [Entropy(0.3), Confidence(0.3)])
@pytest.mark.parametrize("problems", [(1, 1), (3, 2)], ids=["classes", "regions"])
def test_voxel_by_voxel(space: tuple[int, ...], part: Entropy | Confidence, problems: Sequence[int]) -> None:
    """A teacher who knows fewer regions is as sure as it is, on average, of those."""
    known = answers(space, problems)
    found = part(known, dict.fromkeys(known, 0.0))
    for sample in range(2):
        for voxel in range(math.prod(space)):
            figures = []
            for p in known.values():
                sureness = []
                for problem in p[sample].flatten(2)[:, :, voxel].tolist():
                    spread = -sum(x * math.log(x) for x in problem) / math.log(3)
                    sureness.append(-spread if isinstance(part, Entropy) else max(problem))
                figures.append(math.exp(sum(sureness) / len(sureness) / 0.3))
            for figure, share in zip(figures, found.values(), strict=True):
                assert isinstance(share, Tensor) and share.shape == (2, 1, *space)
                assert share[sample, 0].flatten()[voxel].item() == pytest.approx(
                    figure / sum(figures), rel=1e-4
                )


def test_certain_teacher_has_no_entropy() -> None:
    sure, unsure = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1), torch.full((1, 1, 2, 1, 1), 0.5)
    found = Entropy(temperature=1.0)({"sure": sure, "unsure": unsure}, {})
    shares = {name: float(share) for name, share in found.items()}
    assert shares == pytest.approx({"sure": 1 / (1 + math.exp(-1)), "unsure": 1 / (1 + math.e)})


def distiller(teachers: dict[str, Teacher], dims: int, classes: int = 3, **options: Any) -> Distiller:
    settings: dict[str, Any] = {"terms": {"response": Term(KL())}, "segmentation": DiceCE()}
    example = torch.zeros(1, 1, *[4] * dims)
    return Distiller(points(classes, 0, dims), teachers, example=example, **(settings | options)).eval()


def batch(space: tuple[int, ...], layers: int = 1, ignored: bool = True) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    image = torch.randn(2, 1, *space, generator=generator)
    label = torch.randint(0, 2, (2, layers, *space), generator=generator)
    hidden = torch.rand(2, 1, *space, generator=generator) < (0.4 if ignored else 0)
    return image, label.masked_fill(hidden, IGNORE)


def surest(entropies: list[float], temperature: float) -> list[float]:
    figures = [math.exp(-each / temperature) for each in entropies]
    return [figure / sum(figures) for figure in figures]


@every_space
@pytest.mark.parametrize("ignored", [False, True])
def test_weighted_kl_of_classes(space: tuple[int, ...], ignored: bool) -> None:
    """mean_n sum_t a_t share_t(n) KL_t(n), one of the teachers knowing one of two classes only."""
    labels = LabelMap(((0, 2), (1,)), ((0,), (1,)))
    a, b = points(3, 1, len(space)), points(2, 2, len(space))
    teachers = {"a": Teacher(a, weight=0.5), "b": Teacher(b, weight=2.0, labels=labels)}
    model = distiller(teachers, len(space), combine=Entropy(0.2))
    image, label = batch(space, ignored=ignored)
    p = model.student(image).softmax(1).flatten(2)
    answers = [a(image).softmax(1).flatten(2), b(image).softmax(1).flatten(2)]
    samples = []
    for n in range(2):
        values = []
        for voxel in range(p.shape[2]):
            if label[n].flatten()[voxel] == IGNORE:
                continue
            own = p[n, :, voxel].tolist()
            mine = [own, [own[0] + own[2], own[1]]]
            theirs = [answer[n, :, voxel].tolist() for answer in answers]
            shares = surest([-sum(x * math.log(x) for x in q) / math.log(len(q)) for q in theirs], 0.2)
            divergences = [
                sum(y * math.log(y / x) for x, y in zip(m, q, strict=True))
                for m, q in zip(mine, theirs, strict=True)
            ]
            values.append(sum(a_t * s * d for a_t, s, d in zip((0.5, 2.0), shares, divergences, strict=True)))
        samples.append(sum(values) / len(values))
    assert model(image, label)["response"].item() == pytest.approx(sum(samples) / 2, rel=1e-4)


@every_space
def test_weighted_kl_of_regions(space: tuple[int, ...]) -> None:
    """The second teacher knows one of the two regions."""
    labels = LabelMap(((1,),), ((0,),))
    a, b = points(2, 1, len(space)), points(1, 2, len(space))
    model = distiller(
        {"a": Teacher(a), "b": Teacher(b, labels=labels)}, len(space), 2, combine=Entropy(0.2), regions=True,
        segmentation=DiceCE(regions=True),
    )  # fmt: skip
    image, label = batch(space, layers=2)
    own = model.student(image).sigmoid().flatten(2)
    theirs = [a(image).sigmoid().flatten(2), b(image).sigmoid().flatten(2)]
    samples = []
    for n in range(2):
        values = []
        for voxel in range(own.shape[2]):
            if label[n, 0].flatten()[voxel] == IGNORE:
                continue
            entropies, divergences = [], []
            for answer, regions in zip(theirs, ([0, 1], [1]), strict=True):
                q = answer[n, :, voxel].tolist()
                spread = [-(x * math.log(x) + (1 - x) * math.log(1 - x)) / math.log(2) for x in q]
                entropies.append(sum(spread) / len(spread))
                p = own[n, regions, voxel].tolist()
                divergences.append(
                    sum(y * math.log(y / x) + (1 - y) * math.log((1 - y) / (1 - x)) for x, y in zip(p, q, strict=True))
                )  # fmt: skip
            values.append(sum(s * d for s, d in zip(surest(entropies, 0.2), divergences, strict=True)))
        samples.append(sum(values) / len(values))
    assert model(image, label)["response"].item() == pytest.approx(sum(samples) / 2, rel=1e-3)


@pytest.mark.parametrize("part", [Sum(), Mean(), Validation(2.0), Confidence()])
def test_losses_that_are_no_means_over_voxels_take_the_mean_share(part: Any) -> None:
    a, b = points(3, 1, 2), points(3, 2, 2)
    teachers = {"a": Teacher(a, score=0.8), "b": Teacher(b, score=0.4)}
    hint = Term(AttentionTransfer(), (("decoder/1", "decoder/1"),), projector=Interpolation)
    model = distiller(teachers, 2, terms={"hint": hint}, combine=part)
    image, label = batch((4, 4), ignored=False)
    known = {name: network(image).softmax(1)[:, None] for name, network in (("a", a), ("b", b))}
    expected = torch.zeros(())
    for name, share in part(known, {"a": 0.8, "b": 0.4}).items():
        apart = AttentionTransfer()(model.student.hidden(image), teachers[name].network.hidden(image))
        expected = expected + torch.as_tensor(share).mean() * apart
    assert model(image, label)["hint"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_importance_mixes_the_maps_and_is_learned() -> None:
    a, b = points(3, 1, 2), points(3, 2, 2)
    part = Importance(("a", "b"))
    with torch.no_grad():
        part.pi.copy_(torch.tensor([0.5, -0.5]))
    hint = Term(AttentionTransfer(), (("decoder/1", "decoder/1"),))
    model = distiller({"a": Teacher(a), "b": Teacher(b)}, 2, terms={"hint": hint}, combine=part)
    assert part.pi in set(model.learners()["student"])
    image, label = batch((4, 4), ignored=False)
    share = torch.tensor([0.5, -0.5]).softmax(0)
    mixed = share[0] * a.hidden(image) + share[1] * b.hidden(image)
    loss = model(image, label)["hint"]
    assert loss.item() == pytest.approx(
        AttentionTransfer()(model.student.hidden(image), mixed).item(), rel=1e-5
    )
    loss.backward()
    assert part.pi.grad is not None and part.pi.grad.abs().min() > 0


def test_importance_beside_the_student_as_its_own_teacher() -> None:
    terms = {
        "own": Term(AttentionTransfer(), (("decoder/1", "logits"),), teacher_is="student"),
        "hint": Term(AttentionTransfer(), (("decoder/1", "decoder/1"),)),
    }
    model = distiller({"a": Teacher(points(3, 1, 2)), "b": Teacher(points(3, 2, 2))}, 2, terms=terms,
                      combine=Importance(("a", "b")))  # fmt: skip
    assert model(*batch((4, 4)))["own"] > 0


def test_importance_needs_maps_of_one_width() -> None:
    wide = nn.Sequential(nn.Conv2d(1, 5, 1), nn.Conv2d(5, 2, 1))
    name_stages(wide, {"decoder/1": "0"})
    hint = Term(AttentionTransfer(), (("decoder/1", "decoder/1"),))
    teachers = {"a": Teacher(points(3, 1, 2)), "b": Teacher(wide)}
    with pytest.raises(ValueError, match=r"terms\.hint: combine mixes the teachers' maps, but they differ"):
        distiller(teachers, 2, terms={"hint": hint}, combine=Importance(("a", "b")))


def test_shares_have_no_gradient() -> None:
    """Neither a peer's share nor a frozen teacher's: the weighted KL moves the student alone."""
    teachers = {"a": Teacher(points(3, 1, 2)), "b": Teacher(points(3, 2, 2))}
    model = distiller(teachers, 2, combine=Entropy())
    model(*batch((4, 4)))["response"].backward()
    assert all(p.grad is not None for p in model.student.parameters())
    assert all(p.grad is None for teacher in teachers.values() for p in teacher.network.parameters())


def test_one_teacher_weighs_one() -> None:
    image, label = batch((4, 4))
    values = []
    for name in COMBINATIONS:
        model = distiller({"a": Teacher(points(3, 1, 2), score=0.5)}, 2, combine=made(name, "a"))
        values.append(model(image, label)["response"].item())
    assert values == pytest.approx([values[0]] * len(values), rel=1e-5)
