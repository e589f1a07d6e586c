from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from segdistill.errors import SegdistillError
from segdistill.losses.boundary.band import band
from segdistill.losses.boundary.distance import signed_distance
from segdistill.parts import build
from segdistill.where import WHERE, Balanced, Band, Behind, Confident, Foreground, SignedDistance

SPACES = [(6, 7), (5, 4, 3)]
every_part = pytest.mark.parametrize("name", WHERE)
every_space = pytest.mark.parametrize("space", SPACES, ids=["2-D", "3-D"])
either_label = pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])


def example(*space: int, regions: bool = False, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Label planes of two samples, probabilities of student and teacher; a class label has unlabelled voxels."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2 * torch.randn(2, 2, 3, *space, dtype=torch.float64, generator=generator)
    if regions:
        label = (torch.rand(2, 3, *space, generator=generator) > 0.8).double()
        return label, student.sigmoid(), teacher.sigmoid()
    classes = torch.randint(-1, 9, (2, *space), generator=generator)
    classes = torch.where(classes > 2, 0, classes)
    label = torch.stack([(classes == k).double() for k in range(3)], dim=1)
    return label, student.softmax(1), teacher.softmax(1)


def line(classes: list[int], count: int = 3) -> Tensor:
    """Class planes of one row of voxels; -1 has no label."""
    label = torch.tensor([[classes]])
    return torch.stack([(label == k).double() for k in range(count)], dim=1)


def row(weight: Tensor) -> list[float]:
    assert weight.shape[:3] == (1, 1, 1)
    return weight[0, 0, 0].tolist()


@every_part
@every_space
@either_label
def test_every_part_gives_weights(name: str, space: tuple[int, ...], regions: bool) -> None:
    label, student, teacher = example(*space, regions=regions)
    student.requires_grad_(), teacher.requires_grad_()
    weight = WHERE[name](regions=regions)(label, student, teacher)
    assert weight.shape == (2, 1, *space) and weight.dtype == torch.float64
    assert weight.min() >= 0 and 0 < weight.max() <= 1
    assert not weight.requires_grad
    if name != "confident" and not regions:
        assert (weight * (1 - label.sum(1, keepdim=True))).count_nonzero() == 0  # voxels without a label


@every_part
@either_label
def test_slice_is_a_volume_of_one_slice(name: str, regions: bool) -> None:
    flat = example(6, 7, regions=regions)
    part = WHERE[name](regions=regions)
    for axis in (2, 3, 4):
        volume = part(*(each.unsqueeze(axis) for each in flat))
        assert torch.allclose(volume.squeeze(axis), part(*flat), rtol=1e-12)


@every_part
@either_label
def test_samples_do_not_meet(name: str, regions: bool) -> None:
    label, student, teacher = example(6, 7, regions=regions)
    part = WHERE[name](regions=regions)
    alone = [part(label[[n]], student[[n]], teacher[[n]]) for n in range(2)]
    assert torch.allclose(part(label, student, teacher), torch.cat(alone), rtol=1e-12)


@every_part
@either_label
def test_sample_without_a_label(name: str, regions: bool) -> None:
    label, student, teacher = example(6, 7, regions=regions)
    weight = WHERE[name](regions=regions)(torch.zeros_like(label), student, teacher)
    assert torch.isfinite(weight).all()
    if not regions and name != "confident":
        assert weight.count_nonzero() == 0


@every_part
def test_label_of_another_shape_is_refused(name: str) -> None:
    label, student, teacher = example(6, 7)
    if name == "confident":
        pytest.skip("does not read the label")
    with pytest.raises(ValueError, match=r"one plane a class.*\(2, 3, 6, 7\) fits, got \(2, 1, 6, 7\)"):
        WHERE[name]()(label[:, :1], student, teacher)


@every_part
def test_every_part_is_made_from_a_recipe(name: str) -> None:
    assert build(WHERE, name, "terms.x.where", regions=True) == WHERE[name](regions=True)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "band", "radius": 0},
        {"type": "foreground", "background": 1.5},
        {"type": "confident", "threshold": -0.1},
        {"type": "behind", "margin": 1},
        {"type": "signed_distance", "sigma": 0},
    ],
    ids=lambda spec: spec["type"],
)
def test_settings_have_bounds(spec: dict[str, Any]) -> None:
    setting = list(spec)[1]
    with pytest.raises(SegdistillError, match=rf"terms\.x\.where\.{setting}: "):
        build(WHERE, spec, "terms.x.where")


@every_space
@either_label
def test_band_is_that_of_the_loss(space: tuple[int, ...], regions: bool) -> None:
    said = example(*space, regions=regions)
    assert torch.equal(Band(2, regions)(*said), band(said[0], 2, regions).double())


def test_band_along_a_line() -> None:
    label = line([0, 0, 0, 1, 1, 1, -1, 2])
    assert row(Band()(label, label, label)) == [0, 0, 1, 1, 0, 0, 0, 0]
    assert row(Band(radius=2)(label, label, label)) == [0, 1, 1, 1, 1, 0, 0, 0]


