"""In which form recorded answers are best kept: .npy, blosc2 or zarr; size, writing, and reading of a patch.

    pip install blosc2==4.14.1 zarr==3.1.6
    python benchmarks/cache_format.py RUN [--json]

RUN is a finished run on real images. Its answers for its largest training case (logits, decoder/1) are repeated
up to a volume of 160 x 160 x 120, kept in each form, and read in random patches of 48^3: from the page cache (warm),
and after the system was told to forget the file (cold).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from segdistill.evaluation.sliding_window import predict_maps, strides_of
from segdistill.model import facts_of, load_network
from segdistill.run import Run, machine
from segdistill.teachers.cache.coding import in_steps
from segdistill.training.prepare import prepare

SHAPE, SIDE, READS = (160, 160, 120), 48, 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("--json", action="store_true", help="print JSON for a program to read")
    asked = parser.parse_args()
    rows = []
    for name, values in answers(Run.open(asked.run)).items():
        for form, array in (("float16", values.astype(np.float16)), ("uint8", in_steps(values)[0])):
            rows += [{"map": name, "type": form} | row for row in measured(array)]
    result = {
        "benchmark": "cache_format",
        "date": date.today().isoformat(),
        "machine": machine(),
        "rows": rows,
    }
    if asked.json:
        print(json.dumps(result, indent=2))
        return
    table = Table()
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)


def answers(run: Run) -> dict[str, np.ndarray]:
    """Logits and the last map of the largest training case, repeated up to the volume; float32."""
    data, network = prepare(run.recipe), load_network(run)
    case = max(data.splits.train, key=lambda name: data.store.case(name).image.size)
    image, window = np.array(data.store.case(case).image), facts_of(run).image_size
    strides = strides_of(network, torch.zeros(1, len(image), *window), ["decoder/1"])
    maps = predict_maps(network, image, window, strides)
    found = {}
    for name, each in maps.items():
        times = [-(-n // m) for n, m in zip(SHAPE, each.shape[1:], strict=True)]
        found[name] = np.tile(each.numpy(), (1, *times))[(slice(None), *map(slice, SHAPE))]
    return found


def measured(array: np.ndarray) -> list[dict[str, Any]]:
    """A row for each form."""
    import blosc2
    import zarr

    whole = np.ascontiguousarray(array)
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)

        def blosc(codec: Any, level: int) -> Callable[[], Any]:
            settings = {"codec": codec, "clevel": level, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
            chunks, blocks = (len(whole), 32, 32, 32), (1, 16, 16, 16)
            return lambda: blosc2.asarray(
                whole, chunks=chunks, blocks=blocks, urlpath=str(at / "x.b2nd"), mode="w", cparams=settings
            )

        def chunked() -> None:
            kept = zarr.create_array(
                str(at / "x.zarr"),
                shape=whole.shape,
                chunks=(len(whole), 32, 32, 32),
                dtype=whole.dtype,
                overwrite=True,
            )
            kept[:] = whole

        def mapped() -> Any:
            return blosc2.open(str(at / "x.b2nd"), mode="r", mmap_mode="r", dparams={"nthreads": 1})

        forms: dict[str, tuple[Callable[[], Any], Callable[[], Any], Path]] = {
            ".npy": (
                lambda: np.save(at / "x.npy", whole),
                lambda: np.load(at / "x.npy", mmap_mode="r"),
                at / "x.npy",
            ),
            "blosc2 lz4": (blosc(blosc2.Codec.LZ4, 5), mapped, at / "x.b2nd"),
            "blosc2 zstd": (blosc(blosc2.Codec.ZSTD, 1), mapped, at / "x.b2nd"),
            "zarr zstd": (chunked, lambda: zarr.open_array(str(at / "x.zarr"), mode="r"), at / "x.zarr"),
        }
        return [row(name, whole, *form) for name, form in forms.items()]


def row(
    name: str, whole: np.ndarray, write: Callable[[], Any], read: Callable[[], Any], path: Path
) -> dict[str, Any]:
    """Size as a share of the plain array, seconds to write, milliseconds to read a patch."""
    began = perf_counter()
    write()
    wrote = perf_counter() - began
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    warm, cold = [], []
    for takes, forget in ((warm, False), (cold, True)):
        rng = np.random.default_rng(0)
        for _ in range(READS):
            start = [int(rng.integers(0, n - SIDE)) for n in whole.shape[1:]]
            if forget:
                forgotten(files)
            began = perf_counter()
            np.array(read()[(slice(None), *(slice(s, s + SIDE) for s in start))])
            takes.append(1000 * (perf_counter() - began))
    size = sum(file.stat().st_size for file in files)
    return {
        "form": name,
        "size": round(size / whole.nbytes, 3),
        "write_s": round(wrote, 3),
        "warm_ms": round(median(warm), 2),
        "cold_ms": round(median(cold), 2),
    }


def forgotten(files: list[Path]) -> None:
    """Ask the system to drop the files from its page cache."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.fdatasync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


if __name__ == "__main__":
    main()
