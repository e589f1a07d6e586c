"""Grad-CAM against loops and numbers by hand; and that heat lies where the network looked, whatever the plan."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segdistill.data.dataset import Case, Dataset
from segdistill.data.intensity import Unchanged
from segdistill.data.plan import Channel, Plan
from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.evaluation.grad_cam import cam_of_case, centre_voxel, grad_cam
from segdistill.evaluation.predict import Predictor
from segdistill.model import Facts, build_network
from segdistill.networks.stages import name_stages, stage_names
from segdistill.sections.evaluate import EvaluateSection


class Net(nn.Module):
    """Two convolutions with a stage at half resolution between them, as a map or as tokens among other things."""

    def __init__(self, space: int, tokens: bool = False) -> None:
        super().__init__()
        conv = (nn.Conv2d, nn.Conv3d)[space - 2]
        torch.manual_seed(0)
        self.down = conv(1, 3, 2, stride=2)
        self.tokens = Tokens() if tokens else nn.Identity()
        self.rest = nn.Sequential(
            conv(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Upsample(scale_factor=2)
        )
        self.head = conv(3, 3, 1)
        name_stages(self, {"encoder/2": ("tokens", read) if tokens else "down", "decoder/1": "rest"})

    def forward(self, image: Tensor) -> Tensor:
        out = self.tokens(self.down(image))
        if isinstance(out, tuple):
            out = out[0].transpose(1, 2).unflatten(2, [n // 2 for n in image.shape[2:]])
        return self.head(self.rest(out))


class Tokens(nn.Module):
    """A map as tokens, with a second output that nobody uses."""

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x.flatten(2).transpose(1, 2), [x * 2]


def read(output: tuple[Tensor, list[Tensor]]) -> Tensor:
    return output[0].transpose(1, 2).unflatten(2, (2, 3))


def by_loops(net: Net, image: Tensor, k: int, mask: np.ndarray) -> np.ndarray:
    """Finite differences of the score in every value of the stage, then the sums of the paper, voxel by voxel."""

    def score(stage: Tensor) -> float:
        logits = net.head(net.rest(stage.clone()))[0, k].detach().numpy()
        values = [float(logits[place]) for place in np.ndindex(mask.shape) if mask[place]]
        return sum(values) / len(values)

    with torch.no_grad():
        stage = net.down(image[None])
        small = np.zeros(stage.shape[2:])
        places = list(np.ndindex(*small.shape))
        for channel in range(stage.shape[1]):
            slopes = []
            for place in places:
                steps = []
                for step in (1e-5, -1e-5):
                    moved = stage.clone()
                    moved[(0, channel, *place)] += step
                    steps.append(score(moved))
                slopes.append((steps[0] - steps[1]) / 2e-5)
            weight = sum(slopes) / len(places)
            for place in places:
                small[place] += weight * float(stage[(0, channel, *place)])
    small = np.maximum(small, 0)
    large = np.zeros(mask.shape)
    for place in np.ndindex(mask.shape):
        ways = []
        for at, n in zip(place, small.shape, strict=True):
            x = min(max((at + 0.5) / 2 - 0.5, 0), n - 1)
            low = min(int(x), n - 1)
            ways.append(((low, 1 - (x - low)), (min(low + 1, n - 1), x - low)))
        for corner in itertools.product(*ways):
            share = float(np.prod([part for _, part in corner]))
            large[place] += share * small[tuple(index for index, _ in corner)]
    return large / large.max()


@pytest.mark.parametrize("size", [(4, 6), (4, 6, 2)])
@pytest.mark.parametrize("given", [False, True])
def test_it_is_the_formula(size: tuple[int, ...], given: bool) -> None:
    net = Net(len(size)).double()
    compared = 0
    for seed, k in itertools.product(range(3), range(3)):
        generator = torch.Generator().manual_seed(seed)
        image = torch.randn(1, *size, generator=generator, dtype=torch.float64)
        mask = torch.rand(size, generator=generator) > 0.5
        with torch.no_grad():
            voxels = (mask if given else net(image[None])[0].argmax(0) == k).numpy()
        heat = grad_cam(net, image, "encoder/2", k, mask if given else None)
        assert heat.shape == size and heat.dtype == torch.float32
        if voxels.any() and heat.any():
            np.testing.assert_allclose(heat.numpy(), by_loops(net, image, k, voxels), atol=1e-5)
            compared += 1
    assert compared >= 3


def identity_net() -> nn.Module:
    """logits (0, 3 x) from a stage that holds x and -x."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        net[1].weight.copy_(torch.tensor([[0.0, 0.0], [3.0, 0.0]]).view(2, 2, 1, 1))
    return name_stages(net, {"encoder/1": "0"})


