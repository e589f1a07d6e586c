from __future__ import annotations

import math

import pytest
import torch

from segdistill.losses.response.target import among_others, check_label, labelled, target_or_other

# One voxel of three classes with the probabilities 1/2, 1/4, 1/4, labelled as the second.
LOG_PROBABILITY = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log().view(1, 3, 1, 1)
TARGET = torch.tensor([False, True, False]).view(1, 3, 1, 1)


def test_target_or_other() -> None:
    of_target, of_others = target_or_other(LOG_PROBABILITY, TARGET)
    assert (of_target.exp().item(), of_others.exp().item()) == pytest.approx((0.25, 0.75))


def test_a_sure_voxel_keeps_its_digits() -> None:
    """1 - p of a target that leads by 100 is e^-100, where a subtraction says 0 and its logarithm -inf."""
    logits = torch.tensor([0.0, 100.0, -math.inf]).view(1, 3, 1, 1).clamp_min(-1e4)
    _, of_others = target_or_other(logits.log_softmax(1), TARGET)
    assert of_others.item() == pytest.approx(-100)


@pytest.mark.parametrize("temperature, first", [(1, 2 / 3), (2, math.sqrt(2) / (1 + math.sqrt(2)))])
def test_among_others(temperature: float, first: float) -> None:
    shares = among_others(LOG_PROBABILITY, TARGET, temperature).exp().flatten()
    assert shares.tolist() == pytest.approx([first, 0, 1 - first])


def test_voxels_without_label_do_not_count() -> None:
    target = torch.zeros(1, 3, 1, 3, dtype=torch.bool)
    target[0, 0, 0, 0] = target[0, 2, 0, 2] = True
    assert labelled(target, None).flatten().tolist() == [1, 0, 1]
    where = torch.tensor([0.5, 1.0, 0.0]).view(1, 1, 1, 3)
    assert labelled(target, where).flatten().tolist() == [0.5, 0, 0]


def test_label_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label \(2, 1, 4, 4\) has one plane a class.*\(2, 3, 4, 4\)"):
        check_label(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))
