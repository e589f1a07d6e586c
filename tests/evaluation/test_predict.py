"""From logits to classes on the original grid, one class at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from segdistill.data.dataset import Dataset
from segdistill.data.grid import from_grid
from segdistill.data.intensity import Unchanged
from segdistill.data.plan import Channel, Plan
from segdistill.data.preprocessing import preprocess_case
from segdistill.evaluation import predict as module
from segdistill.evaluation.predict import Predictor
from segdistill.sections.evaluate import EvaluateSection


def all_at_once(probabilities: np.ndarray, regions: bool, threshold: float | None) -> np.ndarray:
    """What `decide` says, from all classes in memory."""
    if regions:
        return (probabilities > (threshold or 0.5)).astype(np.int16)
    if threshold is None:
        return probabilities.argmax(0)[None].astype(np.int16)
    foreground = probabilities[1:]
    return np.where(foreground.max(0) > threshold, foreground.argmax(0) + 1, 0)[None].astype(np.int16)


@pytest.mark.parametrize("crop", [None, (6, (2, 20), None)])
@pytest.mark.parametrize("threshold", [None, 0.2, 0.45])
@pytest.mark.parametrize("regions", [False, True])
def test_one_class_at_a_time_says_what_all_at_once_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regions: bool, threshold: float | None, crop: Any
) -> None:
    file = tmp_path / "image.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 8, 7), np.float32), np.diag([-1.3, 1, 2, 1])), file)
    labels: dict[str, int | tuple[int, ...]] = {"a": (1, 2), "b": 2} if regions else {"a": 1, "b": 2}
    order = (1, 2) if regions else ()
    dataset = Dataset(
        "D", tmp_path, "nnunet_raw", ("CT",), labels, None, regions, (), 3, regions_class_order=order
    )
    plan = Plan(dataset, (Channel("CT", Unchanged(), {}),), (1.0, 0.7, 1.5), crop, (8, 8, 8))
    _, _, grid = preprocess_case([file], None, plan)
    logits = 2 * torch.randn(plan.out_channels, *grid.target, generator=torch.Generator().manual_seed(0))
    logits = logits.round()  # so that there are ties
    probabilities = (logits.sigmoid() if regions else logits.softmax(0)).numpy()
    expected = all_at_once(from_grid(probabilities, grid), regions, threshold)

    classes: list[int] = []

    def recorded(maps: np.ndarray, grid: Any) -> np.ndarray:
        classes.append(len(maps))
        return from_grid(maps, grid)

    monkeypatch.setattr(module, "predict_logits", lambda *_, **__: logits.clone())
    monkeypatch.setattr(module, "from_grid", recorded)
    settings = EvaluateSection(threshold=threshold)
    predictor = Predictor(torch.nn.Identity(), plan, (8, 8, 8), None, settings, torch.device("cpu"))
    found = predictor.classes([file])
    assert found.dtype == np.int16 and found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    assert classes == [1] * plan.out_channels and len(np.unique(found)) > 1
