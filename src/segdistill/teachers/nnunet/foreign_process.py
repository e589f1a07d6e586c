"""Run by the Python of nnU-Net's environment, never imported by segdistill: a model that only nnU-Net's code knows.

    python foreign_process.py FOLDER CONFIGURATION CHECKPOINT DEVICE FOLD [FOLD ...]

It tells `{"ready": true}` and then answers each line of its input, a JSON object, with one line of its output.

    {"image": .npy of (C, z, y, x) float32, "spacing": [z, y, x], "answer": where to write,
     "overlap": 0.5, "mirror": false, "window_batch": 2}
    -> {"offset": [...], "cropped": [...]}: of the crop, along nnU-Net's axes; the answer is (K, *grid) float32

Failures are `{"error": "..."}`. nnU-Net's predictor adds windows in half precision, which is off by up to half a logit
at the border of an image; here they are added in float32.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch


class Model:
    """The networks of some folds, as nnU-Net builds them, and its preprocessing."""

    def __init__(
        self, folder: str, configuration: str, checkpoint: str, device: str, folds: Sequence[str]
    ) -> None:
        from nnunetv2.inference.predict_from_raw_data import (  # type: ignore[import-not-found]
            nnUNetPredictor,
        )

        self.device = torch.device(device)
        predictor = nnUNetPredictor(device=self.device, perform_everything_on_device=False, allow_tqdm=False)
        names = tuple(int(fold) if fold.isdecimal() else fold for fold in folds)
        predictor.initialize_from_trained_model_folder(folder, use_folds=names, checkpoint_name=checkpoint)
        self.plans, self.settings = predictor.plans_manager, predictor.configuration_manager
        if self.settings.configuration != self.plans.get_configuration(configuration).configuration:
            raise ValueError(f"the checkpoint was not trained as {configuration!r}; leave configuration out")
        self.dataset, self.network = predictor.dataset_json, predictor.network.to(self.device).eval()
        self.weights = predictor.list_of_parameters
        self.mirroring = tuple(predictor.allowed_mirroring_axes or ())

    def prepare(self, image: np.ndarray, spacing: Sequence[float]) -> tuple[torch.Tensor, dict[str, Any]]:
        """(C, *grid), and what nnU-Net notes about the crop."""
        properties: dict[str, Any] = {"spacing": list(spacing)}
        prepared = self.settings.preprocessor_class(verbose=False).run_case_npy(
            image, None, properties, self.plans, self.settings, self.dataset
        )
        return torch.as_tensor(np.asarray(prepared[0], np.float32)), properties

    def logits(self, image: torch.Tensor, overlap: float, mirror: bool, batch: int) -> torch.Tensor:
        """(C, *grid) -> (K, *grid) float32: windows weighted by a Gaussian, averaged over flips and folds."""
        flips: list[tuple[int, ...]] = [()]
        if mirror:
            axes = self.mirroring
            flips = [chosen for n in range(len(axes) + 1) for chosen in itertools.combinations(axes, n)]

        def predict(windows: torch.Tensor) -> torch.Tensor:
            return sum((self._turned(windows, axes) for axes in flips), torch.zeros(())) / len(flips)

        total = torch.zeros(())
        for weights in self.weights:
            self.network.load_state_dict(weights)
            total = total + stitched(predict, image, self.settings.patch_size, overlap, batch)
        return total / len(self.weights)

    def _turned(self, windows: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
        """Answers to flipped windows, flipped back."""
        turned = [2 + axis for axis in axes]
        answer = self.network(windows.to(self.device).flip(turned))
        answer = answer[0] if isinstance(answer, (list, tuple)) else answer
        return answer.float().flip(turned).cpu()


def stitched(
    predict: Callable[[torch.Tensor], torch.Tensor],
    image: torch.Tensor,
    patch: Sequence[int],
    overlap: float,
    batch: int,
) -> torch.Tensor:
    """Sums in float32 of `predict` over overlapping windows; a patch of two numbers sees slice by slice."""
    planar = len(patch) == 2
    sides, size = np.array([1, *patch] if planar else patch), np.array(image.shape[1:])
    before = np.maximum(0, sides - size) // 2
    after = np.maximum(0, sides - size) - before
    padded = torch.nn.functional.pad(image, np.stack([before, after], axis=1)[::-1].flatten().tolist())
    weight = torch.ones(())
    for side in sides.tolist():
        place = (torch.arange(side) - side // 2) / (side / 8)  # centre and width are those of nnU-Net
        weight = weight[..., None] * torch.exp(-(place**2) / 2)
    total, weights = torch.zeros(()), torch.zeros(padded.shape[1:])
    places = [np.array(start) for start in starts(padded.shape[1:], sides.tolist(), overlap)]
    for first in range(0, len(places), batch):
        boxes = [box(start, start + sides) for start in places[first : first + batch]]
        windows = torch.stack([padded[(slice(None), *here)] for here in boxes])
        answers = predict(windows[:, :, 0])[:, :, None] if planar else predict(windows)
        if total.ndim == 0:
            total = torch.zeros((answers.shape[1], *padded.shape[1:]))
        for k, here in enumerate(boxes):
            total[(slice(None), *here)] += answers[k] * weight
            weights[here] += weight
    return (total / weights)[(slice(None), *box(before, before + size))]


def box(start: np.ndarray, stop: np.ndarray) -> tuple[slice, ...]:
    """The slices from one corner to the other."""
    return tuple(map(slice, start.tolist(), stop.tolist()))


def starts(size: Sequence[int], patch: Sequence[int], overlap: float) -> Iterator[tuple[int, ...]]:
    """Where windows begin: evenly from end to end, no further apart than the overlap allows."""
    axes = []
    for axis, side in enumerate(patch):
        spare = size[axis] - side
        steps = math.ceil(spare / max(1, side * (1 - overlap)))
        axes.append([round(k * spare / max(1, steps)) for k in range(steps + 1)])
    return itertools.product(*axes)


def answer(model: Model, asked: dict[str, Any]) -> dict[str, Any]:
    """One line's answer."""
    image, properties = model.prepare(np.load(asked["image"]), asked["spacing"])
    logits = model.logits(image, asked["overlap"], asked["mirror"], asked["window_batch"])
    np.save(asked["answer"], logits.numpy())
    return {
        "offset": [int(start) for start, _ in properties["bbox_used_for_cropping"]],
        "cropped": [int(n) for n in properties["shape_after_cropping_and_before_resampling"]],
    }


def main() -> None:
    """Answer until the input ends."""
    # nnU-Net prints as it likes: what it says goes to the errors, so that the output holds answers alone.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(what: dict[str, Any]) -> None:
        lines.write(json.dumps(what) + "\n")
        lines.flush()

    folder, configuration, checkpoint, device, *folds = sys.argv[1:]
    try:
        model = Model(folder, configuration, checkpoint, device, folds)
    except Exception as error:
        tell({"error": f"{type(error).__name__}: {error}"})
        raise
    tell({"ready": True})
    with torch.inference_mode():
        for line in sys.stdin:
            try:
                tell(answer(model, json.loads(line)))
            except Exception as error:  # the next case may be fine
                tell({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
