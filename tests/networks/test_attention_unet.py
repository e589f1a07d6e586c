"""Attention U-Net: MONAI's network under its own names, and its attention at each level."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import AttentionUnet as MonaiAttentionUnet

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.attention_unet import AttentionUNet

PAPER = (16, 32, 64, 128, 256)


@pytest.mark.parametrize(
    ("spatial_dims", "in_channels", "classes", "settings", "parameters"),
    [
        (3, 1, 2, {}, 94_482_930),
        (2, 1, 2, {}, 31_739_250),
        (2, 3, 1, {}, 31_740_337),
        (3, 1, 2, {"channels": PAPER}, 5_909_130),
        (3, 4, 3, {"channels": (8, 20, 30)}, None),
        (2, 2, 4, {"channels": (3, 5), "kernel": 5, "up_kernel": 5}, None),
    ],
)
def test_monais_number_of_parameters(
    spatial_dims: int,
    in_channels: int,
    classes: int,
    settings: dict[str, tuple[int, ...]],
    parameters: int | None,
) -> None:
    channels = settings.get("channels", (64, 128, 256, 512, 1024))
    with torch.device("meta"):
        ours = AttentionUNet(spatial_dims, in_channels, classes, **settings)  # type: ignore[arg-type]
        theirs = MonaiAttentionUnet(
            spatial_dims,
            in_channels,
            classes,
            channels,
            (2,) * (len(channels) - 1),
            settings.get("kernel", 3),
            settings.get("up_kernel", 3),
        )
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.network.state_dict().items()} == shapes
    assert parameters in (None, sum(p.numel() for p in ours.parameters()))


def test_operations_at_the_papers_width() -> None:
    with torch.device("meta"):
        assert count(AttentionUNet(3, 1, 2, channels=PAPER), (1, 96, 96, 96)).macs == 41_358_422_016


@pytest.mark.parametrize("size", [(32, 16), (16, 8, 24)])
def test_a_checkpoint_of_monai_loads_and_answers_alike(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    channels = (2, 4, 6, 8)
    theirs = MonaiAttentionUnet(len(size), 2, 3, channels, (2, 2, 2)).eval()
    ours = AttentionUNet(len(size), 2, 3, channels=channels).eval()
    ours.network.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 2, *size)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


def test_a_size_that_monai_cannot_join_is_refused_with_those_that_fit() -> None:
    ours = AttentionUNet(2, 1, 2, channels=(2, 4, 6)).eval()
    image = torch.randn(1, 1, 18, 16)  # 18, 9, 5 down; 5, 10, ... up
    with pytest.raises(RuntimeError):
        ours.network(image)
    with pytest.raises(ValueError, match="nearest: 16 x 16 or 20 x 16"):
        ours(image)


def test_the_gate_multiplies_each_skip_by_one_share_a_voxel() -> None:
    torch.manual_seed(0)
    network = AttentionUNet(3, 1, 2, channels=(2, 4, 6)).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 16, 8, 4))
    for stride in (1, 2):
        gated, skip = maps[f"decoder/{stride}/gated"], maps[f"encoder/{stride}"]
        share = (gated / skip)[:, :, skip[0].ne(0).all(0)]  # the skip comes from a ReLU
        assert share.numel() > 0
        assert ((share > 0) & (share < 1)).all()
        torch.testing.assert_close(share[:, 0], share[:, 1])


def test_stages_of_every_level_in_forward_order() -> None:
    network = AttentionUNet(3, 1, 2, channels=(2, 4, 6, 7)).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 24, 8, 16))
    assert [name for name in stage_names(network) if not name.endswith("gated")] == [
        *("encoder/1", "encoder/2", "encoder/4", "encoder/8", "decoder/4", "decoder/2", "decoder/1"),
        *("logits", "encoder/deepest", "decoder/last"),
    ]
    assert [maps[f"encoder/{s}"].shape[1] for s in (1, 2, 4, 8)] == [2, 4, 6, 7]
    assert [maps[f"decoder/{s}"].shape[1] for s in (4, 2, 1)] == [6, 4, 2]
    assert maps["encoder/8"].shape[2:] == (3, 1, 2)


def test_deep_supervision_changes_nothing_but_the_heads() -> None:
    torch.manual_seed(0)
    plain, headed = (
        AttentionUNet(3, 1, 2, channels=(2, 4, 6), deep_supervision=flag) for flag in (False, True)
    )
    left = headed.load_state_dict(plain.state_dict(), strict=False)
    assert set(left.missing_keys) == {"heads.0.weight", "heads.0.bias"} and not left.unexpected_keys
    image = torch.randn(1, 1, 8, 16, 8)
    with torch.no_grad():
        assert torch.equal(plain.eval()(image), headed.eval()(image))
        full, half = headed.train()(image)
    assert full.shape == (1, 2, 8, 16, 8) and half.shape == (1, 2, 4, 8, 4)
