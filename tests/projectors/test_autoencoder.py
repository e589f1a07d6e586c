from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from segdistill.projectors.autoencoder import Autoencoder
from segdistill.projectors.relative_error import relative_error


@pytest.mark.parametrize("widths", [(3, 5), (5, 3), (4, 4)])
@pytest.mark.parametrize("space", [(4, 5), (4, 3, 2)])
def test_both_meet_at_the_latent_width(space: tuple[int, ...], widths: tuple[int, int]) -> None:
    part = Autoencoder(*widths, len(space), latent=7)
    student, teacher = torch.randn(2, widths[0], *space), torch.randn(2, widths[1], *space)
    own, other = part(student, teacher)
    convolve = {2: F.conv2d, 3: F.conv3d}[len(space)]
    encode = part.encode[0]
    expected = convolve(teacher, encode.weight, encode.bias, padding=1).clamp_min(0)  # type: ignore[arg-type]
    assert torch.allclose(other, expected, atol=1e-6)
    assert torch.allclose(own, convolve(student, part.project.weight, part.project.bias), atol=1e-6)


def test_own_loss_is_reconstruction_and_sparsity() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(2, 5, 4, 4)
    part, sparse = Autoencoder(3, 5, 2, alpha=0), Autoencoder(3, 5, 2, alpha=0.1)
    sparse.load_state_dict(part.state_dict())
    latent = part(torch.zeros(2, 3, 4, 4), teacher)[1]
    reconstruction = relative_error(part.decode(latent), teacher)
    assert part.own_loss(teacher).item() == pytest.approx(reconstruction.item())
    expected = reconstruction.item() + 0.1 * latent.mean().item()
    assert sparse.own_loss(teacher).item() == pytest.approx(expected)


def test_learns_to_reconstruct_and_alpha_makes_sparse() -> None:
    teacher = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    active = {}
    for alpha in (0.0, 0.1):
        torch.manual_seed(0)
        part = Autoencoder(3, 4, 2, latent=16, alpha=alpha)
        optimizer = torch.optim.Adam(part.parameters(), lr=0.01)
        first = part.own_loss(teacher).item()
        for _ in range(150):
            optimizer.zero_grad()
            part.own_loss(teacher).backward()
            optimizer.step()
        assert part.own_loss(teacher).item() < 0.5 * first
        latent = part(torch.zeros(2, 3, 8, 8), teacher)[1]
        active[alpha] = latent.mean().item()
        assert latent.var() > 1e-3
    assert active[0.1] < 0.8 * active[0.0]