def test_by_hand() -> None:
    image = torch.tensor([[[2.0, 1.0], [-1.0, 0.0]]])
    # Class 1 is where x > 0: two voxels of four. The gradient of their mean is 3/2 in each, its mean over space 3/4.
    assert torch.equal(grad_cam(identity_net(), image), torch.tensor([[1.0, 0.5], [0.0, 0.0]]))
    # No voxel to explain, and a class for which nothing speaks: nothing to see.
    assert not grad_cam(identity_net(), image, mask=torch.zeros(2, 2)).any()
    assert not grad_cam(identity_net(), image, class_index=0).any()
    # Regions overlap: class 0 is nowhere above 0, class 1 where it was.
    assert torch.equal(grad_cam(identity_net(), image, regions=True), grad_cam(identity_net(), image))
    assert not grad_cam(identity_net(), image, class_index=0, regions=True).any()


def test_a_stage_read_from_tokens_is_like_one_that_is_a_map() -> None:
    image, mask = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(1)), torch.ones(4, 6)
    maps = [
        grad_cam(Net(2, tokens), image, "encoder/2", k, mask) for tokens in (False, True) for k in range(3)
    ]
    assert any(heat.any() for heat in maps)
    for one, other in zip(maps[:3], maps[3:], strict=True):
        torch.testing.assert_close(one, other)


def test_the_network_is_left_as_it_was() -> None:
    net, image = Net(2), torch.randn(1, 4, 6)
    net.train()
    net.head.eval()
    net(image[None]).sum().backward()
    before = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    grad_cam(net, image, "encoder/2")
    assert net.training and not net.head.training
    after = [parameter.grad for parameter in net.parameters()]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True) if two is not None)
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())


def test_a_frozen_network_can_be_explained_where_gradients_are_off() -> None:
    net, image, mask = Net(2), torch.randn(1, 4, 6), torch.ones(4, 6)
    wanted = grad_cam(net, image, "encoder/2", 2, mask)
    with torch.no_grad():
        assert torch.equal(grad_cam(net.requires_grad_(False), image, "encoder/2", 2, mask), wanted)


def test_what_does_not_fit_is_told() -> None:
    net, image = Net(2), torch.randn(1, 4, 6)
    with pytest.raises(ValueError, match="it has: encoder/2"):
        grad_cam(net, image, "encoder/4")
    with pytest.raises(ValueError, match="one of 0 to 2"):
        grad_cam(net, image, "encoder/2", 3)
    with pytest.raises(ValueError, match=r"must be \(\*patch\), \(4, 6\)"):
        grad_cam(net, image, "encoder/2", mask=torch.ones(4, 5))
    net.unused = nn.Identity()
    name_stages(net, {"encoder/8": "unused"})
    with pytest.raises(ValueError, match="do not depend on its stage 'encoder/8'"):
        grad_cam(net, image, "encoder/8")


BODY = (slice(3, 7), slice(2, 6), slice(4, 8))


def predictor(
    patch: tuple[int, ...], spacing: Any, slices: Slices | None = None, crop: Any = None
) -> Predictor:
    """A network that finds what is bright, at a stage of the image's own resolution."""
    net = identity_net() if slices else nn.Sequential(nn.Conv3d(1, 2, 1), nn.Conv3d(2, 2, 1))
    if slices is None:
        for own, flat in zip(net, identity_net(), strict=True):
            own.weight.data, own.bias.data = flat.weight.data[..., None], torch.zeros(2)
        name_stages(net, {"encoder/1": "0"})
    dataset = Dataset("D", Path(), "nnunet_raw", ("MR",), {"body": 1}, None, False, (), 3)
    plan = Plan(dataset, (Channel("MR", Unchanged(), {}),), spacing, crop, (8, 8, 8))
    return Predictor(net, plan, patch, slices, EvaluateSection(), torch.device("cpu"))


