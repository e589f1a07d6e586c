from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from segdistill.distiller import Distiller
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import DiceCE, DiceFocal
from segdistill.projectors.autoencoder import Autoencoder
from segdistill.teachers.label_map import Groups, LabelMap
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term

LIVER = LabelMap(((0, 2), (1,)), ((0,), (1,)))  # the student learns liver and tumour, the teacher knows liver


def marginal(logits: Tensor, groups: Groups) -> Tensor:
    """Sums of the softmax over each group, voxel by voxel."""
    found = torch.zeros(len(logits), len(groups), logits[0, 0].numel(), dtype=torch.float64)
    for sample, flat in enumerate(logits.flatten(2)):
        for voxel in range(flat.shape[1]):
            exponentials = [math.exp(float(z)) for z in flat[:, voxel]]
            for number, group in enumerate(groups):
                found[sample, number, voxel] = sum(exponentials[k] for k in group) / sum(exponentials)
    return found.reshape(len(logits), len(groups), *logits.shape[2:])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("space", [(3, 4), (2, 3, 2)])
def test_marginal_probabilities(space: tuple[int, ...]) -> None:
    labels = LabelMap(((0, 3), (1, 2), (4,)), ((0,), (2,), (1, 3)))
    student, teacher = 3 * draw(2, 5, *space), 3 * draw(2, 4, *space, seed=1)
    assert torch.allclose(labels.of_student(student).softmax(1), marginal(student, labels.student))
    assert torch.allclose(labels.of_teacher(teacher).softmax(1), marginal(teacher, labels.teacher))


def test_logits_of_hundreds() -> None:
    logits = torch.tensor([900.0, -900.0, 899.0]).reshape(1, 3, 1, 1)
    merged = LIVER.of_student(logits)
    assert merged.flatten().tolist() == pytest.approx([900 + math.log(1 + math.exp(-1)), -900.0])


@pytest.mark.parametrize(
    "ours, theirs, wanted, expected",
    [
        (["liver", "tumour"], ["liver", "tumour"], None, None),
        (["a", "b"], ["b", "a"], None, LabelMap(((0,), (1,), (2,)), ((0,), (2,), (1,)))),
        (["liver", "tumour"], ["liver"], ["liver"], LIVER),
        (
            ["liver", "tumour"],
            ["liver"],
            {"liver": "liver", "tumour": "liver"},
            LabelMap(((0,), (1, 2)), ((0,), (1,))),
        ),
        (["lung"], ["left", "heart", "right"], {"lung": ["left", "right"]}, LabelMap(((0,), (1,)), ((0, 2), (1, 3)))),
        (["cancer"], ["liver", "tumour"], {"cancer": "tumour"}, LabelMap(((0,), (1,)), ((0, 1), (2,)))),
    ],
    ids=["same", "order", "partial", "shared", "several", "renamed"],
)  # fmt: skip
def test_by_name(ours: list[str], theirs: list[str], wanted: object, expected: LabelMap | None) -> None:
    assert LabelMap.by_name(ours, theirs, wanted, regions=False) == expected  # type: ignore[arg-type]


def test_regions_have_no_background() -> None:
    found = LabelMap.by_name(["whole", "core"], ["core", "other"], ["core"], regions=True)
    assert found == LabelMap(((1,),), ((0,),))


@pytest.mark.parametrize(
    "wanted, regions, told",
    [
        (None, False, "the teacher knows liver, spleen, the student learns liver, tumour: say by `classes`"),
        (["spleen"], False, r"the student has no class 'spleen' \(it has: liver, tumour\)"),
        ({"tumour": "cancer"}, False, r"the teacher has no class 'cancer' \(it has: liver, spleen\)"),
        ([], False, "`classes` is empty"),
        ({"liver": ["liver", "spleen"], "tumour": "liver"}, False, "stands in two groups"),
        ({"liver": ["liver", "spleen"]}, True, "overlapping regions are compared one by one"),
        ({"liver": "liver", "tumour": "liver"}, True, "overlapping regions are compared one by one"),
    ],
)
def test_what_does_not_fit_is_told(wanted: object, regions: bool, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LabelMap.by_name(["liver", "tumour"], ["liver", "spleen"], wanted, regions)  # type: ignore[arg-type]


def test_planes_of_the_label_are_merged() -> None:
    label = torch.tensor([[0, 1, 2, -1]])
    planes = torch.stack([(label == k).float() for k in range(3)], dim=1)
    assert LIVER.of_label(planes)[0].tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]


