from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segdistill.losses.feature.mse import MSE
from segdistill.projectors.reconstruction import Reconstruction


def teacher_map(*space: int) -> Tensor:
    """12 channels made of 3, and a little noise."""
    generator = torch.Generator().manual_seed(0)
    causes = torch.randn(4, 3, *space, generator=generator)
    mixing = torch.randn(12, 3, generator=generator)
    noise = torch.randn(4, 12, *space, generator=generator)
    return torch.einsum("nc,bc...->bn...", mixing, causes) + 0.1 * noise


def test_own_loss_by_hand() -> None:
    part = Reconstruction(1, 2, 2)
    for layer, weight in ((part.encode, [[1.0, 0.0]]), (part.decode, [[1.0], [0.0]])):
        layer.weight.data = torch.tensor(weight)[..., None, None]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    teacher = torch.tensor(
        [[[[1.0, -1.0]], [[3.0, -3.0]]]]
    )  # the second channel is lost: 9 + 9 over 4 voxels
    assert part.own_loss(teacher).item() == pytest.approx((18 / 4) / 5)


@pytest.mark.parametrize("space", [(8, 8), (4, 4, 4)])
def test_does_not_collapse_and_learns_to_reconstruct(space: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    teacher, image = teacher_map(*space), torch.randn(4, 1, *space)
    part = Reconstruction(3, 12, len(space))
    student = {2: nn.Conv2d, 3: nn.Conv3d}[len(space)](1, 3, kernel_size=3, padding=1)
    optimizer = torch.optim.Adam([*student.parameters(), *part.parameters()], lr=0.02)
    variances, errors = [], []
    for _ in range(120):
        own, other = part(student(image), teacher)
        error = part.own_loss(teacher)
        variances.append(float(other.var()))
        errors.append(error.item())
        optimizer.zero_grad()
        (MSE()(own, other) + error).backward()
        optimizer.step()
    assert variances[-1] / variances[0] > 0.5
    assert errors[-1] < 0.1 * errors[0] and errors[-1] < 0.1
