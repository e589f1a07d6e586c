"""MISSU: the nearest size to the published one, and the maps of its self-distillation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from segdistill.cost import Counts, count
from segdistill.networks import catch, stage_names
from segdistill.networks.missu import MISSU
from segdistill.networks.transbts import TransBTS


def counts_of(side: int, **settings: Any) -> Counts:
    with torch.device("meta"):
        network = MISSU(3, 2, 2, (side,) * 3, **settings)
    return count(network, (2, side, side, side))


def test_the_default_is_the_nearest_to_the_published_size() -> None:
    counts = counts_of(128)
    assert counts.parameters == 4_932_674
    assert counts.thop_parameters == 4_406_530
    assert counts.thop_parameters / 1e6 == pytest.approx(4.24, rel=0.04)
    assert counts.thop_macs / 1e9 == pytest.approx(154.485, abs=1e-3)
    assert counts.thop_macs / 1e9 == pytest.approx(154.38, rel=1e-3)


@pytest.mark.parametrize(("side", "gmacs"), [(128, 161.732), (144, 230.279)])
def test_with_four_blocks_at_an_eighth(side: int, gmacs: float) -> None:
    counts = counts_of(side, blocks=(1, 2, 2, 4))
    assert counts.thop_parameters / 1e6 == pytest.approx(6.177, abs=1e-3)
    assert counts.thop_macs / 1e9 == pytest.approx(gmacs, abs=1e-3)


def test_at_transbtss_settings_it_is_transbts() -> None:
    settings: dict[str, Any] = {"blocks": (1, 2, 2, 4), "hidden_size": 16, "mlp_size": 32, "heads": 8}
    torch.manual_seed(0)
    missu, transbts = (part(2, 1, 2, (16, 16), **settings).eval() for part in (MISSU, TransBTS))
    left = transbts.load_state_dict(missu.state_dict(), strict=False)
    assert not left.unexpected_keys and all("unused" in name for name in left.missing_keys)
    image = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(missu(image), transbts(image))


@pytest.mark.parametrize("size", [(16, 24), (16, 8, 24)])
def test_each_skip_and_the_map_it_teaches_have_one_shape(size: tuple[int, ...]) -> None:
    network = MISSU(len(size), 2, 3, size, filters=4, hidden_size=8, mlp_size=8, heads=2, layers=1).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 2, *size))
    for stride, width in ((1, 4), (2, 8), (4, 16)):
        expected = (1, width, *(length // stride for length in size))
        assert maps[f"encoder/{stride}"].shape == maps[f"decoder/{stride}"].shape == expected
    assert maps["encoder/8/residual"].shape[1] == 32
    assert maps["encoder/8"].shape[1] == 8


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"missu: hidden_size \(12\) must be divisible by heads \(8\)"):
        MISSU(3, 1, 2, (16, 16, 16), hidden_size=12, heads=8)
    with pytest.raises(ValueError, match="missu was built for images of 16 x 16"):
        MISSU(2, 1, 2, (16, 16), filters=1, hidden_size=4, heads=1)(torch.zeros(1, 1, 16, 24))
