"""Which networks can be exported and compiled, at their defaults: `python export.py OUT.json [NAME...]`.

Each network, 2-D and 3-D, in a process of its own: ONNX (static shape, torch's dynamo exporter), run by ONNX Runtime,
its largest difference from PyTorch over the largest logit; for three families also torch.compile, with the time it
takes. What OUT.json holds already is not done again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COMPILED = ("unet", "swin_unetr", "mobile_unet")
SIZES = {2: (128, 128), 3: (64, 64, 64)}
LIMIT = 1800  # seconds for one network


def main() -> None:
    """Do what is not done yet, a network at a time."""
    from segdistill.networks import NETWORKS

    out = Path(sys.argv[1])
    done: dict[str, Any] = json.loads(out.read_text()) if out.is_file() else {}
    for name in sys.argv[2:] or NETWORKS:
        for dims in (2, 3):
            key = f"{name} {dims}-D"
            if key in done:
                continue
            command = [sys.executable, __file__, "--one", name, str(dims)]
            try:
                ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
                row = (
                    json.loads(ran.stdout.splitlines()[-1])
                    if not ran.returncode
                    else {"error": _last(ran.stderr)}
                )
            except subprocess.TimeoutExpired:
                row = {"error": f"took more than {LIMIT} s"}
            done[key] = row
            sys.stdout.write(f"{key}: {row}\n")
            out.write_text(json.dumps(done, indent=1) + "\n")


def one(name: str, dims: int) -> dict[str, Any]:
    """Export, run and compare one network."""
    import numpy as np
    import onnxruntime
    import torch

    from segdistill.model import Facts, build_network

    torch.manual_seed(0)
    size = SIZES[dims]
    network = build_network({"type": name}, Facts(dims, 2, 3, size), name).eval()
    image = torch.randn(1, 2, *size)
    row: dict[str, Any] = {
        "input": list(image.shape),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    with torch.no_grad():
        expected = network(image).numpy()

        def difference(answer: Any) -> float:
            return float(np.abs(np.asarray(answer) - expected).max() / np.abs(expected).max())

        if name in COMPILED:
            start = time.perf_counter()
            row["compile_difference"] = difference(torch.compile(network)(image))
            row["compile_seconds"] = round(time.perf_counter() - start, 1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        start = time.perf_counter()
        torch.onnx.export(network, (image,), file, dynamo=True, external_data=False, verbose=False)
        row["export_seconds"] = round(time.perf_counter() - start, 1)
        row["file_mb"] = round(file.stat().st_size / 2**20, 1)
        session = onnxruntime.InferenceSession(file)
        answer = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    row["onnx_difference"] = difference(answer[0])
    return row


def _last(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1][:300] if lines else "stopped from outside"


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        sys.stdout.write(json.dumps(one(sys.argv[2], int(sys.argv[3]))) + "\n")
    else:
        main()
