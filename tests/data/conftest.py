"""Small datasets for the tests of the data room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from segdistill.data import open_dataset
from segdistill.data.dataset import Dataset

SmallDataset = Callable[..., Dataset]


@pytest.fixture
def small_dataset(tmp_path: Path) -> SmallDataset:
    """Writes an nnU-Net folder `Dataset001_Small` of cases c0, c1, ... and opens it; again, over the last.

    Volumes of 8 x 8 x 6 voxels, 1 mm in plane, axes x and y reversed; CT, PET and MR; a box of tumour, by 100
    brighter in CT. `spacings`: of the slices, one for each case. `level`: mean of the CT outside the tumour.
    """

    def write(spacings: tuple[float, ...] = (1.0, 2.0, 4.0), level: float = 0) -> Dataset:
        folder = tmp_path / "Dataset001_Small"
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for number, spacing in enumerate(spacings):
            label = np.zeros((8, 8, 6), np.uint8)
            label[2:5, 3:6, 1:4] = 1
            affine = np.diag([-1, -1, spacing, 1])
            images = (100 * label + rng.normal(level, 1, label.shape), 5.0 * label, 1.0 + label)
            for channel, image in enumerate(images):
                file = nibabel.Nifti1Image(image.astype(np.float32), affine)
                nibabel.save(file, folder / "imagesTr" / f"c{number}_{channel:04d}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(label, affine), folder / "labelsTr" / f"c{number}.nii.gz")
        description = {
            "channel_names": {"0": "CT", "1": "PET_SUV", "2": "MR_T1"},
            "labels": {"background": 0, "tumour": 1},
            "numTraining": len(spacings),
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(description))
        return open_dataset(folder)

    return write
