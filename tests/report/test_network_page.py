"""The page of what the networks cost says what its files say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from segdistill.networks import NETWORKS

FOLDER = Path(__file__).parents[2] / "docs" / "results" / "networks"


def test_the_page_is_made_from_the_files() -> None:
    kept = (FOLDER / "README.md").read_text(encoding="utf-8")
    made = subprocess.run(
        [sys.executable, "-c", "import page; print(page.text(), end='')"],
        cwd=FOLDER, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert made.stdout == kept, "run `python docs/results/networks/page.py`"


def test_all_networks_are_on_it() -> None:
    for dims in (2, 3):
        told = json.loads((FOLDER / f"cost-{dims}d.json").read_text(encoding="utf-8"))
        assert [row["name"] for row in told] == list(NETWORKS)
        assert all(row["latency_ms"]["p50"] > 0 and row["resident_mb"] > 0 for row in told)
    exported = json.loads((FOLDER / "export.json").read_text(encoding="utf-8"))
    assert set(exported) == {f"{name} {dims}-D" for name in NETWORKS for dims in (2, 3)}
    assert all(row["onnx_difference"] < 1e-4 for row in exported.values())