def test_foreground() -> None:
    label = line([0, 1, 2, -1, 0])
    assert row(Foreground()(label, label, label)) == [0, 1, 1, 0, 0]
    assert row(Foreground(background=0.25)(label, label, label)) == [0.25, 1, 1, 0, 0.25]
    overlapping = torch.tensor([[[[0, 1, 1, 0]], [[0, 0, 1, 0]]]]).double()
    weight = Foreground(background=0.25, regions=True)(overlapping, overlapping, overlapping)
    assert row(weight) == [0.25, 1, 1, 0.25]


def test_balanced() -> None:
    label = line([0, 0, 0, 0, 1, 1, 2, -1])
    assert row(Balanced()(label, label, label)) == [0.25] * 4 + [0.5] * 2 + [1, 0]
    assert row(Balanced()(label[..., :6], label[..., :6], label[..., :6])) == [0.5] * 4 + [1] * 2


def test_balanced_regions_are_balanced_by_the_sets_that_they_form() -> None:
    nested = torch.tensor([[[[0, 0, 0, 0, 1, 1, 1]], [[0, 0, 0, 0, 0, 0, 1]]]]).double()
    assert row(Balanced(regions=True)(nested, nested, nested)) == [0.25] * 4 + [0.5] * 2 + [1]


@every_space
@either_label
def test_balanced_against_loops(space: tuple[int, ...], regions: bool) -> None:
    label, student, teacher = example(*space, regions=regions)
    weight = Balanced(regions)(label, student, teacher)
    for sample, got in zip(label, weight[:, 0], strict=True):
        members: dict[tuple[float, ...], list[tuple[int, ...]]] = {}
        for voxel in itertools.product(*map(range, space)):
            members.setdefault(tuple(sample[:, *voxel].tolist()), []).append(voxel)
        if not regions:
            assert members.pop((0.0, 0.0, 0.0))
        rarest = min(map(len, members.values()))
        for voxels in members.values():
            assert [float(got[v]) for v in voxels] == pytest.approx([rarest / len(voxels)] * len(voxels))


@every_space
@either_label
def test_confident_against_loops(space: tuple[int, ...], regions: bool) -> None:
    label, student, teacher = example(*space, regions=regions)
    weight = Confident(0.6, regions)(label, student, teacher)
    for sample, voxel in itertools.product(range(2), itertools.product(*map(range, space))):
        q = teacher[sample, :, *voxel].tolist()
        sure = all(max(p, 1 - p) >= 0.6 for p in q) if regions else max(q) >= 0.6
        assert weight[sample, 0, *voxel] == float(sure)


def test_confident_asks_the_teacher_alone() -> None:
    teacher = torch.tensor([[[[0.9, 0.6, 0.05]], [[0.1, 0.4, 0.95]]]])
    student = teacher.flip(1)
    label = torch.zeros_like(teacher)
    assert row(Confident(0.9)(label, student, teacher)) == [1, 0, 1]
    assert row(Confident(0.9, regions=True)(label, student, teacher)) == [1, 0, 1]
    unsure = torch.tensor([[[[0.99]], [[0.5]]]])
    assert row(Confident(0.9, regions=True)(label[..., :1], unsure, unsure)) == [0]


@every_space
@either_label
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_behind_against_loops(space: tuple[int, ...], regions: bool, margin: float) -> None:
    label, student, teacher = example(*space, regions=regions)
    weight = Behind(margin, regions)(label, student, teacher)
    for sample, voxel in itertools.product(range(2), itertools.product(*map(range, space))):
        truth, p, q = (each[sample, :, *voxel].tolist() for each in (label, student, teacher))
        if regions:
            lags = [b - a if there else a - b for there, a, b in zip(truth, p, q, strict=True)]
        else:
            lags = [b - a for there, a, b in zip(truth, p, q, strict=True) if there]
        assert weight[sample, 0, *voxel] == float(any(lag > margin for lag in lags))


def test_behind() -> None:
    label = line([0, 0, 1, -1], count=2)
    student = torch.tensor([[[[0.5, 0.9, 0.6, 0.1]], [[0.5, 0.1, 0.4, 0.9]]]]).double()
    teacher = torch.tensor([[[[0.8, 0.7, 0.5, 0.9]], [[0.2, 0.3, 0.5, 0.1]]]]).double()
    assert row(Behind()(label, student, teacher)) == [1, 0, 1, 0]
    assert row(Behind(margin=0.2)(label, student, teacher)) == [1, 0, 0, 0]
    assert row(Behind()(label, student, student)) == [0, 0, 0, 0]


@every_space
@either_label
def test_signed_distance_against_loops(space: tuple[int, ...], regions: bool) -> None:
    said = example(*space, regions=regions)
    distance = signed_distance(said[0], regions)
    weight = SignedDistance(2.0, regions)(*said)
    expected = [math.exp(-abs(d) / 2) for d in distance.flatten().tolist()]
    assert weight.flatten().tolist() == pytest.approx(expected)


def test_signed_distance_along_a_line() -> None:
    label = line([0, 0, 0, 2, 2, 2, -1])
    expected = [math.exp(-d / 3) for d in (2, 1, 0, 0, 1, 2)]
    assert row(SignedDistance()(label, label, label)) == pytest.approx([*expected, 0])
