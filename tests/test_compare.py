from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segdistill.align import resize
from segdistill.compare import Pair, compare, compare_by_voxel, probabilities, two_classes, two_planes
from segdistill.data.patches import UNLABELLED
from segdistill.losses.boundary.band_kl import BandKL
from segdistill.losses.feature.mse import MSE
from segdistill.losses.response.decoupled_kl import DecoupledKL
from segdistill.losses.response.kl import KL
from segdistill.losses.segmentation import IGNORE
from segdistill.projectors.alignment import Alignment
from segdistill.projectors.convolution import Convolution
from segdistill.teachers.label_map import LabelMap
from segdistill.term import Term
from segdistill.truth import Truth
from segdistill.where import Balanced, Behind, Confident, Foreground

every_space = pytest.mark.parametrize("space", [(4, 4), (4, 2, 4)], ids=["2-D", "3-D"])


def logits(space: tuple[int, ...], classes: int = 3, seed: int = 0) -> Tensor:
    return 2 * torch.randn(2, classes, *space, generator=torch.Generator().manual_seed(seed))


def labels_of(space: tuple[int, ...], classes: int = 3, layers: int = 1, ignored: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    label = torch.randint(0, classes, (2, layers, *space), generator=generator)
    return label.masked_fill(torch.rand(2, 1, *space, generator=generator) < (0.3 if ignored else 0), IGNORE)


def pair_of(loss: Callable[..., Tensor], **options: Any) -> Pair:
    """Logits with logits unless told otherwise."""
    mine = {name: options.pop(name, None) for name in ("projector", "labels")}
    regions = options.pop("regions", False)
    ((own, other),) = options.setdefault("pairs", (("logits", "logits"),))
    return Pair(Term(loss, **options), own, other, mine["projector"], mine["labels"], regions)


def kl_voxel(p: list[float], q: list[float]) -> float:
    return sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))


def weighted_kl(student: Tensor, teacher: Tensor, weight: Tensor) -> float:
    """Mean over samples of sum_n weight_n KL_n / sum_n weight_n, voxel by voxel."""
    p, q = student.softmax(1).flatten(2), teacher.softmax(1).flatten(2)
    samples = []
    for n, row in enumerate(weight.flatten(1).tolist()):
        values = [w * kl_voxel(p[n, :, v].tolist(), q[n, :, v].tolist()) for v, w in enumerate(row)]
        samples.append(sum(values) / sum(row) if sum(row) else 0.0)
    return sum(samples) / len(samples)


@every_space
def test_where_by_hand(space: tuple[int, ...]) -> None:
    """1 where the teacher is sure, and never at ignored voxels."""
    s, t, label = logits(space), logits(space, seed=1), labels_of(space)
    weight = torch.zeros(2, 1, *space)
    for n in range(2):
        for v in range(math.prod(space)):
            sure = float(t.softmax(1).flatten(2)[n, :, v].max()) >= 0.7
            weight.flatten(2)[n, 0, v] = float(sure and label.flatten(2)[n, 0, v] != IGNORE)
    assert 0 < weight.sum() < weight.numel()
    value = pair_of(KL(), where=Confident(0.7)).loss({"logits": s}, {"logits": t}, Truth(label, 3, False))
    assert value.item() == pytest.approx(weighted_kl(s, t, weight), rel=1e-4)


def test_where_has_no_gradient() -> None:
    """A part of one's own that is differentiable is not learned from: it is given what was said without its history."""

    def differentiable(label: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).square().sum(1, keepdim=True)

    s, t = logits((4, 4)).requires_grad_(), logits((4, 4), seed=1).requires_grad_()
    truth = Truth(labels_of((4, 4)), 3, False)
    pair_of(KL(), where=differentiable).loss({"logits": s}, {"logits": t.detach()}, truth).backward()
    weight = differentiable(Tensor(), s.softmax(1), t.softmax(1)).detach() * truth.where((4, 4))  # type: ignore[operator]
    (expected,) = torch.autograd.grad(KL()(s, t.detach(), where=weight), s)
    assert s.grad is not None and torch.allclose(s.grad, expected, atol=1e-6)


def test_mirrored_where_looks_from_the_other_side() -> None:
    """Where the learner lags: the peer that learns is the student of this comparison."""
    s, t, label = logits((4, 4)), logits((4, 4), seed=1), labels_of((4, 4), ignored=False)
    pair, truth = pair_of(KL(), where=Behind()), Truth(label, 3, False)
    mirrored = pair.loss({"logits": s}, {"logits": t}, truth, mirrored=True)
    assert mirrored.item() == pytest.approx(pair.loss({"logits": t}, {"logits": s}, truth).item())
    assert mirrored.item() != pytest.approx(pair.loss({"logits": s}, {"logits": t}, truth).item(), rel=0.01)


