from __future__ import annotations

import pytest
import torch

from segdistill.losses.boundary.weighted_kl import weighted_kl
from segdistill.losses.response.kl import KL


def test_voxels_count_by_both_weights() -> None:
    student, teacher = torch.randn(
        2, 1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    each = [float(KL()(student[..., n : n + 1], teacher[..., n : n + 1])) for n in range(3)]
    near, where = torch.tensor([[[True, True, False]]]), torch.tensor([[[1.0, 0.25, 1.0]]])
    assert float(weighted_kl(KL(), student, teacher, near, None)) == pytest.approx(sum(each[:2]) / 2)
    expected = (each[0] + 0.25 * each[1]) / 1.25
    assert float(weighted_kl(KL(), student, teacher, near, where)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "given, found", [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)], ids=str
)
def test_float32_at_least(given: torch.dtype, found: torch.dtype) -> None:
    maps = torch.zeros(1, 2, 3, dtype=given)
    assert weighted_kl(KL(), maps, maps, torch.ones(1, 1, 3), None).dtype == found
