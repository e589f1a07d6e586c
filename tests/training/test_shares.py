from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from segdistill.distiller import Distiller
from segdistill.losses.feature.attention_similarity import AttentionSimilarity
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import DiceFocal
from segdistill.networks.unet import UNet
from segdistill.schedules import Constant, Window
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term
from segdistill.training.shares import gradient_shares, warnings


def made(terms: dict[str, Term], segmentation_weight: float = 1.0) -> tuple[Distiller, Tensor, Tensor]:
    torch.manual_seed(0)
    student, teacher = (UNet(2, 1, 2, channels=widths) for widths in ((2, 4), (2, 8)))
    image, label = torch.randn(2, 1, 16, 16), torch.randint(0, 2, (2, 1, 16, 16))
    return (
        Distiller(
            student, {"big": Teacher(teacher)}, segmentation=DiceFocal(), terms=terms, example=image[:1],
            segmentation_weight=segmentation_weight,
        ), image, label,
    )  # fmt: skip


def test_shares_are_norms_of_the_gradient_of_each_loss_on_the_student() -> None:
    distiller, image, label = made({"response": Term(KL(2), weight=Constant(3.0)), "raw": Term(MSE())})
    found = gradient_shares(distiller, image, label, epoch=0)
    norms = {}
    for name in ("segmentation", "response", "raw"):
        distiller.zero_grad()
        distiller(image, label)[name].backward()
        norms[name] = math.sqrt(
            sum(float(p.grad.square().sum()) for p in distiller.student.parameters() if p.grad is not None)
        )
    assert found == pytest.approx(
        {name: norm / sum(norms.values()) for name, norm in norms.items()}, rel=1e-4
    )
    assert sum(found.values()) == pytest.approx(1)


def test_measuring_leaves_no_gradient_behind() -> None:
    distiller, image, label = made({"response": Term(KL())})
    gradient_shares(distiller, image, label, epoch=0)
    assert all(p.grad is None for p in distiller.parameters())


def test_term_without_weight_has_no_share() -> None:
    distiller, image, label = made({"response": Term(KL(), weight=Window(5, 9))})
    assert gradient_shares(distiller, image, label, epoch=0) == {"segmentation": 1.0}
    assert set(gradient_shares(distiller, image, label, epoch=5)) == {"segmentation", "response"}


def test_term_that_the_student_cannot_hear() -> None:
    """A loss without any gradient has the share 0, whatever its value."""
    deaf = Term(lambda student, teacher, where=None: teacher.square().mean())
    distiller, image, label = made({"deaf": deaf}, segmentation_weight=0.0)
    assert gradient_shares(distiller, image, label, epoch=0) == {"segmentation": 0.0, "deaf": 0.0}


def test_frozen_parts_of_the_student_do_not_count() -> None:
    distiller, image, label = made({"response": Term(KL())})
    for parameter in list(distiller.student.parameters())[:-1]:
        parameter.requires_grad_(False)
    found = gradient_shares(distiller, image, label, epoch=0)
    assert sum(found.values()) == pytest.approx(1)


def test_the_printed_attention_similarity_drowns_and_the_warning_says_so() -> None:
    pairs = (("decoder/1", "decoder/1"),)
    terms = {
        "printed": Term(AttentionSimilarity("l1_global"), pairs),
        "channel": Term(AttentionSimilarity("l1_channel"), pairs),
        "advised": Term(AttentionSimilarity("at_l2"), pairs),
    }
    shares = {}
    for name, term in terms.items():
        distiller, image, label = made({name: term})
        shares[name] = gradient_shares(distiller, image, label, epoch=0)[name]
    assert shares["printed"] < 0.2 * shares["advised"]
    assert shares["channel"] > 0.9


def test_warnings() -> None:
    assert warnings({"segmentation": 0.5, "response": 0.5}) == {}
    assert warnings({"segmentation": 1.0}) == {}
    (few,) = warnings({"segmentation": 0.985, "response": 0.01, "coarse": 0.005}).values()
    assert few.startswith("coarse gives 0.50% of the student's gradient") and "raise its weight" in few
    low, high = sorted(
        warnings({"segmentation": 0.004, "channel": 0.996}).values(), key=lambda told: "lower" in told
    )
    assert low.startswith("segmentation gives 0.40%")
    assert high.startswith("channel gives 99.60% of the student's gradient") and "lower its weight" in high


class Dropping(nn.Module):
    """A student whose last layer is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.used(image)


def test_parameters_that_are_not_used() -> None:
    distiller = Distiller(Dropping(), segmentation=DiceFocal())
    label = torch.randint(0, 2, (1, 1, 4, 4))
    assert gradient_shares(distiller, torch.randn(1, 1, 4, 4), label, 0) == {"segmentation": 1.0}