FILE_AXIS = {2: 0, 0: 1, 1: 2}  # axis of the patient -> axis of the file


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A bright body in a mirrored volume whose axes are not those of the patient."""
    label = np.zeros((12, 10, 11), np.uint8)
    label[BODY] = 1
    affine = np.diag([-1.0, 1, 2, 1])[:, [2, 0, 1, 3]]
    nibabel.save(nibabel.Nifti1Image(2.0 * label - 1, affine), tmp_path / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / "label.nii.gz")
    return Case("c", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz")


@pytest.mark.parametrize(
    ("patch", "spacing", "slices"),
    [
        ((8, 8, 8), None, None),
        ((16, 16, 16), None, None),  # larger than the image
        ((16, 10, 12), (0.5, 1.0, 1.0), None),
        ((8, 8), None, Slices(axis=2)),
        ((8, 8), None, Slices(axis=0)),
    ],
)
def test_heat_comes_back_to_where_the_network_looked(
    case: Case, patch: tuple[int, ...], spacing: Any, slices: Slices | None
) -> None:
    body = np.zeros((12, 10, 11), bool)
    body[BODY] = True
    centre = centre_voxel(body, (2.0, 1.0, 1.0))
    assert body[centre]
    cam = cam_of_case(predictor(patch, spacing, slices), case, "body", centre, stage="encoder/1")
    assert cam.heat.shape == cam.predicted.shape == cam.seen.shape == body.shape
    within = np.ones_like(body)
    if slices is not None:  # the map of the centre's slice is repeated in those beside it
        across = FILE_AXIS[slices.axis]
        assert np.ptp(cam.heat, axis=across).max() == 0
        within[:] = np.expand_dims(
            np.arange(body.shape[across]) == centre[across], [a for a in range(3) if a != across]
        )
    found = (cam.heat > 0.5) & within
    assert np.array_equal(found, body & within) and np.array_equal(cam.predicted & within, body & within)
    assert cam.dice == 1 and cam.voxels > 0


def test_a_voxel_may_be_cut_away_and_a_class_may_be_missed(case: Case) -> None:
    with pytest.raises(SegdistillError, match=r"data\.crop cuts away the centre of body"):
        cam_of_case(
            predictor((4, 4, 4), None, crop=((0, 3), None, None)), case, "body", (4, 3, 5), stage="encoder/1"
        )
    with pytest.raises(SegdistillError, match=r"no class 'liver'; choose from body"):
        cam_of_case(predictor((8, 8, 8), None), case, "liver", (4, 3, 5))
    blind = predictor((8, 8, 8), None)
    blind.network[1].bias.data[0] = 100
    cam = cam_of_case(blind, case, "body", (4, 3, 5), stage="encoder/1")
    assert not cam.heat.any() and cam.voxels == 0 and cam.dice == 0
    told = cam_of_case(blind, case, "body", (4, 3, 5), stage="encoder/1", over="reference")
    assert told.heat.max() == 1 and told.voxels > 0 and told.dice == 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("unet", {"channels": (2, 3, 4), "deep_supervision": True}),
        ("h_denseformer", {"filters": 2, "depth": 4}),
        ("swin_unetr", {"feature_size": 6, "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2)}),
        ("unetr", {"feature_size": 2, "hidden_size": 8, "mlp_size": 8, "heads": 2}),
        ("ux_net", {"feature_sizes": (2, 3, 4, 6), "hidden_size": 8, "depths": (1, 1, 1, 1)}),
    ],
)
def test_every_network_can_be_explained_at_every_stage(name: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build_network({"type": name, **settings}, Facts(2, 1, 3, (32, 32)), "student")
    image, mask = torch.randn(1, 32, 32), torch.ones(32, 32)
    silent = []
    for stage in stage_names(network):
        try:
            heats = [grad_cam(network, image, stage, k, mask) for k in range(3)]
        except ValueError as error:
            assert "do not depend" in str(error)
            silent.append(stage)
            continue
        assert all(heat.shape == (32, 32) and heat.isfinite().all() for heat in heats)
        assert all(heat.min() >= 0 and heat.max() in (0, 1) for heat in heats)
    # Only the heads beside the logits have no say in them.
    assert all(stage.startswith("logits/") for stage in silent), silent
    assert any(grad_cam(network, image, class_index=k, mask=mask).any() for k in range(3))
