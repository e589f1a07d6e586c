"""Teachers of which everything was recorded: the equation is the same; what was not recorded does not teach."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.critic import Critic
from segdistill.distiller import Distiller
from segdistill.losses.boundary.band_kl import BandKL
from segdistill.losses.feature.attention_transfer import AttentionTransfer
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import DiceFocal
from segdistill.networks.stages import name_stages
from segdistill.phases import Phase
from segdistill.projectors.alignment import Alignment
from segdistill.projectors.autoencoder import Autoencoder
from segdistill.projectors.convolution import Convolution
from segdistill.projectors.interpolation import Interpolation
from segdistill.schedules import Constant
from segdistill.teachers.combination import Entropy, Mean, Validation
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.teacher import Teacher
from segdistill.term import Term

Told = dict[str, dict[str, Tensor]]


class Net(nn.Module):
    """A map at full and one at half resolution."""

    def __init__(self, width: int, seed: int, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.high = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.Tanh())
        self.low = nn.Sequential(nn.Conv2d(width, 2 * width, 2, stride=2), nn.Tanh())
        self.out = nn.Conv2d(width, classes, 1)
        name_stages(self, {"decoder/1": "high", "encoder/2": "low"})

    def forward(self, image: Tensor) -> Tensor:
        full = self.high(image)
        self.low(full)
        return self.out(full)


STAGES = ("decoder/1", "encoder/2")


def recorded(teacher: Teacher, image: Tensor) -> tuple[Teacher, dict[str, Tensor]]:
    """The teacher without its network, and what that says about a batch."""
    said = teacher.knowledge(image, STAGES)
    sizes = {
        name: (each.shape[1], tuple(n // m for n, m in zip(image.shape[2:], each.shape[2:], strict=True)))
        for name, each in said.items()
    }
    return replace(teacher, network=None, recorded=sizes), said


def batch(classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    image = torch.randn(2, 1, 8, 8, generator=generator)
    return image, torch.randint(0, classes, (2, 1, 8, 8), generator=generator).to(torch.int16)


def made(teachers: dict[str, Teacher], **options: Any) -> Distiller:
    """With the same weights every time."""
    torch.manual_seed(3)
    given: dict[str, Any] = {"segmentation": DiceFocal(), "example": batch()[0][:1]}
    options = {key: copy.deepcopy(value) for key, value in options.items()}
    return Distiller(Net(2, 0, options.pop("classes", 3)), teachers, **(given | options))


def heard(model: Distiller, told: Told | None, classes: int = 3, **more: Any) -> dict[str, Tensor]:
    """Its losses; and the gradients of all that learns, under the names of the parameters."""
    image, label = batch(classes)
    torch.manual_seed(4)
    model.zero_grad()
    losses = model(image, label, told=told, **more)
    (losses["total"] + losses.get("critic", 0)).backward()
    gradients = {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    return {**losses, **gradients}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, each in one.items():
        torch.testing.assert_close(each, other[name], msg=lambda text, name=name: f"{name}: {text}")


def everyone() -> dict[str, Teacher]:
    return {
        "big": Teacher(Net(5, 1), weight=0.5, score=0.6),
        "other": Teacher(Net(3, 2), weight=2.0, score=0.8),
    }


HINT = Term(MSE(), (("encoder/2", "encoder/2"), ("decoder/1", "decoder/1")), projector=Convolution)
FUSED = Term(AttentionTransfer(), ((("encoder/2", "decoder/1"), "decoder/1"),))
GROWN = Term(AttentionTransfer(), (("decoder/1", STAGES),))
SETTINGS: dict[str, dict[str, Any]] = {
    "response": {"terms": {"response": Term(KL(2.0))}},
    "features": {"terms": {"hint": HINT, "fused": FUSED}},
    "maps that grow": {"terms": {"grown": GROWN}},
    "of one teacher": {"terms": {"response": Term(KL(2.0), teachers=("big",)), "hint": HINT}},
    "boundary": {"terms": {"band": Term(BandKL())}},
    "interpolation": {"terms": {"i": Term(MSE(), (("encoder/2", "encoder/2"),), projector=Interpolation)}},
    "mean": {"terms": {"response": Term(KL())}, "combine": Mean()},
    "by voxel": {"terms": {"response": Term(KL())}, "combine": Entropy()},
    "by score": {"terms": {"response": Term(KL())}, "combine": Validation()},
    "reconstruction": {
        "terms": {
            "latent": Term(MSE(), (("encoder/2", "encoder/2"),), projector=Autoencoder, project_always=True),
            "pooled": Term(MSE(), (("decoder/1", "decoder/1"),), projector=Alignment, project_always=True),
        }
    },
    "critic": {"terms": {"response": Term(KL())}, "critic": (Critic(3, 2, width=4, layers=1), 0.3)},
    "critic alone": {"critic": (Critic(3, 2, width=4, layers=1), 0.3)},
    "phase": {
        "terms": {"response": Term(KL()), "hint": HINT},
        "phases": (Phase("first", 0, 1, ("hint",), 0.5), Phase("second", 1, 2)),
    },
    "projectors alone": {
        "terms": {
            "latent": Term(MSE(), (("encoder/2", "encoder/2"),), projector=Autoencoder, project_always=True)
        },
        "phases": (Phase("first", 0, 1, (), 0.0, False, True), Phase("second", 1, 2)),
    },
}


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_losses_and_gradients_as_online(name: str, mixed: bool) -> None:
    """Where the recording holds what the network says; of all teachers, or of one beside another online."""
    teachers, kept, told = everyone(), everyone(), {}
    for key in ("big",) if mixed else ("big", "other"):
        kept[key], told[key] = recorded(kept[key], batch()[0])
    inside = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    online, cached = made(teachers, **SETTINGS[name]), made(kept, **SETTINGS[name])
    same(heard(online, None), heard(cached, told, inside=inside))
    assert [row["teacher_map"] for row in online.pairing] == [row["teacher_map"] for row in cached.pairing]
    assert not any("big" in key for key, _ in cached.named_parameters() if key.startswith("learning"))


def test_a_teacher_of_other_classes() -> None:
    labels = LabelMap.by_name(["liver", "tumour"], ["liver"], {"liver": "liver"}, False)
    teacher = Teacher(Net(4, 1, classes=2), labels=labels)
    kept, said = recorded(teacher, batch()[0])
    assert kept.recorded is not None and kept.recorded["logits"] == (2, (1, 1)), "kept as the teacher says it"
    terms = {"response": Term(KL(2.0))}
    same(heard(made({"t": teacher}, terms=terms), None), heard(made({"t": kept}, terms=terms), {"t": said}))


def test_overlapping_regions() -> None:
    teacher = Teacher(Net(4, 1))
    kept, said = recorded(teacher, batch()[0])
    options: dict[str, Any] = {
        "terms": {"response": Term(KL(2.0))}, "regions": True,
        "segmentation": lambda logits, label: logits.square().mean(),
    }  # fmt: skip
    image = batch()[0]
    label = torch.randint(0, 2, (2, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    online, cached = made({"t": teacher}, **options), made({"t": kept}, **options)
    same(online(image, label), cached(image, label, told={"t": said}))


def test_half_precision_is_compared_in_float32() -> None:
    kept, said = recorded(Teacher(Net(4, 1)), batch()[0])
    half = {name: each.half() for name, each in said.items()}
    model = made({"t": kept}, terms=SETTINGS["response"]["terms"] | {"hint": HINT})
    exact, rounded = heard(model, {"t": said}), heard(model, {"t": half})
    assert rounded["response"].dtype == torch.float32
    torch.testing.assert_close(rounded["total"], exact["total"], rtol=1e-2, atol=1e-3)


# Not maps that grow: between the last voxel inside and the first outside a coarse map is interpolated.
TEACHING = ["response", "features", "boundary", "interpolation", "mean", "by score", "by voxel"]


@pytest.mark.parametrize("name", TEACHING)
def test_outside_of_the_image_nothing_is_taught(name: str) -> None:
    """Whatever a recording may hold of voxels that no teacher was asked about, the losses are the same."""
    inside = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    inside[0, :, 6:] = inside[1, :, :, :2] = False
    kept, told = everyone(), {}
    for key in kept:
        kept[key], told[key] = recorded(kept[key], batch()[0])
    model = made(kept, **SETTINGS[name])
    before = heard(model, told, inside=inside)
    changed: Told = {}
    for key, maps in told.items():
        changed[key] = {}
        for stage, each in maps.items():
            step = 8 // each.shape[-1]
            covered = inside[:, :, ::step, ::step]  # its borders lie at multiples of the stride
            changed[key][stage] = torch.where(covered, each, torch.randn(each.shape))
    after = heard(model, changed, inside=inside)
    same(before, after)
    assert not torch.allclose(heard(model, changed)["total"], heard(model, told)["total"])


def test_outside_of_the_image_the_critic_sees_nothing() -> None:
    inside = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    inside[:, :, 4:] = False
    kept, said = recorded(Teacher(Net(5, 1)), batch()[0])
    model = made({"big": kept}, **SETTINGS["critic"])
    changed = said | {"logits": torch.where(inside, said["logits"], said["logits"] + torch.randn(2, 3, 8, 8))}
    same(heard(model, {"big": said}, inside=inside), heard(model, {"big": changed}, inside=inside))


def test_a_batch_wholly_outside() -> None:
    kept, said = recorded(Teacher(Net(5, 1)), batch()[0])
    model = made({"t": kept}, terms={"response": Term(KL()), "hint": HINT})
    found = heard(model, {"t": said}, inside=torch.zeros(2, 1, 8, 8, dtype=torch.bool))
    assert not found["response"].any() and not found["hint"].any() and found["total"].isfinite()


def test_supervision_reaches_beyond_the_image_as_before() -> None:
    """Padding is background, which the label says; that it was not recorded changes nothing there."""
    kept, said = recorded(Teacher(Net(5, 1)), batch()[0])
    model = made({"t": kept}, terms={"response": Term(KL())})
    inside = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    inside[:, :, 3:] = False
    whole, part = heard(model, {"t": said}), heard(model, {"t": said}, inside=inside)
    torch.testing.assert_close(whole["segmentation"], part["segmentation"])
    assert not torch.allclose(whole["response"], part["response"])


def test_nothing_is_told_of_a_teacher() -> None:
    kept, said = recorded(Teacher(Net(5, 1)), batch()[0])
    model = made({"t": kept}, terms={"response": Term(KL())})
    with pytest.raises(
        ValueError, match=r"teachers\.t was recorded, and nothing of that is told of this batch"
    ):
        heard(model, {"other": said})


def test_nothing_need_be_told_where_nobody_listens() -> None:
    kept, _ = recorded(Teacher(Net(5, 1)), batch()[0])
    model = made({"t": kept}, terms={"response": Term(KL(), weight=Constant(0.0))})
    assert heard(model, None)["total"] > 0


def test_a_stage_that_was_not_recorded() -> None:
    kept, _ = recorded(Teacher(Net(5, 1)), batch()[0])
    kept = replace(kept, recorded={"logits": (3, (1, 1))})
    with pytest.raises(ValueError, match=r"terms\.hint: the teacher t \(recorded\) has no stage 'encoder/2'"):
        made({"t": kept}, terms={"hint": HINT})
