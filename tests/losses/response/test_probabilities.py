from __future__ import annotations

import pytest
import torch

from segdistill.losses.reduction import at_least_float32
from segdistill.losses.response.probabilities import log_probabilities


@pytest.mark.parametrize(
    "given, kept",
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_becomes_single_and_double_stays(given: torch.dtype, kept: torch.dtype) -> None:
    assert at_least_float32(torch.zeros(2, dtype=given)).dtype == kept


def test_probabilities_by_hand() -> None:
    logits = torch.tensor([9.0, 1.0]).log().view(1, 2, 1, 1)
    assert log_probabilities(logits).exp().flatten().tolist() == pytest.approx([0.9, 0.1])
    assert log_probabilities(logits, 2).exp().flatten().tolist() == pytest.approx([0.75, 0.25])
