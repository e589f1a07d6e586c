"""Loss and Dice on whole validation images, on the preprocessed grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from segdistill.data.slices import Slices
from segdistill.data.store import Store
from segdistill.evaluation.sliding_window import predict_logits
from segdistill.losses.segmentation import IGNORE
from segdistill.networks.domains import at_site


def dice(prediction: Tensor, label: Tensor, channels: int, regions: bool) -> list[float | None]:
    """Dice of each class or region of one image; None where neither has it.

    Args:
        prediction: (K, *space) logits.
        label: (L, *space) integers, -1 ignored.
    """
    counts = label[0] != IGNORE
    found: list[float | None] = []
    classes = prediction.argmax(0)
    for index in range(channels) if regions else range(1, channels):
        p = ((prediction[index] > 0) if regions else (classes == index)) & counts
        r = ((label[index] == 1) if regions else (label[0] == index)) & counts
        size = int(p.sum()) + int(r.sum())
        found.append(2 * int((p & r).sum()) / size if size else None)
    return found


@dataclass(frozen=True)
class Validation:
    """Scores a network on whole cases.

    Attributes:
        cases: what chooses the checkpoint; never the test cases.
        loss: the supervised loss, `loss(logits, label)`.
        inputs: numbers of the image channels that the network sees; None: all.
        dtype: of the forward passes, where training is in mixed precision; None: float32.
        sites: numbers of the sites of cases, for a network that adapts to them.
    """

    store: Store
    cases: Sequence[str]
    patch_size: Sequence[int]
    loss: Callable[[Tensor, Tensor], Tensor]
    regions: bool
    slices: Slices | None
    overlap: float
    window_batch: int
    inputs: Sequence[int] | None = None
    dtype: torch.dtype | None = None
    sites: Mapping[str, int] = field(default_factory=dict)

    def __call__(
        self, network: nn.Module, device: torch.device, rank: int = 0, devices: int = 1
    ) -> dict[str, Tensor]:
        """Sums over this device's share of the cases: `loss`, `dice`, `cases`, `dice_cases`."""
        sums = dict.fromkeys(("loss", "dice", "cases", "dice_cases"), 0.0)
        for name in list(self.cases)[rank::devices]:
            case = self.store.case(name)
            assert case.label is not None
            label = torch.from_numpy(np.array(case.label))
            logits = predict_logits(
                at_site(network, self.sites.get(name)),
                case.image if self.inputs is None else case.image[list(self.inputs)],
                self.patch_size,
                overlap=self.overlap,
                batch_size=self.window_batch,
                slices=self.slices,
                device=device,
                dtype=self.dtype,
            )
            scores = [score for score in dice(logits, label, len(logits), self.regions) if score is not None]
            sums["loss"] += float(self.loss(logits[None], label[None]))
            sums["cases"] += 1
            if scores:
                sums["dice"] += sum(scores) / len(scores)
                sums["dice_cases"] += 1
        return {name: torch.tensor(value) for name, value in sums.items()}


def average(sums: dict[str, float]) -> dict[str, float | None]:
    """Means over the cases; `dice` is None where no case has any class, `loss` where it is no number."""
    return {
        "loss": sums["loss"] / max(sums["cases"], 1) if math.isfinite(sums["loss"]) else None,
        "dice": sums["dice"] / sums["dice_cases"] if sums["dice_cases"] else None,
    }
