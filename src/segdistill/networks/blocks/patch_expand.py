"""The patch expanding layer of the pure Transformer U-Nets: the upsampling that mirrors patch merging."""

from __future__ import annotations

from torch import Tensor, nn


class PatchExpand(nn.Module):
    """(B, *S, inputs) -> (B, *(factor S), outputs): linear layer without bias, channels laid out as voxels, layer norm.

    Cao et al. (Swin-Unet) have it in 2-D: `factor` 2 halves the channels, the last layer's `factor` 4 keeps them; in
    3-D a token becomes factor^3 voxels. Channels come last, as in all Transformer layers.
    """

    def __init__(self, spatial_dims: int, inputs: int, outputs: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(inputs, factor**spatial_dims * outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        batch, *size, _ = x.shape
        dims = len(size)
        cells = self.linear(x).reshape(batch, *size, *[self.factor] * dims, -1)
        interleaved = [
            axis for i in range(dims) for axis in (1 + i, 1 + dims + i)
        ]  # voxel axis, axis within it
        grown = cells.permute(0, *interleaved, -1).reshape(batch, *(self.factor * n for n in size), -1)
        return self.norm(grown)


def channels_first(x: Tensor) -> Tensor:
    """(B, *S, C) -> (B, C, *S)."""
    return x.movedim(-1, 1)


def channels_last(x: Tensor) -> Tensor:
    """(B, C, *S) -> (B, *S, C)."""
    return x.movedim(1, -1)