class Point(nn.Module):
    """Logits that are a linear function of each voxel."""

    def __init__(self, classes: int, seed: int, dims: int = 2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.out = {2: nn.Conv2d, 3: nn.Conv3d}[dims](1, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.out(image)


@pytest.mark.parametrize("space", [(4, 4), (4, 2, 2)])
def test_partial_teacher_leaves_the_ratio_of_unknown_classes_alone(space: tuple[int, ...]) -> None:
    """dKL/dz_k = (P_g - Q_g) p_k / P_g: background and tumour, which the teacher does not tell apart, move as one."""
    student, teacher = Point(3, 0, len(space)), Point(2, 1, len(space))
    image = torch.randn(2, 1, *space, generator=torch.Generator().manual_seed(0))
    model = Distiller(
        student, {"liver": Teacher(teacher, labels=LIVER)}, segmentation=DiceFocal(), terms={"response": Term(KL())},
        example=image[:1],
    )  # fmt: skip
    caught: list[Tensor] = []
    student.out.register_forward_hook(lambda *a: (a[2].retain_grad(), caught.append(a[2]))[0])
    losses = model(image, torch.zeros(2, 1, *space, dtype=torch.int16))
    p, q = (marginal(n(image).detach(), g) for n, g in ((student, LIVER.student), (teacher, LIVER.teacher)))
    assert losses["response"].item() == pytest.approx(
        float((q * (q / p).log()).sum(1).mean()), rel=1e-4, abs=1e-7
    )
    losses["response"].backward()
    single = caught[0].softmax(1).detach().double()
    expected = torch.stack([(p - q)[:, g] * single[:, k] / p[:, g] for k, g in enumerate((0, 1, 0))], dim=1)
    gradient = caught[0].grad
    assert gradient is not None
    assert torch.allclose(gradient.double() * p[:, 0].numel(), expected, atol=1e-5)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_regions_that_are_not_shared_learn_nothing() -> None:
    student, teacher = Point(3, 0), Point(2, 1)
    labels = LabelMap.by_name(["a", "b", "c"], ["x", "b"], ["b"], regions=True)
    image = torch.randn(2, 1, 4, 4)
    model = Distiller(
        student, {"one": Teacher(teacher, labels=labels)}, segmentation=DiceCE(regions=True),
        terms={"response": Term(KL())}, regions=True, example=image[:1],
    )  # fmt: skip
    losses = model(image, torch.zeros(2, 3, 4, 4, dtype=torch.int16))
    losses["response"].backward()
    moved = student.out.weight.grad
    assert moved is not None
    assert [bool(m) for m in moved.abs().flatten() > 0] == [False, True, False]
    p, q = student(image).sigmoid()[:, 1], teacher(image).sigmoid()[:, 1]
    expected = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
    assert losses["response"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_autoencoder_learns_the_classes_that_are_compared() -> None:
    """A teacher of four channels, of which two groups are learned: the encoder has two."""
    labels = LabelMap(((0,), (1,)), ((0, 2, 3), (1,)))
    term = Term(KL(), projector=Autoencoder, project_always=True)
    model = Distiller(
        Point(2, 0), {"big": Teacher(Point(4, 1), labels=labels)}, segmentation=DiceFocal(), terms={"a": term},
        example=torch.zeros(1, 1, 4, 4),
    )  # fmt: skip
    losses = model(torch.randn(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.int16))
    projector = model.projectors["a:0:big"]
    assert isinstance(projector, Autoencoder)
    assert projector.decode.out_channels == 2
    assert losses["a reconstruction"].item() > 0
