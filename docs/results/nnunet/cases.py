"""The cases of the study: `splits.json`, once, and nnU-Net's raw folder from it.

python cases.py TASK04_FOLDER RAW_FOLDER

72 of the cases in the order of their names, evenly spread; of these every sixth is a test case, of the others every
fifth validates. Where `splits.json` is there already, it is what counts: other copies of Task04 hold more cases.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

CASES, TEST_EVERY, VALIDATION_EVERY = 72, 6, 5
SPLITS = Path(__file__).with_name("splits.json")


def choose(names: list[str]) -> dict[str, list[str]]:
    """Which cases train, validate and test."""
    chosen = [names[k * len(names) // CASES] for k in range(CASES)]
    test = chosen[::TEST_EVERY]
    rest = [name for name in chosen if name not in test]
    validation = rest[::VALIDATION_EVERY]
    return {
        "train": [name for name in rest if name not in validation],
        "validation": validation,
        "test": test,
    }


def main() -> None:
    """Write what is described above."""
    task, raw = Path(sys.argv[1]), Path(sys.argv[2])
    if not SPLITS.is_file():
        names = sorted(file.name.removesuffix(".nii.gz") for file in (task / "labelsTr").glob("*.nii.gz"))
        SPLITS.write_text(json.dumps(choose(names), indent=2) + "\n")
    splits = json.loads(SPLITS.read_text())
    for subset, ids in splits.items():
        images, labels = ("imagesTs", "labelsTs") if subset == "test" else ("imagesTr", "labelsTr")
        for folder in (images, labels):
            (raw / folder).mkdir(parents=True, exist_ok=True)
        for id in ids:
            shutil.copyfile(task / "imagesTr" / f"{id}.nii.gz", raw / images / f"{id}_0000.nii.gz")
            shutil.copyfile(task / "labelsTr" / f"{id}.nii.gz", raw / labels / f"{id}.nii.gz")
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "Anterior": 1, "Posterior": 2},
        "numTraining": len(splits["train"]) + len(splits["validation"]),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    main()
