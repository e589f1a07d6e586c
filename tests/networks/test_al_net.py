"""AL-Net: RepVGG-A1's published sizes, and a re-parameterised copy that answers alike."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, interpolate, relu

from segdistill.cost import count
from segdistill.networks import catch, stage_names
from segdistill.networks.al_net import ALNet
from segdistill.networks.blocks.rep_vgg import RepBlock

A1 = (64, 64, 128, 256, 1280)
SMALL = {"channels": (3, 3, 4, 5, 6), "depths": (1, 2, 1, 2, 1), "decoder_channels": 4}
CLASSIFIER = (1280 + 1) * 1000  # parameters of RepVGG-A1's last layer


def with_random_norms(network: nn.Module) -> nn.Module:
    """In evaluation mode, with batch norms that are not the identity."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


def small(spatial_dims: int) -> ALNet:
    torch.manual_seed(0)
    network = ALNet(spatial_dims, 2, 3, **SMALL)
    return with_random_norms(network)


class Trunk(nn.Module):
    """The encoder alone."""

    def __init__(self, network: ALNet) -> None:
        super().__init__()
        self.layers = network.encoder

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.layers.values():
            x = stage(x)
        return x


def test_the_encoder_with_rep_vgg_a1s_channels_has_its_published_size() -> None:
    with torch.device("meta"):
        network = ALNet(2, 3, 1, channels=A1)
    trained = count(Trunk(network), (3, 224, 224))
    assert (trained.parameters + CLASSIFIER) / 1e6 == pytest.approx(14.09, abs=0.01)
    assert trained.macs / 1e9 == pytest.approx(2.6, abs=0.05)
    deployed = count(Trunk(network.reparameterised()), (3, 224, 224))
    assert (deployed.parameters + CLASSIFIER) / 1e6 == pytest.approx(12.78, abs=0.01)
    assert deployed.macs / 1e9 == pytest.approx(2.4, abs=0.05)


def test_the_size_said_in_the_docstring() -> None:
    with torch.device("meta"):
        network = ALNet(2, 3, 1)
    trained, deployed = count(network, (3, 256, 256)), count(network.reparameterised(), (3, 256, 256))
    assert (trained.parameters, deployed.parameters) == (11_244_881, 10_123_729)
    assert trained.macs / 1e9 == pytest.approx(4.30, abs=0.01)
    assert deployed.macs / 1e9 == pytest.approx(3.88, abs=0.01)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_reparameterised_copy_answers_alike(spatial_dims: int) -> None:
    network = small(spatial_dims)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copy = network.reparameterised()
    image = torch.randn(2, 2, *(64, 32, 32)[:spatial_dims])
    names = stage_names(network)
    assert stage_names(copy) == names
    with torch.no_grad(), catch(network, names) as maps, catch(copy, names) as fused:
        torch.testing.assert_close(copy(image), network(image), rtol=1e-5, atol=1e-5)
    for name in names:
        torch.testing.assert_close(fused[name], maps[name], rtol=1e-5, atol=1e-5)
    assert not copy.training
    assert not any(isinstance(module, RepBlock) for module in copy.modules())
    parameters = [sum(p.numel() for p in each.parameters()) for each in (network, copy)]
    assert parameters[1] < parameters[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_reparameterised_copy_can_be_reparameterised_again() -> None:
    copy = small(2).reparameterised()
    image = torch.randn(1, 2, 64, 32)
    with torch.no_grad():
        assert torch.equal(copy.reparameterised()(image), copy(image))


@pytest.mark.parametrize(("inputs", "stride"), [(4, 1), (4, 2), (3, 1)])
def test_a_block_is_the_sum_of_its_branches(inputs: int, stride: int) -> None:
    torch.manual_seed(0)
    block = with_random_norms(RepBlock(2, inputs, 4, stride))
    x = torch.randn(2, inputs, 6, 8)

    def normed(x: Tensor, norm: str) -> Tensor:
        state = block.get_submodule(norm).state_dict()
        mean, variance = state["running_mean"], state["running_var"]
        return batch_norm(x, mean, variance, state["weight"], state["bias"])

    with torch.no_grad():
        total = normed(conv2d(x, block.dense[0].weight, stride=stride, padding=1), "dense.1")
        total = total + normed(conv2d(x, block.pointwise[0].weight, stride=stride), "pointwise.1")
        if (inputs, stride) == (4, 1):
            total = total + normed(x, "identity")
        torch.testing.assert_close(block(x), relu(total))
        torch.testing.assert_close(block.fused()(x), relu(total), rtol=1e-5, atol=1e-5)


def test_a_decoder_step_adds_the_reduced_skip_and_the_last_is_at_half_size() -> None:
    network = small(2)
    names = [f"encoder/{2 << i}" for i in range(5)] + [f"decoder/{1 << i}" for i in range(5)]
    with torch.no_grad(), catch(network, names) as maps:
        logits = network(torch.randn(1, 2, 96, 32))
    deep = maps["encoder/32"]
    assert deep.shape == (1, 4, 3, 1)
    for step, stride in zip(network.decoder, (16, 8, 4, 2), strict=True):
        up = interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        with torch.no_grad():
            expected = step.block(up + step.reduce(maps[f"encoder/{stride}"]))
        torch.testing.assert_close(maps[f"decoder/{stride}"], expected)
        deep = maps[f"decoder/{stride}"]
    with torch.no_grad():
        torch.testing.assert_close(network.out(maps["decoder/1"]), logits)


def test_the_context_reaches_across_the_whole_image() -> None:
    torch.manual_seed(0)
    network = ALNet(2, 2, 3, **{**SMALL, "decoder_channels": 16}).eval()
    image = torch.randn(1, 2, 256, 32)
    changed = image.clone()
    changed[..., -1, :] += 5
    with torch.no_grad(), catch(network, ["encoder/32", "encoder/32/stage"]) as maps:
        network(image)
        first = dict(maps)
        network(changed)
    assert torch.equal(first["encoder/32/stage"][:, :, 0], maps["encoder/32/stage"][:, :, 0])
    assert not torch.equal(first["encoder/32"][:, :, 0], maps["encoder/32"][:, :, 0])


def test_one_image_at_the_smallest_size_can_be_trained_on() -> None:
    network = small(2).train()
    assert network(torch.randn(1, 2, 64, 32)).isfinite().all()
