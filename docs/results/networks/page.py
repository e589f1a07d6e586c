"""Writes README.md beside this file from the JSON files there: `python docs/results/networks/page.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segdistill.report.figures.cost import frontier

HERE = Path(__file__).parent
# What the papers print, in millions of parameters and "GFLOPs": thop's convention, which is what they ran. HLFD's are
# counted from its code; None: not known to us.
PRINTED: dict[str, dict[str, tuple[float, float | None]]] = {
    "published-3d.json": {
        **{"t1": (11.38, 960.38), "t2": (5.38, 280.91), "t3": (95.76, 282.18)},
        **{"s1": (1.53, 62.73), "s2": (1.35, 75.68), "s3": (5.12, 41.51)},
        **{"transbts": (30.62, 372.80), "h_denseformer_16": (3.64, None)},
    },
    "published-2d.json": {
        **{"t1": (4.98, 32.33), "t2": (11.04, 37.94), "t3": (87.51, 59.42)},
        **{"s1": (1.25, 3.31), "s2": (2.76, 9.64), "s3": (4.71, 20.27)},
        **{"mdvit": (30.30, 24.95), "h_denseformer_12": (4.25, 31.46)},
    },
    "published-hlfd.json": {"unet_plus_plus": (36.63, 311.83), "resnet18_student": (11.18, 5.36)},
    "published-missu.json": {"missu": (4.24, 154.38)},
}
NEAR = 0.0101  # the papers both round and cut off
INTRO = """\
# What the networks cost

Made from the JSON files here by `python docs/results/networks/page.py`; do not edit. They come from

```bash
docs/results/networks/run.sh OUT          # counts, latencies and pictures
docs/results/networks/run.sh OUT export   # ONNX and torch.compile, too
```

A cheap network is not yet a good one: what each is worth on your images, a report tells (`segdistill report`)."""
TIMES = """\
Diamonds are the frontier: no other network is both smaller and faster. In {dims}-D these are {frontier}.

Latencies are PyTorch's in float32 on a CPU at batch 1, where its 3-D convolutions of few channels take a slow path:
an exported network is faster, and the order can change. All networks have their defaults, mostly their papers'
sizes; the same network at another width is another point (`segdistill cost {example} width=1/2`). GMACs are true
ones; maps are what a forward pass holds at once, counted; RAM is what a process that only runs the network holds at
its peak, with PyTorch."""


def text() -> str:
    """The page."""
    blocks = [INTRO, "## Published and found", published()]
    for dims, size in ((3, "64 x 64 x 64"), (2, "256 x 256")):
        rows = read(f"cost-{dims}d.json")
        blocks += [f"## All networks at {size}, one channel, two classes", picture(dims, rows), table(rows)]
    blocks += ["## Export", export()]
    return "\n\n".join(blocks) + "\n"


def read(name: str) -> Any:
    """A JSON file from beside the page."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def published() -> str:
    """Printed and counted numbers, side by side."""
    lines = ["| | input | M printed | M found | G printed | G found |", "|---|---|--:|--:|--:|--:|"]
    for name, printed in PRINTED.items():
        for row in read(name):
            found = row["thop_parameters"] / 1e6, row["thop_macs"] / 1e9
            cells = [row["name"], " x ".join(map(str, row["input"]))]
            for told, value in zip(printed[row["name"]], found, strict=True):
                far = told is not None and abs(value - told) > NEAR
                cells += [
                    "" if told is None else f"{told:.2f}",
                    f"**{value:.3f}**" if far else f"{value:.3f}",
                ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + FOUND


FOUND = """\
Parameters in millions and multiply-adds in thousand millions, both as `thop` counts them, which is how the papers'
tables were made; two classes. Bold: further away than 0.01. The light Swin's (s2) printed 75.68 is probably a
misprint of 74.68, as every other number of the four Swin rows is met. H-DenseFormer's own paper
(`h_denseformer_12`) differs from its code by 0.08. MISSU's code is incomplete; this is the nearest network of its
description, at the 128 x 128 x 128 of its code. Rows t1 to s3 are Teach-Former's Table 1; HLFD's two networks are
counted from its code."""


def picture(dims: int, rows: list[dict[str, Any]]) -> str:
    """The figure and how to read it."""
    places = [(row["latency_ms"]["p50"], row["parameters"]) for row in rows]
    best = sorted((places[i], rows[i]["name"]) for i in frontier(places))
    names = ", ".join(f"`{name}`" for _, name in best)
    time, machine = rows[0]["latency_ms"], rows[0]["machine"]
    told = (
        f"Measured on {machine['processor']}, {time['threads']} threads, {time['backend']}, {time['repeats']} passes "
        f"after {time['warm_up']}; {rows[0]['date']}."
    )
    words = TIMES.format(frontier=names, dims=dims, example=best[0][1])
    return (
        f"![Parameters against latency of all networks in {dims}-D](price-{dims}d.png)\n\n{words}\n\n{told}"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """All networks, the fastest first."""
    lines = [
        "| | M parameters | GMACs | maps MB | RAM MB | p50 ms | p95 ms |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=lambda row: row["latency_ms"]["p50"]):
        time = row["latency_ms"]
        lines.append(
            f"| [{row['name']}](../../reference/networks.md#{row['name']}) | {row['parameters'] / 1e6:.2f} | "
            f"{row['macs'] / 1e9:.2f} | {row['activation_mb']:.0f} | {row['resident_mb']:.0f} | {time['p50']:.0f} | "
            f"{time['p95']:.0f} |"
        )
    return "\n".join(lines)


def export() -> str:
    """What could be exported and compiled."""
    done = read("export.json")
    first = next(iter(done.values()))
    lines = [
        "| | ONNX, largest difference | seconds | file MB | torch.compile, largest difference | seconds |"
    ]
    lines += ["|---|--:|--:|--:|--:|--:|"]
    for name, row in done.items():
        if "error" in row:
            lines.append(f"| {name} | {row['error']} | | | | |")
            continue
        compiled = ["", ""]
        if "compile_difference" in row:
            compiled = [f"{row['compile_difference']:.1e}", f"{row['compile_seconds']:.0f}"]
        lines.append(
            f"| {name} | {row['onnx_difference']:.1e} | {row['export_seconds']:.0f} | {row['file_mb']:.0f} | "
            f"{compiled[0]} | {compiled[1]} |"
        )
    told = EXPORTED.format(torch=first["torch"], runtime=first["onnxruntime"])
    return told + "\n\n" + "\n".join(lines)


EXPORTED = """\
Each network at its defaults with random weights, 2 channels and 3 classes, 128 x 128 or 64 x 64 x 64: to ONNX with
a static shape (torch {torch}, dynamo exporter), run by ONNX Runtime {runtime}; the largest difference from PyTorch
is over the largest logit. Seconds are those of a busy machine. Three families were also compiled. It is not part of
the tests of every change: `make test-export`."""


if __name__ == "__main__":
    (HERE / "README.md").write_text(text(), encoding="utf-8")
