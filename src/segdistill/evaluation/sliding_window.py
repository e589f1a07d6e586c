"""What a network says about a whole image, from overlapping windows of the size it was trained on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.networks.stages import catch, first_output

Strides = Mapping[str, tuple[int, ...]]
LOGITS = "logits"


def predict_logits(
    network: nn.Module,
    image: np.ndarray | Tensor,
    patch_size: Sequence[int],
    *,
    overlap: float = 0.5,
    batch_size: int = 2,
    mirror: bool | Sequence[int] = False,
    slices: Slices | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Logits of one whole image, (K, *space) float32 on the CPU: `predict_maps` without further stages."""
    return predict_maps(
        network, image, patch_size, overlap=overlap, batch_size=batch_size, mirror=mirror, slices=slices,
        device=device, dtype=dtype,
    )[LOGITS]  # fmt: skip


def predict_maps(
    network: nn.Module,
    image: np.ndarray | Tensor,
    patch_size: Sequence[int],
    strides: Strides | None = None,
    *,
    overlap: float = 0.5,
    batch_size: int = 2,
    mirror: bool | Sequence[int] = False,
    slices: Slices | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    change: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> dict[str, Tensor]:
    """Logits and stage maps of one whole image: Gaussian-weighted overlapping windows, summed in float32.

    The network is put in eval mode (each of its modules is given its own mode back) and must return
    (batch, K, *window), or a list or tuple whose first entry is that. No gradients are kept. An image that is
    smaller than the window is padded with 0, and the padding is cut off again. Windows begin at multiples of the
    coarsest stride, so that the maps of all windows lie on one grid; their overlap is then at least what is asked.

    Args:
        image: (C, *space), 2-D or 3-D, preprocessed.
        patch_size: voxels of a window along each axis that the network sees: of the image, or of a slice.
        strides: the stages to tell beside the logits, as `strides_of` gives them.
        overlap: share of a window that the next one covers again, in [0, 1).
        batch_size: windows (or windows of slices) in one forward pass; at least 2 on a CPU, where 3-D
            convolutions of a single window take a slow path in PyTorch.
        mirror: average the logits over all combinations of flips: 2^d forward passes for each window; a list of the
            window's spatial axes flips along these. Stage maps are those of the image as it is.
        slices: the network is 2-D and the image 3-D: each slice across `slices.axis` is predicted by itself.
        device: where the network is; by default where its first parameter is.
        dtype: autocast the forward pass to this type, such as `torch.bfloat16`; sums stay in float32.
        change: by stage, a linear function of (batch, channel, *space) that is applied before the windows are summed.

    Returns:
        `logits` (K, *space) and each stage (C, *space / stride, rounded up); float32 on the CPU.

    Raises:
        SegdistillError: the sizes do not fit together, or the network's output is not of its input's size.
    """
    strides = dict(strides or {})
    volume = (
        torch.from_numpy(np.array(image, np.float32)) if isinstance(image, np.ndarray) else image
    ).float()
    windows_of = volume[None] if slices is None else volume.movedim(slices.axis + 1, 0)
    space = windows_of.ndim - 2
    if len(patch_size) != space:
        raise SegdistillError(
            f"patch_size {tuple(patch_size)} has {len(patch_size)} numbers for "
            f"{space}-D {'slices' if slices else 'images'}; an image of shape {tuple(volume.shape)} "
            f"needs {space}"
        )
    place = torch.device(device) if device is not None else _device_of(network)
    names = sorted(strides, key=lambda name: math.prod(strides[name]))  # MONAI wants the largest maps first
    passes = _flips(space, range(space) if mirror is True else mirror or ())

    def forward(windows: Tensor) -> tuple[Tensor, ...]:
        total, maps = None, {}
        for axes in passes:
            with torch.autocast(place.type, dtype=dtype, enabled=dtype is not None):
                try:
                    with catch(network, () if axes else names) as caught:
                        output = first_output(network(windows.flip(axes) if axes else windows.clone()))
                except ValueError as error:  # a size that does not fit, or an answer that is no map
                    raise SegdistillError(str(error)) from error
            _check(output, windows)
            maps.update({name: (change or {}).get(name, _same)(caught[name].float()) for name in caught})
            logits = output.float().flip(axes) if axes else output.float()
            total = logits if total is None else total + logits
        assert total is not None
        return (total / len(passes), *(maps[name] for name in names))

    snap = _coarsest(strides, space)
    size = windows_of.shape[2:]
    if strides:  # padded at the end, where the maps stay on the grid; else MONAI pads at both
        windows_of = _padded(windows_of, patch_size, snap)
    with evaluating(network), torch.no_grad():
        found = sliding_window_inference(
            windows_of,
            roi_size=tuple(patch_size),
            sw_batch_size=max(batch_size, 2) if place.type == "cpu" else batch_size,
            predictor=forward,
            overlap=[_snapped(overlap, n, step) for n, step in zip(patch_size, snap, strict=True)],
            mode="gaussian",
            sw_device=place,
            device="cpu",
        )
    told: dict[str, Tensor] = {}
    for name, whole in zip((LOGITS, *names), found if names else (found,), strict=True):
        step = strides.get(name, (1,) * space)
        cut = whole[(..., *(slice(math.ceil(n / s)) for n, s in zip(size, step, strict=True)))]
        told[name] = (cut[0] if slices is None else cut.movedim(0, slices.axis + 1)).contiguous()
    return told


def strides_of(network: nn.Module, example: Tensor, stages: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """How many voxels of its input one voxel of each stage covers, along each axis.

    Args:
        example: (1, C, *window) that the network takes.

    Raises:
        SegdistillError: a stage whose map is no whole part of the window, or a stage that is not there.
    """
    window = example.shape[2:]
    try:
        with evaluating(network), torch.no_grad(), catch(network, stages) as maps:
            network(example)
    except ValueError as error:
        raise SegdistillError(str(error)) from error
    strides = {}
    for name in stages:
        size = maps[name].shape[2:]
        if len(size) != len(window) or any(n % m for n, m in zip(window, size, strict=True)):
            raise SegdistillError(
                f"stage {name!r} has maps of {list(size)} for windows of {list(window)}, which is no whole part of them"
            )
        strides[name] = tuple(n // m for n, m in zip(window, size, strict=True))
    return strides


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` in eval mode for the block, then give each of its modules its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _flips(space: int, along: Sequence[int]) -> list[tuple[int, ...]]:
    """Every set of the axes `along` as axes of a (batch, channel, *space) tensor, the empty one first."""
    axes = [2 + axis for axis in along if axis < space]
    return [chosen for size in range(len(axes) + 1) for chosen in itertools.combinations(axes, size)]


def _coarsest(strides: Strides, space: int) -> tuple[int, ...]:
    """Along each axis the step at which all maps have a voxel's border."""
    return tuple(math.lcm(*(stride[axis] for stride in strides.values())) for axis in range(space))


def _padded(images: Tensor, patch_size: Sequence[int], steps: Sequence[int]) -> Tensor:
    """With 0 at the end of each axis, up to a patch and a multiple of the step."""
    sides = zip(images.shape[2:], patch_size, steps, strict=True)
    more = [max(side, math.ceil(n / step) * step) - n for n, side, step in sides]
    return F.pad(images, [width for n in reversed(more) for width in (0, n)])


def _snapped(overlap: float, side: int, step: int) -> float:
    """An overlap for which MONAI moves windows by a multiple of `step`, as far as `overlap` allows."""
    moved = max(step, int(side * (1 - overlap)) // step * step)
    return max(0.0, 1 - (moved + 0.5) / side)  # half a voxel more: it rounds down


def _same(feature: Tensor) -> Tensor:
    return feature


def _device_of(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _check(output: Tensor, windows: Tensor) -> None:
    if output.shape[0] != windows.shape[0] or output.shape[2:] != windows.shape[2:]:
        raise SegdistillError(
            f"the network returned {tuple(output.shape)} for {tuple(windows.shape)}; expected one logit map "
            "for each class at the size of the input"
        )
