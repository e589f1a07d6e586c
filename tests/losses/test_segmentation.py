from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from segdistill.losses import SEGMENTATION_LOSSES
from segdistill.losses.segmentation import IGNORE, DiceCE, DiceFocal, one_hot

SPACES = [(3, 4), (3, 2, 2)]
SMOOTH = 1e-5


def made(space: tuple[int, ...], regions: bool, ignored: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of 3 channels and a label, for 2 samples."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, *space, dtype=torch.float64, generator=generator)
    layers, most = (3, 2) if regions else (1, 3)
    label = torch.randint(0, most, (2, layers, *space), generator=generator).to(torch.int16)
    if ignored:
        where = torch.rand(2, 1, *space, generator=generator) < 0.3
        label = label.masked_fill(where, IGNORE)
    return logits, label


def probabilities(scores: list[float], regions: bool) -> list[float]:
    if regions:
        return [1 / (1 + math.exp(-z)) for z in scores]
    exponentials = [math.exp(z) for z in scores]
    return [e / sum(exponentials) for e in exponentials]


def voxels(logits: torch.Tensor, label: torch.Tensor, regions: bool) -> list[tuple[list[float], list[float]]]:
    """(probabilities, targets) of each voxel of one sample that is not ignored."""
    found = []
    for z, values in zip(logits.flatten(1).T.tolist(), label.flatten(1).T.tolist(), strict=True):
        if values[0] != IGNORE:
            target = values if regions else [float(k == values[0]) for k in range(len(z))]
            found.append((probabilities(z, regions), target))
    return found


def dice_by_loops(logits: torch.Tensor, label: torch.Tensor, regions: bool) -> float:
    scores = []
    for z, values in zip(logits, label, strict=True):
        cells = voxels(z, values, regions)
        for k in range(0 if regions else 1, len(z)):
            overlap = sum(p[k] * t[k] for p, t in cells)
            size = sum(p[k] + t[k] for p, t in cells)
            scores.append(1 - (2 * overlap + SMOOTH) / (size + SMOOTH))
    return sum(scores) / len(scores)


def focal_by_loops(logits: torch.Tensor, label: torch.Tensor, regions: bool, gamma: float) -> float:
    samples = []
    for z, values in zip(logits, label, strict=True):
        terms = []
        for p, t in voxels(z, values, regions):
            if regions:
                sure = [p[k] if t[k] else 1 - p[k] for k in range(len(p))]
                terms.append(sum(-((1 - q) ** gamma) * math.log(q) for q in sure) / len(sure))
            else:
                q = p[t.index(1.0)]
                terms.append(-((1 - q) ** gamma) * math.log(q))
        samples.append(sum(terms) / len(terms))
    return sum(samples) / len(samples)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_against_loops(space: tuple[int, ...], regions: bool, ignored: bool) -> None:
    logits, label = made(space, regions, ignored)
    dice = dice_by_loops(logits, label, regions)
    for gamma in (0.5, 1.0, 2.0):
        loss = DiceFocal(dice=0.5, focal=2, gamma=gamma, regions=regions)
        expected = 0.5 * dice + 2 * focal_by_loops(logits, label, regions, gamma)
        assert float(loss(logits, label)) == pytest.approx(expected, rel=1e-9)
    expected = 0.25 * dice + 3 * focal_by_loops(logits, label, regions, 0)
    assert float(DiceCE(0.25, 3, regions)(logits, label)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("space", SPACES)
def test_target_is_made_as_float_without_a_map_of_integers(space: tuple[int, ...]) -> None:
    _, label = made(space, regions=False, ignored=True)
    target, counts = one_hot(label, 3, regions=False)
    assert target.dtype == counts.dtype == torch.float32 and target.shape == (2, 3, *space)
    expected = torch.cat([label == k for k in range(3)], dim=1).float()
    assert torch.equal(target, expected) and torch.equal(target.sum(1, keepdim=True), counts)

    class Kinds(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.dtype == torch.int64:
                assert out.numel() <= label.numel()
            return out

    with Kinds():
        one_hot(label, 3, regions=False)


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
def test_ignored_voxels_have_no_say(name: str, regions: bool) -> None:
    logits, label = made((4, 4), regions, ignored=True)
    loss = SEGMENTATION_LOSSES[name].part(regions=regions)
    ignored = label[:, :1] == IGNORE
    logits.requires_grad_()
    value = loss(logits, label)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.masked_select(ignored).abs().max() == 0
    assert logits.grad.masked_select(~ignored).abs().min() > 0
    elsewhere = logits.detach() + 9 * ignored
    assert loss(elsewhere, label).item() == pytest.approx(value.item(), rel=1e-12)


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
@pytest.mark.parametrize("value", [0, 1, IGNORE])
@pytest.mark.parametrize("sureness", [0.0, 200.0])
def test_one_class_patches(name: str, value: int, regions: bool, sureness: float) -> None:
    """Nothing but background, but one class, but ignored voxels; unsure, and as sure as numbers go."""
    label = torch.full((2, 2 if regions else 1, 3, 4), value, dtype=torch.int16)
    for sign in (-1, 1):
        logits = torch.zeros(2, 2, 3, 4)
        logits[:, 1] = sign * sureness
        logits.requires_grad_()
        loss = SEGMENTATION_LOSSES[name].part(regions=regions)(logits, label)
        loss.backward()
        assert torch.isfinite(loss) and loss >= 0
        assert logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_certainty_gives_no_broken_gradient(gamma: float) -> None:
    """(1 - p)^gamma has an infinite slope at p = 1 where gamma < 1."""
    logits = torch.tensor([[[[60.0, -60.0]], [[-60.0, 60.0]]]], requires_grad=True)
    label = torch.tensor([[[[0, IGNORE]]]])
    DiceFocal(gamma=gamma)(logits, label).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
def test_right_answer_costs_nothing_and_the_wrong_one_much(name: str) -> None:
    label = torch.tensor([[[[0, 1], [1, 0]]]])
    logits = 40 * torch.cat([1.0 - label, 1.0 * label], dim=1)
    loss = SEGMENTATION_LOSSES[name].part()
    assert float(loss(logits, label)) == pytest.approx(0, abs=1e-5)
    assert float(loss(-logits, label)) > 20


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
def test_slice_is_a_volume_of_one_slice_and_the_batch_is_averaged(name: str, regions: bool) -> None:
    logits, label = made((4, 4), regions, ignored=True)
    loss = SEGMENTATION_LOSSES[name].part(regions=regions)
    whole = float(loss(logits, label))
    assert float(loss(logits.unsqueeze(3), label.unsqueeze(3))) == pytest.approx(whole, rel=1e-12)
    single = [float(loss(logits[[n]], label[[n]])) for n in range(2)]
    assert sum(single) / 2 == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
def test_gradient_is_right(name: str) -> None:
    logits, label = made((3, 3), regions=False, ignored=True)
    assert torch.autograd.gradcheck(
        lambda z: SEGMENTATION_LOSSES[name].part()(z, label), logits.requires_grad_()
    )


@pytest.mark.parametrize("name", SEGMENTATION_LOSSES)
@pytest.mark.parametrize(
    "logits, label, regions, told",
    [
        ((1, 1, 4, 4), (1, 1, 4, 4), False, "two channels at least"),
        ((1, 3, 4, 4), (1, 2, 4, 4), True, "2 regions in the label, 3 channels in the logits"),
        ((1, 3, 4, 4), (1, 3, 4, 4), False, "one layer of indices, the label has 3 layers"),
    ],
)
def test_what_does_not_go_together(
    name: str, logits: tuple[int, ...], label: tuple[int, ...], regions: bool, told: str
) -> None:
    loss = SEGMENTATION_LOSSES[name].part(regions=regions)
    with pytest.raises(ValueError, match=told):
        loss(torch.zeros(logits), torch.zeros(label, dtype=torch.int16))
