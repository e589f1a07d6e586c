"""A bundle that was opened: a teacher that answers for whole cases on a grid of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import LOGITS, predict_maps, strides_of
from segdistill.networks.stages import resolve
from segdistill.teachers.monai_bundle.preprocessing import Preprocessing
from segdistill.teachers.source import Answer, Asking, CaseImage


@dataclass(frozen=True, eq=False)
class OpenedBundle:
    """The `Source` of a bundle.

    Attributes:
        bundle: its folder, for messages.
        in_channels: image channels that the network takes, where that is known.
        out_channels: logits that it gives.
        window: voxels of a window.
        digest: what `identity` tells.
    """

    bundle: str
    channels: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    regions: bool
    network: nn.Module
    preprocessing: Preprocessing
    in_channels: int | None
    out_channels: int
    window: tuple[int, ...]
    digest: str
    trained_on: tuple[str, ...] = ()
    score: float | None = None
    _strides: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def identity(self) -> str:
        """Hexadecimal digits of the weights, all configs and scripts, the settings and MONAI's version."""
        return self.digest

    def answer(self, case: CaseImage, stages: Sequence[str], asking: Asking) -> Answer:
        """Logits and stage maps of one case, by the bundle's preprocessing and windows.

        What the network returns is taken as logits; the bundle's postprocessing does not run.

        Raises:
            SegdistillError: the image or a stage does not fit; the case and the reason are named.
        """
        here = f"{self.bundle}, case {case.id}"
        space = case.image.ndim - 1
        if space != len(self.window):
            raise SegdistillError(
                f"{here}: the bundle sees {len(self.window)}-D images, this one is {space}-D"
            )
        if self.in_channels is not None and len(case.image) != self.in_channels:
            raise SegdistillError(
                f"{here}: the bundle sees {self.in_channels} image channels, the case has {len(case.image)}"
            )
        image, to_original = self.preprocessing(case)
        try:
            strides = self._strides_of(stages, len(image), asking)
            maps = predict_maps(
                self.network.to(asking.device),
                image,
                self.window,
                {name: step for name, step in strides.items() if name != LOGITS},
                overlap=asking.overlap,
                batch_size=asking.window_batch,
                mirror=asking.mirror,
                device=asking.device,
            )
        except (SegdistillError, ValueError, RuntimeError) as error:
            raise SegdistillError(f"{here}: {error}") from error
        if len(maps[LOGITS]) != self.out_channels:
            raise SegdistillError(
                f"{here}: the network gave {len(maps[LOGITS])} logits instead of {self.out_channels}"
            )
        return Answer(maps, strides, to_original)

    def _strides_of(self, stages: Sequence[str], channels: int, asking: Asking) -> dict[str, tuple[int, ...]]:
        """Strides of the logits and the stages, each measured once."""
        unknown = [name for name in stages if name != LOGITS and name not in self._strides]
        for name in unknown:
            resolve(self.network, name)
        if unknown:
            example: Tensor = torch.zeros(1, channels, *self.window, device=asking.device)
            self._strides.update(strides_of(self.network.to(asking.device), example, unknown))
        wanted = {name: self._strides[name] for name in stages if name != LOGITS}
        return {LOGITS: (1,) * len(self.window), **wanted}
