"""Whole images from windows: nothing lost at the borders, no trace left on the network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import evaluating, predict_logits, predict_maps, strides_of
from segdistill.networks.stages import name_stages


class Pointwise(nn.Module):
    """Two classes from one channel, voxel by voxel, so that windows cannot matter; keeps what it saw."""

    def __init__(self, deep: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.deep = deep
        self.shapes: list[tuple[int, ...]] = []
        self.modes: list[bool] = []

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        self.shapes.append(tuple(image.shape))
        self.modes.append(self.training)
        logits = torch.cat([image * self.scale, 2 * image + 1], dim=1)
        return [logits, logits[..., ::2]] if self.deep else logits


class Same(nn.Module):
    """Returns its input itself, which must not be written into."""

    def forward(self, image: Tensor) -> Tensor:
        return image


class Position(nn.Module):
    """Adds the place in the window along each axis: an answer that flips and borders change."""

    def forward(self, image: Tensor) -> Tensor:
        total = image
        for axis in range(2, image.ndim):
            shape = [1] * image.ndim
            shape[axis] = -1
            total = total + torch.arange(image.shape[axis]).reshape(shape) * 10.0 ** (axis - 2)
        return total


def random_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    ("shape", "patch"), [((1, 11, 9, 7), (4, 4, 4)), ((1, 13, 10), (5, 4)), ((1, 3, 9, 2), (4, 4, 4))]
)
def test_voxelwise_network_gives_its_own_answer(
    shape: tuple[int, ...], patch: tuple[int, ...], mirror: bool
) -> None:
    image = random_image(*shape)
    logits = predict_logits(Pointwise(), image, patch, mirror=mirror)
    assert logits.shape == (2, *shape[1:])
    assert logits.dtype == torch.float32
    assert logits.device.type == "cpu"
    assert not logits.requires_grad
    np.testing.assert_allclose(logits.numpy(), np.concatenate([image, 2 * image + 1]), atol=1e-5)


def test_windows_blend_with_gaussian_weights() -> None:
    """Two windows of four over six voxels: the overlap is the weighted mean of what each says of it."""
    logits = predict_logits(Position(), np.zeros((1, 6), dtype=np.float32)[..., None], (4, 1))[0, :, 0]
    weights = np.exp(-((np.arange(4) - 1.5) ** 2) / (2 * (4 * 0.125) ** 2))
    expected = [
        sum(weights[i - start] * (i - start) for start in (0, 2) if 0 <= i - start < 4)
        / sum(weights[i - start] for start in (0, 2) if 0 <= i - start < 4)
        for i in range(6)
    ]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5)


def test_mirroring_averages_over_all_flips() -> None:
    image = random_image(1, 4, 5, 3)
    network = Position()
    answers = []
    for size in range(4):
        for axes in itertools.combinations((2, 3, 4), size):
            flipped = torch.from_numpy(image)[None].flip(axes)
            answers.append(network(flipped).flip(axes)[0].numpy())
    assert len(answers) == 8
    found = predict_logits(network, image, (4, 5, 3), mirror=True)
    np.testing.assert_allclose(found.numpy(), np.mean(answers, axis=0), rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_a_volume_are_stacked_back_in_place(axis: int) -> None:
    image = random_image(2, 6, 5, 7)
    found = predict_logits(Position(), image, (4, 4), slices=Slices(axis=axis), batch_size=3)
    assert found.shape == image.shape
    for index in range(image.shape[axis + 1]):
        alone = predict_logits(Position(), image.take(index, axis + 1), (4, 4))
        np.testing.assert_allclose(found.numpy().take(index, axis + 1), alone.numpy(), rtol=1e-5)


def test_slices_are_batched() -> None:
    network = Pointwise()
    predict_logits(network, random_image(1, 4, 4, 10), (4, 4), slices=Slices(axis=2), batch_size=5)
    assert network.shapes == [(5, 1, 4, 4), (5, 1, 4, 4)]


def test_windows_come_at_least_two_at_a_time_on_a_cpu() -> None:
    network = Pointwise()
    predict_logits(network, random_image(1, 8, 4, 4), (4, 4, 4), batch_size=1, overlap=0)
    assert network.shapes == [(2, 1, 4, 4, 4)]


def test_first_of_several_outputs_is_taken() -> None:
    image = random_image(1, 6, 6)
    found = predict_logits(Pointwise(deep=True), image, (4, 4))
    np.testing.assert_allclose(found[0].numpy(), image[0], atol=1e-6)


def test_network_that_returns_its_input_leaves_the_image_alone() -> None:
    image = torch.from_numpy(random_image(1, 6, 6))
    before = image.clone()
    np.testing.assert_allclose(predict_logits(Same(), image, (4, 4)).numpy(), before.numpy(), atol=1e-6)
    assert torch.equal(image, before)


def test_read_only_arrays_are_read() -> None:
    image = random_image(1, 6, 6)
    image.flags.writeable = False
    assert predict_logits(Pointwise(), image, (4, 4)).shape == (2, 6, 6)


def test_each_module_gets_its_own_mode_back() -> None:
    network = nn.Sequential(Pointwise(), nn.Conv2d(2, 2, 1))
    network.train()
    network[1].eval()
    predict_logits(network, random_image(1, 4, 4), (4, 4))
    assert network[0].modes == [False]
    assert (network.training, network[0].training, network[1].training) == (True, True, False)
    with pytest.raises(RuntimeError), evaluating(network):
        raise RuntimeError
    assert network.training


def test_bfloat16_windows_are_summed_in_float32() -> None:
    seen = []

    class Watching(nn.Conv3d):
        def forward(self, image: Tensor) -> Tensor:
            output = super().forward(image)
            seen.append(output.dtype)
            return output

    torch.manual_seed(0)
    network = Watching(1, 2, 3, padding=1)
    image = random_image(1, 9, 8, 7)
    exact = predict_logits(network, image, (4, 4, 4))
    found = predict_logits(network, image, (4, 4, 4), dtype=torch.bfloat16)
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0.03)


def test_patch_of_the_wrong_dimension_is_refused() -> None:
    with pytest.raises(SegdistillError, match="needs 3"):
        predict_logits(Pointwise(), random_image(1, 4, 4, 4), (4, 4))
    with pytest.raises(SegdistillError, match="2-D slices"):
        predict_logits(Pointwise(), random_image(1, 4, 4, 4), (4, 4, 4), slices=Slices())


def test_outputs_that_are_no_logit_maps_are_refused() -> None:
    with pytest.raises(SegdistillError, match="size of the input"):
        predict_logits(nn.AvgPool2d(2), random_image(1, 4, 4), (4, 4))

    class Named(nn.Module):
        def forward(self, image: Tensor) -> str:
            return "tumour"

    with pytest.raises(SegdistillError, match=r"must return a tensor of logits.*got str"):
        predict_logits(Named(), random_image(1, 4, 4), (4, 4))


class Blocks(nn.Module):
    """Maps at several strides of which each voxel sees its own block alone, so that windows cannot matter."""

    def __init__(self, *strides: tuple[int, ...], channels: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[len(strides[0])]
        self.names = {f"encoder/{max(stride)}": f"maps.{n}" for n, stride in enumerate(strides)}
        self.maps = nn.ModuleList(convolution(channels, 3 + n, s, stride=s) for n, s in enumerate(strides))
        self.out = convolution(channels, 2, 1)
        name_stages(self, self.names)

    def forward(self, image: Tensor) -> Tensor:
        for each in self.maps:
            each(image)
        return self.out(image)

    def whole(self, image: np.ndarray, strides: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """What it says of the whole image, padded with 0 at the end as far as each map needs."""
        told = {"logits": self.out(torch.from_numpy(image)[None])[0].detach()}
        for (name, stride), layer in zip(strides.items(), self.maps, strict=True):
            more = [(0, -n % step) for n, step in zip(image.shape[1:], stride, strict=True)]
            told[name] = layer(torch.from_numpy(np.pad(image, [(0, 0), *more]))[None])[0].detach()
        return told


STRIDED = [
    ((19, 13), (8, 8), ((2, 2), (4, 4))),
    ((19, 13), (8, 12), ((1, 4), (4, 6))),
    ((3, 21), (8, 8), ((8, 8),)),
    ((11, 9, 14), (4, 4, 8), ((1, 2, 2), (2, 4, 4))),
    ((8, 8, 8), (8, 8, 8), ((2, 2, 2), (4, 4, 4))),
    ((9, 5, 7), (6, 6, 6), ((2, 2, 2), (3, 3, 3))),
]


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
@pytest.mark.parametrize(("shape", "patch", "strides"), STRIDED)
def test_maps_over_several_windows_are_those_of_the_whole_image(
    shape: tuple[int, ...], patch: tuple[int, ...], strides: tuple[tuple[int, ...], ...], overlap: float
) -> None:
    network, image = Blocks(*strides), random_image(2, *shape)
    found = strides_of(network, torch.zeros(1, 2, *patch), list(network.names))
    assert tuple(found.values()) == strides
    told = predict_maps(network, image, patch, found, overlap=overlap)
    expected = network.whole(image, found)
    assert told.keys() == expected.keys()
    for name, each in expected.items():
        assert told[name].dtype == torch.float32 and told[name].is_contiguous()
        torch.testing.assert_close(told[name], each, atol=1e-5, rtol=1e-5)


def test_maps_of_slices_lie_on_the_grid_of_the_volume() -> None:
    network, image = Blocks((2, 4)), random_image(2, 7, 5, 6)
    told = predict_maps(network, image, (4, 4), {"encoder/4": (2, 4)}, slices=Slices(axis=1))
    assert told["logits"].shape == (2, 7, 5, 6) and told["encoder/4"].shape == (3, 4, 5, 2)
    for index in range(5):
        alone = network.whole(np.ascontiguousarray(image[:, :, index]), {"encoder/4": (2, 4)})
        torch.testing.assert_close(told["encoder/4"][:, :, index], alone["encoder/4"])


def test_mirroring_is_for_logits_and_stages_are_of_the_image_as_it_is() -> None:
    class Both(Position):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, image: Tensor) -> Tensor:
            return super().forward(self.inner(image))

    network, image = name_stages(Both(), {"encoder/1": "inner"}), random_image(1, 6, 5)
    told = predict_maps(network, image, (6, 5), {"encoder/1": (1, 1)}, mirror=True)
    np.testing.assert_allclose(told["encoder/1"].numpy(), image, rtol=1e-6)
    torch.testing.assert_close(told["logits"], predict_logits(Position(), image, (6, 5), mirror=True))


def test_a_change_of_channels_is_applied_to_its_stage_alone() -> None:
    network, image = Blocks((2, 2), (4, 4)), random_image(2, 13, 9)
    strides = {"encoder/2": (2, 2), "encoder/4": (4, 4)}
    told = predict_maps(
        network, image, (8, 8), strides, change={"encoder/4": lambda feature: feature[:, :1] * 2}
    )
    expected = network.whole(image, strides)
    torch.testing.assert_close(told["encoder/4"], 2 * expected["encoder/4"][:1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(told["encoder/2"], expected["encoder/2"], atol=1e-5, rtol=1e-5)


def test_stages_that_cannot_be_told_of_a_whole_image() -> None:
    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(1, 1, 3)

        def forward(self, image: Tensor) -> Tensor:
            self.inner(image)
            return image

    network = name_stages(Uneven(), {"encoder/1": "inner"})
    with pytest.raises(SegdistillError, match=r"'encoder/1' has maps of \[6, 6\] for windows of \[8, 8\]"):
        strides_of(network, torch.zeros(1, 1, 8, 8), ["encoder/1"])
    with pytest.raises(SegdistillError, match="no stage 'encoder/2'"):
        strides_of(network, torch.zeros(1, 1, 8, 8), ["encoder/2"])
