"""What one case costs when the model is loaded: image file in, mask file out, case after case in one process.

python seconds.py nnunet|segdistill MODEL IMAGES OUT    (prints JSON; run by the Python that has the one or the other)

Both without flips and with as many threads as there are processors, as `nnUNetv2_predict -device cpu` sets them.
Loading is timed apart. CPU seconds are told beside wall seconds: they hang less on what else the machine does.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


def nnunet(model: Path) -> Callable[[Path, Path], object]:
    """Fold 0 of nnU-Net's own predictor."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), (0,), checkpoint_name="checkpoint_final.pth")

    def one(image: Path, out: Path) -> None:
        truncated = str(out).removesuffix(".nii.gz")
        predictor.predict_from_files_sequential([[str(image)]], [truncated])

    return one


def segdistill(model: Path) -> Callable[[Path, Path], object]:
    """What `segdistill predict` does."""
    from segdistill.evaluation.predict import Predictor
    from segdistill.run import Run

    predictor = Predictor.of(Run.open(model), device="cpu")
    return lambda image, out: predictor.write([image], out)


def main() -> None:
    """Time every image of the folder."""
    kind, model, images, out = sys.argv[1], *map(Path, sys.argv[2:5])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(os.cpu_count() or 1)
    wall, cpu = {}, {}
    with contextlib.redirect_stdout(sys.stderr):
        start = time.perf_counter()
        one = {"nnunet": nnunet, "segdistill": segdistill}[kind](model.absolute())
        loading = time.perf_counter() - start
        for image in sorted(images.glob("*_0000.nii.gz")):
            name = image.name.removesuffix("_0000.nii.gz")
            start, begun = time.perf_counter(), time.process_time()
            one(image, out / f"{name}.nii.gz")
            wall[name] = round(time.perf_counter() - start, 4)
            cpu[name] = round(time.process_time() - begun, 4)
    told = {"loading": round(loading, 3), "wall": wall, "cpu": cpu, "load": round(os.getloadavg()[0], 2)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
