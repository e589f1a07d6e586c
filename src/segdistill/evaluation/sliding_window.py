"""A network's logits for a whole image, from overlapping windows of the size it was trained on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from segdistill.data.slices import Slices
from segdistill.errors import SegdistillError
from segdistill.networks.stages import first_output


def predict_logits(
    network: nn.Module,
    image: np.ndarray | Tensor,
    patch_size: Sequence[int],
    *,
    overlap: float = 0.5,
    batch_size: int = 2,
    mirror: bool = False,
    slices: Slices | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Logits of one whole image: Gaussian-weighted overlapping windows, summed in float32 in main memory.

    The network is put in eval mode (each of its modules is given its own mode back) and must return
    (batch, K, *window), or a list or tuple whose first entry is that. No gradients are kept. An image that is
    smaller than the window is padded with 0 on both sides, and the padding is cut off again.

    Args:
        image: (C, *space), 2-D or 3-D, preprocessed.
        patch_size: voxels of a window along each axis that the network sees: of the image, or of a slice.
        overlap: share of a window that the next one covers again, in [0, 1).
        batch_size: windows (or windows of slices) in one forward pass; at least 2 on a CPU, where 3-D
            convolutions of a single window take a slow path in PyTorch.
        mirror: average the logits over all combinations of flips: 2^d forward passes for each window.
        slices: the network is 2-D and the image 3-D: each slice across `slices.axis` is predicted by itself.
        device: where the network is; by default where its first parameter is.
        dtype: autocast the forward pass to this type, such as `torch.bfloat16`; sums stay in float32.

    Returns:
        (K, *space) float32 on the CPU.

    Raises:
        SegdistillError: the sizes do not fit together, or the network's output is not of its input's size.
    """
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image, dtype=np.float32))
    volume = image.float()
    windows_of = volume[None] if slices is None else volume.movedim(slices.axis + 1, 0)
    space = windows_of.ndim - 2
    if len(patch_size) != space:
        raise SegdistillError(
            f"patch_size {tuple(patch_size)} has {len(patch_size)} numbers for "
            f"{space}-D {'slices' if slices else 'images'}; an image of shape {tuple(volume.shape)} "
            f"needs {space}"
        )
    place = torch.device(device) if device is not None else _device_of(network)
    flips = _flips(space) if mirror else [()]

    def forward(windows: Tensor) -> Tensor:
        total: Tensor | None = None
        for axes in flips:
            try:
                with torch.autocast(place.type, dtype=dtype, enabled=dtype is not None):
                    output = first_output(network(windows.flip(axes) if axes else windows.clone()))
            except ValueError as error:  # a size that does not fit, or an answer that is no map
                raise SegdistillError(str(error)) from error
            _check(output, windows)
            logits = output.float().flip(axes) if axes else output.float()
            total = logits if total is None else total + logits
        assert total is not None
        return total / len(flips)

    with evaluating(network), torch.no_grad():
        logits = sliding_window_inference(
            windows_of,
            roi_size=tuple(patch_size),
            sw_batch_size=max(batch_size, 2) if place.type == "cpu" else batch_size,
            predictor=forward,
            overlap=overlap,
            mode="gaussian",
            sw_device=place,
            device="cpu",
        )
    assert isinstance(logits, Tensor)
    return logits[0] if slices is None else logits.movedim(0, slices.axis + 1).contiguous()


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


def _flips(space: int) -> list[tuple[int, ...]]:
    """Every set of spatial axes of a (batch, channel, *space) tensor, the empty one first."""
    axes = range(2, 2 + space)
    return [chosen for size in range(space + 1) for chosen in itertools.combinations(axes, size)]


def _device_of(network: nn.Module) -> torch.device:
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _check(output: Tensor, windows: Tensor) -> None:
    if output.shape[0] != windows.shape[0] or output.shape[2:] != windows.shape[2:]:
        raise SegdistillError(
            f"the network returned {tuple(output.shape)} for {tuple(windows.shape)}; expected one logit map "
            "for each class at the size of the input"
        )
