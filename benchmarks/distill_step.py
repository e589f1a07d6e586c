"""What a distillation step costs, as a ratio to the same step of the student alone, measured in one run.

    python benchmarks/distill_step.py [--json] [--quick] [--published] [--no-online] [--student NAME] [--patch N]

Three teachers (H-DenseFormer, Swin UNETR, UNETR) teach by the recipe `teach_former`: coarse and fine attention
similarity and pixel-wise KL. Each kind of step (alone, cached, online) is timed whole: loading of the batch, forward,
backward, optimizer. Kinds take turns in blocks of steps, so that whatever else the machine does falls on all of them.
Networks have random weights: it is their cost that is measured, not what they know.

Rows: student, patch; cached_over_alone and online_over_alone (median over the rounds of the ratio of the median steps),
their range, the share of time that a step waits for data, the bytes of cached logits over those of an image channel,
and the seconds of building the cache over those of one pass of the teachers, and for each million voxels of an image
and of one of twice the length. The images are small and lie in the page cache, as they do in most trainings.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import math
import platform
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table

from segdistill.data.phantom import make_phantom
from segdistill.distiller import Distiller
from segdistill.evaluation.sliding_window import predict_logits
from segdistill.model import build_network
from segdistill.recipe import Recipe
from segdistill.run import machine
from segdistill.teachers.cache.entry import Entry
from segdistill.teachers.teacher import Teacher
from segdistill.training.assemble import joined, student_of
from segdistill.training.batches import batches
from segdistill.training.knowledge import knowledge_of
from segdistill.training.loop import one_step, optimizers_of
from segdistill.training.memory import keep_freed_memory
from segdistill.training.prepare import Prepared, prepare
from segdistill.training.recordable import recordable

STUDENTS: dict[str, dict[str, Any]] = {
    "h_denseformer 8": {"type": "h_denseformer", "filters": 8},
    "unet 16 32 64 128": {"type": "unet", "channels": [16, 32, 64, 128]},
}
LIGHT: dict[str, dict[str, Any]] = {
    "h_denseformer": {"type": "h_denseformer", "filters": 16},
    "swin_unetr": {"type": "swin_unetr", "feature_size": 12, "window": 4, "unused_stage": False},
    "unetr": {"type": "unetr", "hidden_size": 384, "mlp_size": 1536, "heads": 6},
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "h_denseformer": {"preset": "t1"},
    "swin_unetr": {"preset": "t2"},
    "unetr": {"preset": "t3"},
}
# The coarse stage of the U-Net is its deepest, at a stride of 8.
COARSE = {"h_denseformer 8": "encoder/16", "unet 16 32 64 128": "encoder/8"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print JSON for a program to read")
    parser.add_argument(
        "--quick", action="store_true", help="64^3 alone, few steps: minutes less, and less exact"
    )
    parser.add_argument(
        "--published", action="store_true", help="teachers of their published sizes (an hour on 2 cores)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    parser.add_argument("--no-online", action="store_true", help="leave out steps in which teachers run")
    parser.add_argument("--student", choices=[*STUDENTS], default=None, help="this one alone")
    parser.add_argument(
        "--patch", type=int, choices=(64, 96), default=None, help="patches of this side alone"
    )
    parser.add_argument(
        "--steps", type=int, default=None, help="steps of a block (default 3; 2 with --quick)"
    )
    parser.add_argument(
        "--rounds", type=int, default=None, help="rounds of blocks (default 9; 5 with --quick)"
    )
    asked = parser.parse_args()
    keep_freed_memory()  # as training does
    steps, rounds = asked.steps or (2 if asked.quick else 3), asked.rounds or (5 if asked.quick else 9)
    told = Console(stderr=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sides = (asked.patch,) if asked.patch else (64,) if asked.quick else (64, 96)
        students = {name: part for name, part in STUDENTS.items() if asked.student in (None, name)}
        for side in sides:
            data = images(Path(folder) / f"phantom{side}", side, asked.seed)
            for number, (name, student) in enumerate(students.items()):
                told.print(f"{name}, {side}^3 ...", highlight=False)
                rows.append(
                    measured(
                        name,
                        student,
                        side,
                        data,
                        PUBLISHED if asked.published else LIGHT,
                        steps,
                        rounds,
                        asked.seed,
                        online=not asked.no_online,
                        costs=not number,
                    )
                )
    result = {
        "benchmark": "distill_step",
        "date": date.today().isoformat(),
        "machine": machine() | {"threads": torch.get_num_threads(), "platform": platform.platform()},
        "teachers": PUBLISHED if asked.published else LIGHT,
        "batch_size": 2,
        "seed": asked.seed,
        "steps": steps,
        "rounds": rounds,
        "rows": rows,
    }
    if asked.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(
        title="a distillation step of teach_former with three teachers, over a step of the student alone"
    )
    for column in (
        "student",
        "patch",
        "cached / alone",
        "online / alone",
        "waits for data",
        "logits / image",
        "build / pass",
    ):
        table.add_column(column, justify="left" if column == "student" else "right")
    for row in rows:
        low, high = row["cached_range"]
        table.add_row(
            row["student"], f"{row['patch'][0]}^3", f"{row['cached_over_alone']:.3f} ({low:.3f} to {high:.3f})",
            f"{row['online_over_alone'] or math.nan:.2f}", f"{row['waiting_share']:.1%}",
            f"{row['logits_bytes_over_image_channel']:.2f}",
            "as above" if "build_over_pass" not in row else f"{row['build_over_pass']:.2f}",
        )  # fmt: skip
    Console().print(table)


def images(path: Path, side: int, seed: int) -> Path:
    """Synthetic patients of PET, CT and MR, a little larger than a patch."""
    return make_phantom(path, patients=3, size=(side + 16, side + 8, side), difficulty=0.5, seed=seed)


def measured(
    name: str,
    student: Mapping[str, Any],
    side: int,
    data: Path,
    teachers: Mapping[str, Mapping[str, Any]],
    steps: int,
    rounds: int,
    seed: int,
    *,
    online: bool,
    costs: bool,
) -> dict[str, Any]:
    """One row of the result."""
    recipe = Recipe.load(
        "teach_former",
        data={
            "path": str(data),
            "store": str(data.parent / "store"),
            "patch_size": [side] * 3,
            "batch_size": 2,
            "spacing": None,
            "augmentation": {"affine": 0.0},
            "splits": {"folds": 3, "test": 0.0},  # two to train on
        },
        student=dict(student),
        teachers={each: {"run": each} for each in teachers},
        terms={"coarse": {"student": COARSE[name]}},
        knowledge={"type": "cached"},
        train={"seed": seed},
    )
    prepared = prepare(recipe)
    network = student_of(prepared)
    torch.manual_seed(seed)
    asked = {
        each: Teacher(build_network(part, prepared.facts, each)).freeze() for each, part in teachers.items()
    }
    pass_over = build_costs(prepared, network, asked) if costs else {}
    knowledge = knowledge_of(prepared, network, asked, shown=False)
    kinds = {
        "alone": (joined_alone(prepared), {}),
        "cached": (joined(prepared, student_of(prepared), knowledge.teachers), knowledge.entries),
        "online": (joined(prepared, student_of(prepared), asked), {}),
    }
    takes: dict[str, list[float]] = {kind: [] for kind in kinds}
    waits: list[float] = []
    for number in range(rounds):
        for kind, (distiller, entries) in kinds.items():
            if kind == "online" and (number > 1 or not online):
                continue  # by far the slowest, and no bound hangs on it
            took, waited = block(prepared, distiller, entries, 2 if kind == "online" else steps)
            takes[kind].append(took)
            if kind == "cached":
                waits.append(waited)
    ratios = [cached / alone for cached, alone in zip(takes["cached"], takes["alone"], strict=True)]
    slow = [online / alone for online, alone in zip(takes["online"], takes["alone"], strict=False)]
    logits = np.load(
        next(iter(knowledge.entries.values())).folder(prepared.splits.train[0]) / "logits.npy", mmap_mode="r"
    )
    image = prepared.store.case(prepared.splits.train[0]).image
    return {
        "student": name,
        "patch": [side] * 3,
        "cached_over_alone": round(median(ratios), 4),
        "online_over_alone": round(median(slow), 3) if slow else None,
        "cached_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "alone_seconds": round(median(takes["alone"]), 3),
        "cached_seconds": round(median(takes["cached"]), 3),
        "online_seconds": round(median(takes["online"]), 3) if slow else None,
        "waiting_share": round(median(waits), 4),
        "logits_bytes_over_image_channel": round(logits.nbytes / image[0].nbytes, 4),
        **pass_over,
    }


def joined_alone(data: Prepared) -> Distiller:
    """The student without teachers and terms."""
    recipe = data.recipe.model_copy(deep=True, update={"terms": {}, "teachers": {}})
    alone = replace(data, recipe=recipe)
    return joined(alone, student_of(alone), {})


def block(
    data: Prepared, distiller: Distiller, entries: Mapping[str, Entry], steps: int
) -> tuple[float, float]:
    """Seconds of a step, loading included (the median of some, after one to warm up), and the share spent waiting."""
    fabric = Fabric(accelerator="cpu", devices=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, _ = optimizers_of(data.recipe, distiller)
        model, *optimizers = fabric.setup(distiller, *made.values())
    stream = Timed(
        batches(
            data.patches(entries),
            batch=2,
            parts=1,
            rank=0,
            devices=1,
            first_step=0,
            steps=steps + 1,
            workers=1,
        )
    )
    model.train()
    takes, waits = [], []
    for step in range(steps + 1):
        stream.waited = 0.0
        began = perf_counter()
        one_step(fabric, model, dict(zip(made, optimizers, strict=True)), stream, step, 0, data.recipe)
        takes.append(perf_counter() - began)
        waits.append(stream.waited)
    return median(takes[1:]), sum(waits[1:]) / sum(takes[1:])


class Timed:
    """An iterator that knows how long it was waited for."""

    def __init__(self, stream: Iterator[Any]) -> None:
        self.stream, self.waited = stream, 0.0

    def __iter__(self) -> Timed:
        return self

    def __next__(self) -> Any:
        began = perf_counter()
        try:
            return next(self.stream)
        finally:
            self.waited += perf_counter() - began


def build_costs(data: Prepared, student: torch.nn.Module, teachers: Mapping[str, Teacher]) -> dict[str, Any]:
    """Seconds of building the cache over those of one pass of the teachers for their logits alone, with equal windows;
    and for each million voxels, for an image and for one of twice the length.
    """
    own = np.array(data.store.case(data.splits.train[0]).image)
    passes, builds, voxels = [0.0, 0.0], [0.0, 0.0], [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        for name, teacher in teachers.items():
            found = recordable(name, data, student, teacher, "cpu")
            for number, image in enumerate((own, np.concatenate([own, own], axis=1))):
                one = SimpleNamespace(case=lambda _, image=image: SimpleNamespace(image=image))
                ask = replace(found.ask, store=one)
                entry = Entry.at(Path(folder) / str(number), name, found.spec).begin(name, "benchmark")
                took = {}
                for kind in ("pass", "build"):
                    began = perf_counter()
                    if kind == "pass":
                        predict_logits(teacher.module, image, data.facts.image_size)
                    else:
                        entry.add(
                            f"case {len(took)}", {stage: np.asarray(each) for stage, each in ask("").items()}
                        )
                    took[kind] = min(took.get(kind, math.inf), perf_counter() - began)
                passes[number] += took["pass"]
                builds[number] += took["build"]
                voxels[number] = int(np.prod(image.shape[1:]))
    once, twice = (seconds / count * 1e6 for seconds, count in zip(builds, voxels, strict=True))
    return {
        "build_over_pass": round(sum(builds) / sum(passes), 4),
        "build_seconds_per_megavoxel": [round(once, 2), round(twice, 2)],
    }


if __name__ == "__main__":
    main()
