"""V-Net: MONAI's network to the bit at 16 filters, and any width and number of input channels beside."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import VNet as MonaiVNet

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.vnet import InputTransition, VNet


@pytest.mark.parametrize(
    ("spatial_dims", "in_channels", "classes", "activation", "parameters"),
    [
        (3, 1, 2, "elu", 45_597_898),
        (3, 1, 1, "elu", 45_593_892),
        (3, 1, 2, "prelu", 45_601_516),
        (2, 1, 2, "elu", 9_358_730),
        (3, 4, 3, "elu", None),
        (2, 8, 5, "prelu", None),
    ],
)
def test_monais_number_of_parameters(
    spatial_dims: int, in_channels: int, classes: int, activation: str, parameters: int | None
) -> None:
    with torch.device("meta"):
        ours = VNet(spatial_dims, in_channels, classes, activation=activation)  # type: ignore[arg-type]
        theirs = MonaiVNet(spatial_dims, in_channels, classes, act=activation)
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == shapes
    assert parameters in (None, sum(p.numel() for p in ours.parameters()))


def test_operations_at_the_papers_patch() -> None:
    with torch.device("meta"):
        assert count(VNet(3, 1, 2), (1, 128, 128, 64)).macs / 1e9 == pytest.approx(365.764, abs=1e-3)


@pytest.mark.parametrize(("in_channels", "size"), [(1, (32, 16, 16)), (2, (16, 32))])
def test_a_checkpoint_of_monai_loads_and_answers_alike(in_channels: int, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    theirs = MonaiVNet(len(size), in_channels, 3)
    ours = VNet(len(size), in_channels, 3, dropout=0.5)
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(2, in_channels, *size)
    # In training the drop-out falls alike too; in 2-D MONAI drops the whole map of an image, not some of its channels.
    for training in (True, False) if len(size) == 3 else (False,):
        answers = []
        for network in (ours, theirs):
            torch.manual_seed(1)
            with torch.no_grad():
                answers.append(network.train(training)(image))
        assert torch.equal(*answers)


def test_dropout_drops_some_channels_of_an_image_in_2d_too() -> None:
    torch.manual_seed(0)
    dropout = VNet(2, 1, 2, filters=8, dropout=0.5).up_tr32.dropout2
    kept = dropout(torch.ones(1, 64, 4, 4)).amax((0, 2, 3)).ne(0).sum()
    assert 16 < kept < 48


def test_without_dropout_training_is_not_random() -> None:
    network, image = VNet(2, 1, 2, filters=2), torch.randn(1, 1, 32, 32)
    assert torch.equal(network(image), network(image))
    dropping = VNet(2, 1, 2, filters=2, dropout=0.5)
    assert not torch.equal(dropping(image), dropping(image))


@pytest.mark.parametrize(
    ("in_channels", "repeated"), [(1, [0, 0, 0, 0]), (2, [0, 1, 0, 1]), (3, [0, 1, 2, 0]), (4, [0, 1, 2, 3])]
)
def test_the_first_level_adds_the_image_repeated_cyclically(in_channels: int, repeated: list[int]) -> None:
    block = InputTransition(2, in_channels, 4, "relu").eval()
    image = torch.randn(1, in_channels, 8, 8)
    with torch.no_grad():
        expected = (block.conv_block(image) + image[:, repeated]).relu()
        torch.testing.assert_close(block(image), expected)
    assert block.project is None


def test_more_channels_than_filters_are_brought_down_by_a_learned_convolution() -> None:
    network = VNet(3, 5, 2, filters=3)
    assert network.in_tr.project is not None
    assert network.in_tr.project.weight.shape == (3, 5, 1, 1, 1)
    assert network.eval()(torch.randn(1, 5, 16, 16, 32)).shape == (1, 2, 16, 16, 32)


def test_stages_at_an_anisotropic_size() -> None:
    network = VNet(3, 1, 2, filters=2).eval()
    with torch.no_grad(), catch(network, stage_names(network)) as maps:
        network(torch.randn(1, 1, 48, 16, 32))
    channels = {name: stage.shape[1] for name, stage in maps.items()}
    assert [channels[f"encoder/{s}"] for s in (1, 2, 4, 8, 16)] == [2, 4, 8, 16, 32]
    assert [channels[f"decoder/{s}"] for s in (8, 4, 2, 1)] == [32, 16, 8, 4]
    assert maps["encoder/deepest"].shape[2:] == (3, 1, 2)
