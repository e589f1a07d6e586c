from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segdistill.cost import count, measure
from segdistill.cost.latency import _percentile
from segdistill.cost.meta import WithoutMemory
from segdistill.cost.thop_convention import watch
from segdistill.errors import SegdistillError
from segdistill.networks.unet import UNet


class Blend(nn.Module):
    """One of each that is counted, a module used twice, and some that are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 4, 3, padding=1, groups=2)
        self.norm = nn.InstanceNorm2d(4, affine=True)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.plain = nn.InstanceNorm2d(3)
        self.linear = nn.Linear(16, 5)
        self.softmax = nn.Softmax(dim=-1)
        self.group = nn.GroupNorm(1, 3)
        self.unused = nn.Linear(7, 7)
        self.positions = nn.Parameter(torch.zeros(16))

    def forward(self, image: Tensor) -> Tensor:
        x = self.group(self.plain(self.up(self.norm(self.convolution(image)))))
        return self.softmax(self.linear(x + self.positions) + self.linear(x))


def test_the_papers_convention_by_hand() -> None:
    counts = count(Blend(), (2, 8, 8))
    convolution = 4 * 8 * 8 * 1 * 9
    up = 3 * 16 * 16 * 4 * 4  # four times the truth
    norms = 4 * 4 * 8 * 8 + 2 * 3 * 16 * 16
    linear = 2 * (16 * 3 * 16 * 5)
    softmax = 3 * 16 * (3 * 5 - 1)
    assert counts.thop_macs == convolution + up + norms + linear + softmax
    parameters = (4 * 1 * 9 + 4) + 2 * 4 + (4 * 3 * 4 + 3) + (16 * 5 + 5)
    assert counts.thop_parameters == parameters
    assert counts.parameters == parameters + 2 * 3 + (7 * 7 + 7) + 16
    assert counts.macs == convolution + up // 4 + linear


def test_norms_of_the_convention() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.LayerNorm(5), nn.LayerNorm(5, elementwise_affine=False))
    with watch(network.eval()) as tally:
        network(torch.randn(2, 3, 4, 5))
    assert tally.macs == (4 + 4 + 2) * 120
    assert tally.parameters == 2 * 3 + 2 * 5


@pytest.mark.parametrize(
    ("module", "operations"),
    [
        (nn.Upsample(scale_factor=2, mode="bilinear"), 11 * 4 * 96),
        (nn.Upsample(scale_factor=2, mode="bicubic"), 259 * 4 * 96),
        (nn.Upsample(scale_factor=2), 4 * 96),
        (nn.UpsamplingNearest2d(scale_factor=2), 4 * 96),
        (nn.AvgPool2d(2), 24),
        (nn.AdaptiveAvgPool2d(2), 12 * (32 / 4 + 1)),
        (nn.PReLU(), 96),
        (nn.GELU(), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_modules_of_the_convention(module: nn.Module, operations: int) -> None:
    with watch(module.eval()) as tally:
        module(torch.randn(1, 3, 4, 8))
    assert tally.macs == operations


def test_a_subclass_is_not_known_to_the_convention() -> None:
    class Own(nn.Conv2d):
        pass

    assert count(Own(1, 1, 1), (1, 8, 8)).thop_macs == 0
    assert count(Own(1, 1, 1), (1, 8, 8)).macs == 64


def test_a_module_of_two_parents_is_counted_as_thop_does() -> None:
    shared = nn.Conv2d(1, 1, 1, bias=False)
    counts = count(nn.Sequential(nn.Sequential(shared), nn.Sequential(shared)), (1, 8, 8))
    assert counts.thop_macs == 2**2 * (2 * 64)
    assert (counts.thop_parameters, counts.parameters) == (2, 1)


def test_the_size_of_a_file_is_that_of_weights_and_buffers() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    assert count(network, (1, 8, 8)).weight_bytes == 4 * (2 + 2 + 4 * 2) + 8


def test_without_memory_weights_take_none_and_ranges_are_read() -> None:
    with WithoutMemory():
        network = nn.Linear(100_000, 10_000_000)  # 4 TB
        rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
    assert network.weight.is_meta
    assert rates == [0, 0.5, 1]
    assert not nn.Linear(1, 1).weight.is_meta


def test_counting_allocates_nothing_and_leaves_the_network_as_it_was() -> None:
    network = UNet(3, 1, 2, channels=(4, 8), dropout=0.1)
    network.encoder[0].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    large = count(network, (1, 4096, 4096, 4096))  # 256 GiB for the image alone
    small = count(network, (1, 8, 8, 8))
    assert large.macs == small.macs * 512**3
    assert network.training and not network.encoder[0].training
    assert not any(module._forward_hooks for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert tensor.device.type == "cpu" and torch.equal(tensor, before[name])


def test_true_operations_are_not_thops() -> None:
    counts = count(UNet(2, 1, 2, channels=(4, 8)), (1, 16, 16))
    assert 0 < counts.macs < counts.thop_macs
    assert counts.parameters == counts.thop_parameters


def test_a_network_that_cannot_run_without_data_is_named() -> None:
    class Branching(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image if image.sum() > 0 else -image

    with pytest.raises(SegdistillError, match="Branching cannot be counted"):
        count(Branching(), (1, 8, 8))


def test_a_size_that_does_not_fit_keeps_the_networks_own_message() -> None:
    network = UNet(2, 1, 2, channels=(4, 8)).train()
    with pytest.raises(ValueError, match="divisible by 2"):
        count(network, (1, 9, 9))
    assert network.training


def test_measuring_says_what_it_measured() -> None:
    network = UNet(2, 1, 2, channels=(4, 8)).train()
    latency = measure(network, (1, 32, 32), batch_size=3, repeats=7, warm_up=1)
    assert 0 < latency.fastest_ms <= latency.p50_ms <= latency.p95_ms
    assert latency.input == (3, 1, 32, 32)
    assert latency.threads == torch.get_num_threads()
    assert (latency.device, latency.precision, latency.repeats) == ("cpu", "float32", 7)
    assert "eager" in latency.backend
    assert network.training


def test_bf16_is_measured_as_such() -> None:
    seen: list[torch.dtype] = []
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    network[0].register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    assert measure(network, (1, 8, 8), repeats=1, precision=torch.bfloat16).precision == "bfloat16"
    assert set(seen) == {torch.bfloat16}


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(SegdistillError, match="repeats=0"):
        measure(nn.Identity(), (1, 8, 8), repeats=0)


def test_a_percentile_is_a_time_that_was_measured() -> None:
    times = [float(i) for i in range(1, 21)]
    assert _percentile(times, 0.95) == 19
    assert _percentile(times, 0.5) == 10
    assert _percentile([3.0], 0.95) == 3