@every_space
def test_where_at_a_coarser_map(space: tuple[int, ...]) -> None:
    """A coarse voxel counts by the mean weight of its labelled voxels' share; ignored ones have none."""
    small = tuple(size // 2 for size in space)
    s, t, label = logits(space), logits(space, seed=1), labels_of(space)
    maps = [torch.randn(2, 3, *small, generator=torch.Generator().manual_seed(n)) for n in (2, 3)]
    sure = (t.softmax(1).amax(1, keepdim=True) >= 0.7).float() * (label != IGNORE)
    weight = resize(sure, small)
    squares, total = (maps[0] - maps[1]).square().mean(1), 0.0
    for n in range(2):
        row = weight[n].flatten().tolist()
        total += sum(w * d for w, d in zip(row, squares[n].flatten().tolist(), strict=True)) / sum(row) / 2
    pair = pair_of(MSE(), where=Confident(0.7), pairs=(("encoder/2", "encoder/2"),))
    value = pair.loss(
        {"logits": s, "encoder/2": maps[0]}, {"logits": t, "encoder/2": maps[1]}, Truth(label, 3, False)
    )
    assert value.item() == pytest.approx(total, rel=1e-4)


def test_what_a_teacher_says_at_ignored_voxels_does_not_matter_at_coarse_maps() -> None:
    s, t, label = logits((4, 4)), logits((4, 4), seed=1), labels_of((4, 4))
    other = torch.where(label == IGNORE, 9 * t, t)
    maps = torch.randn(2, 2, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    pair = pair_of(MSE(), where=Confident(0.7), pairs=(("encoder/2", "encoder/2"),))
    values = [
        pair.loss(
            {"logits": s, "encoder/2": maps[0]},
            {"logits": each, "encoder/2": maps[1]},
            Truth(label, 3, False),
        )
        for each in (t, other)
    ]
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-6)


def test_where_with_a_teacher_of_other_classes() -> None:
    """Balanced over the merged classes: background with tumour, and liver."""
    labels = LabelMap(((0, 2), (1,)), ((0,), (1,)))
    s, t, label = logits((4, 4)), logits((4, 4), 2, seed=1), labels_of((4, 4))
    weight = torch.zeros(2, 1, 4, 4)
    for n in range(2):
        flat = label[n].flatten().tolist()
        counts = [sum(v in (0, 2) for v in flat), sum(v == 1 for v in flat)]
        for v, value in enumerate(flat):
            if value != IGNORE:
                weight[n].flatten()[v] = min(counts) / counts[value == 1]
    pair = pair_of(KL(), where=Balanced(), labels=labels)
    value = pair.loss({"logits": s}, {"logits": t}, Truth(label, 3, False))
    assert value.item() == pytest.approx(weighted_kl(labels.of_student(s), t, weight), rel=1e-4)


def test_where_nothing_counts() -> None:
    s, label = logits((4, 4)).requires_grad_(), torch.zeros(2, 1, 4, 4, dtype=torch.int16)
    value = pair_of(KL(), where=Foreground()).loss(
        {"logits": s}, {"logits": logits((4, 4), seed=1)}, Truth(label, 3, False)
    )
    value.backward()
    assert value.item() == 0 and s.grad is not None and s.grad.abs().max() == 0


@every_space
def test_student_is_brought_to_the_teachers_size(space: tuple[int, ...]) -> None:
    small = tuple(size // 2 for size in space)
    s, t, label = logits(space), logits(small, seed=1), labels_of(space, ignored=False)
    pair = pair_of(KL(), resize="student")
    value = pair.loss({"logits": s}, {"logits": t}, Truth(label, 3, False))
    assert value.item() == pytest.approx(weighted_kl(resize(s, small), t, torch.ones(2, 1, *small)), rel=1e-4)
    kept = pair_of(KL()).loss({"logits": s}, {"logits": t}, Truth(label, 3, False))
    assert kept.item() == pytest.approx(weighted_kl(s, resize(t, space), torch.ones(2, 1, *space)), rel=1e-4)


class Listening:
    """A loss that keeps what it was given."""

    needs_label = True

    def __init__(self, over_classes: bool = False) -> None:
        self.over_classes = over_classes

    def __call__(
        self, student: Tensor, teacher: Tensor, label: Tensor, where: Tensor | None = None
    ) -> Tensor:
        self.student, self.teacher, self.label, self.where = student, teacher, label, where
        return (student - teacher).square().mean()


@every_space
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_label_is_given_at_the_size_of_the_map(space: tuple[int, ...], side: Any) -> None:
    small = tuple(size // 2 for size in space)
    sizes = {"teacher": small, "student": space}[side]
    heard, truth = Listening(), Truth(labels_of(space), 3, False)
    pair = pair_of(heard, pairs=(("encoder/2", "decoder/1"),), resize=side)
    maps = {"logits": logits(space), "encoder/2": logits(small), "decoder/1": logits(space, seed=1)}
    pair.loss(maps, maps, truth)
    assert heard.student.shape == heard.teacher.shape == (2, 3, *sizes)
    assert torch.equal(heard.label, truth.planes(sizes))
    where = truth.where(sizes)
    assert heard.where is not None and where is not None and torch.equal(heard.where, where)


@every_space
def test_regions_are_given_as_problems_of_two_classes(space: tuple[int, ...]) -> None:
    """A plane outside and one inside for each region of each sample; no plane where nothing is labelled."""
    label = labels_of(space, 2, layers=3)
    label[1] = UNLABELLED
    heard, s, t = Listening(over_classes=True), logits(space), logits(space, seed=1)
    pair_of(heard, regions=True).loss({"logits": s}, {"logits": t}, Truth(label, 3, True))
    assert heard.student.shape == heard.label.shape == (6, 2, *space)
    assert heard.where is not None and heard.where.shape == (6, 1, *space)
    for n in range(2):
        for region in range(3):
            number = 3 * n + region
            assert torch.equal(heard.student[number, 1], s[n, region])
            assert heard.student[number, 0].abs().max() == 0
            inside, outside = label[n, region] == 1, label[n, region] == 0
            assert torch.equal(heard.label[number], torch.stack([outside, inside]).float())
            assert torch.equal(heard.where[number, 0], (label[n, 0] != IGNORE).float())


def test_regions_on_features_stay_as_they_are() -> None:
    heard, s = Listening(), logits((4, 4), 5)
    label = labels_of((4, 4), 2, layers=3)
    pair = pair_of(heard, regions=True, pairs=(("decoder/1", "decoder/1"),))
    pair.loss({"decoder/1": s}, {"decoder/1": s}, Truth(label, 3, True))
    assert heard.student.shape == (2, 5, 4, 4)
    assert torch.equal(heard.label, (label == 1).float())


def test_label_is_merged_for_a_teacher_of_other_classes() -> None:
    heard, label = Listening(), labels_of((4, 4))
    labels = LabelMap(((0, 2), (1,)), ((0,), (1,)))
    truth = Truth(label, 3, False)
    pair_of(heard, labels=labels).loss({"logits": logits((4, 4))}, {"logits": logits((4, 4), 2)}, truth)
    assert torch.equal(heard.label, labels.of_label(truth.planes((4, 4))))
    feature = pair_of(heard, labels=labels, pairs=(("decoder/1", "decoder/1"),))
    feature.loss({"decoder/1": logits((4, 4))}, {"decoder/1": logits((4, 4))}, truth)
    assert torch.equal(heard.label, truth.planes((4, 4)))


@pytest.mark.parametrize("loss", [DecoupledKL(), BandKL()])
@pytest.mark.parametrize("regions", [False, True])
def test_images_without_label(loss: Callable[..., Tensor], regions: bool) -> None:
    """Losses that need the label leave them out; the others act on all of them."""
    label = labels_of((4, 4), 2 if regions else 3, layers=3 if regions else 1, ignored=False)
    label[1] = UNLABELLED
    s, t, truth = logits((4, 4)).requires_grad_(), logits((4, 4), seed=1), Truth(label, 3, regions)
    value = pair_of(loss, regions=regions).loss({"logits": s}, {"logits": t}, truth)
    value.backward()
    gradient = s.grad
    assert gradient is not None and torch.isfinite(value)
    assert gradient[0].abs().max() > 0 and gradient[1].abs().max() == 0
    s.grad = None
    pair_of(KL(), regions=regions).loss({"logits": s}, {"logits": t}, truth).backward()
    assert s.grad is not None and s.grad[1].abs().max() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_alignment_of_pooled_maps_with_ignored_voxels(dims: int) -> None:
    """The maps are one voxel; a sample counts unless nothing of it is labelled."""
    space = (4,) * dims
    torch.manual_seed(0)
    projector = Alignment(3, 5, dims)
    label = labels_of(space)
    label[1] = IGNORE
    s, t = logits(space), logits(space, 5, seed=1)
    pair = pair_of(MSE(), pairs=(("decoder/1", "decoder/1"),), projector=projector)
    value = pair.loss({"decoder/1": s}, {"decoder/1": t}, Truth(label, 3, False))
    own, other = projector(s, t)
    assert own.shape == (2, 32, *[1] * dims)
    assert value.item() == pytest.approx((own[0] - other[0]).square().mean().item() / 2, rel=1e-4)


class Swap(nn.Module):
    """Tells which side is which."""

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * student, teacher


def test_mirrored_pair_has_the_projector_on_the_students_side() -> None:
    heard = Listening()
    s, t = logits((4, 4)), logits((4, 4), seed=1)
    pair = pair_of(heard, pairs=(("decoder/1", "decoder/1"),), projector=Swap())
    pair.loss({"decoder/1": s}, {"decoder/1": t}, Truth(labels_of((4, 4)), 3, False), mirrored=True)
    assert torch.equal(heard.student, t) and torch.equal(heard.teacher, 2 * s)


@every_space
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("regions", [False, True])
def test_share_of_each_voxel(space: tuple[int, ...], ignored: bool, regions: bool) -> None:
    """mean over samples of sum_n share_n KL_n / N, N the voxels that count."""
    s, t = logits(space, 2), logits(space, 2, seed=1)
    label = labels_of(space, 2, layers=2 if regions else 1, ignored=ignored)
    share = torch.rand(2, 1, *space, generator=torch.Generator().manual_seed(3))
    where = (label[:, :1] != IGNORE).float() if ignored else None
    value = compare_by_voxel(KL(), s, t, where, regions, share)
    p, q = ((z.sigmoid() if regions else z.softmax(1)).flatten(2) for z in (s, t))
    samples = []
    for n in range(2):
        found = []
        for v in range(math.prod(space)):
            if where is None or where[n].flatten()[v]:
                a, b = p[n, :, v].tolist(), q[n, :, v].tolist()
                problems = (
                    [([x, 1 - x], [y, 1 - y]) for x, y in zip(a, b, strict=True)] if regions else [(a, b)]
                )
                divergence = sum(kl_voxel(x, y) for x, y in problems)
                found.append(float(share[n].flatten()[v]) * divergence)
        samples.append(sum(found) / len(found))
    assert value.item() == pytest.approx(sum(samples) / 2, rel=1e-4)


def test_constant_share_is_a_factor() -> None:
    s, t, where = logits((4, 4)), logits((4, 4), seed=1), torch.ones(2, 1, 4, 4)
    where[0, :, 0] = 0
    value = compare_by_voxel(KL(), s, t, where, False, torch.full((2, 1, 4, 4), 0.25))
    assert value.item() == pytest.approx(0.25 * compare(KL(), s, t, where, False).item(), rel=1e-5)
    nothing = compare_by_voxel(KL(), s, t, torch.zeros_like(where), False, torch.ones(2, 1, 4, 4))
    assert nothing.item() == 0


def test_half_precision_is_compared_in_single() -> None:
    s, t = logits((4, 4)).bfloat16(), logits((4, 4), seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = compare(KL(4.0), s, t, None, False)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(KL(4.0)(s.float(), t.float()).item(), rel=1e-6)


def test_probabilities() -> None:
    z = logits((4, 4))
    assert torch.equal(probabilities(z, regions=False), z.softmax(1))
    assert torch.equal(probabilities(z, regions=True), z.sigmoid())


def test_two_planes_follow_two_classes() -> None:
    planes = (logits((2, 2)) > 0).float()
    labelled = torch.ones(2, 1, 2, 2)
    labelled[0, 0, 0, 0] = 0
    planes[0, :, 0, 0] = 0
    two = two_planes(planes, labelled)
    assert two.shape == two_classes(planes).shape == (6, 2, 2, 2)
    assert torch.equal(two[:, 1], planes.flatten(0, 1))
    assert torch.equal(two.sum(1), labelled.expand(2, 3, 2, 2).flatten(0, 1))
    assert torch.equal(two_planes(planes, None).sum(1), torch.ones(6, 2, 2))


def test_features_brought_to_the_width_of_regions_are_compared_as_regions() -> None:
    """HLFD's individual pixels: a projected map against the teacher's sigmoid logits, for any number of regions."""
    for count in (1, 2):
        student = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        teacher = torch.randn(2, count, 4, 4, generator=torch.Generator().manual_seed(1))
        term = Term(KL(), (("decoder/1", "logits"),), projector=Convolution)
        torch.manual_seed(0)
        projector = Convolution(3, count, 2)
        pair = Pair(term, "decoder/1", "logits", projector, None, regions=True)
        truth = Truth(torch.zeros(2, count, 4, 4, dtype=torch.long), count, True)
        value = pair.loss({"decoder/1": student, "logits": teacher}, {"logits": teacher}, truth)
        p, q = projector(student, teacher)[0].sigmoid(), teacher.sigmoid()
        expected = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).sum(1).mean()
        assert value.item() == pytest.approx(expected.item(), rel=1e-4)
