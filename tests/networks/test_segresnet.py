"""SegResNet: MONAI's network under its own names, at the published sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.networks.nets import SegResNet as MonaiSegResNet
from torch import nn

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.segresnet import SegResNet


@pytest.mark.parametrize(
    ("spatial_dims", "in_channels", "classes", "settings", "parameters"),
    [
        (3, 1, 2, {}, 1_176_186),
        (3, 4, 3, {"filters": 16, "dropout": 0.2}, 4_702_227),  # MONAI's BraTS model
        (3, 4, 3, {"filters": 32, "dropout": 0.2}, 18_798_627),  # the paper's width
        (2, 3, 5, {"filters": 24, "blocks_down": (2, 1, 3), "blocks_up": (1, 2)}, None),
    ],
)
def test_monais_number_of_parameters(
    spatial_dims: int, in_channels: int, classes: int, settings: dict[str, Any], parameters: int | None
) -> None:
    other = dict(settings)
    monais = {"init_filters": other.pop("filters", 8), "dropout_prob": other.pop("dropout", None), **other}
    with torch.device("meta"):
        ours = SegResNet(spatial_dims, in_channels, classes, **settings)
        theirs = MonaiSegResNet(spatial_dims, in_channels=in_channels, out_channels=classes, **monais)
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.network.state_dict().items()} == shapes
    assert parameters in (None, sum(p.numel() for p in ours.parameters()))


def test_operations_of_monais_brats_model() -> None:
    with torch.device("meta"):
        counts = count(SegResNet(3, 4, 3, filters=16, dropout=0.2), (4, 128, 128, 128))
    assert counts.macs / 1e9 == pytest.approx(148.009, abs=1e-3)


@pytest.mark.parametrize("size", [(16, 8), (8, 24, 16)])
def test_a_checkpoint_of_monai_loads_and_answers_alike(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    theirs = MonaiSegResNet(len(size), 8, 2, 3, dropout_prob=0.2)
    ours = SegResNet(len(size), 2, 3, dropout=0.2)
    ours.network.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, *size)
    with torch.no_grad():
        for mode in (True, False):  # in training the drop-out must fall alike too
            answers = []
            for network in (ours, theirs):
                torch.manual_seed(1)
                answers.append(network.train(mode)(image))
            assert torch.equal(*answers)


def test_stages_at_an_anisotropic_size_with_five_levels() -> None:
    network = SegResNet(3, 1, 2, filters=4, groups=2, blocks_down=(1,) * 5, blocks_up=(1,) * 4).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 48, 16, 32))
    assert network.divisible_by == 16
    assert [maps[f"encoder/{s}"].shape[1] for s in (1, 2, 4, 8, 16)] == [4, 8, 16, 32, 64]
    assert [maps[f"decoder/{s}"].shape[1] for s in (8, 4, 2, 1)] == [32, 16, 8, 4]
    assert maps["encoder/16"].shape[2:] == (3, 1, 2)


@pytest.mark.parametrize(("filters", "groups"), [(12, 4), (4, 4), (3, 1)])
def test_filters_that_the_groups_do_not_divide_have_fewer(filters: int, groups: int) -> None:
    network = SegResNet(3, 1, 2, filters=filters)
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert norms and {norm.num_groups for norm in norms} == {groups}


def test_levels_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="one level fewer"):
        SegResNet(2, 1, 2, blocks_down=(1, 1), blocks_up=(1, 1))
