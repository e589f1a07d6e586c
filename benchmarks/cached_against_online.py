"""How the answers of a cached teacher differ from its answers in every step, patch by patch.

    python benchmarks/cached_against_online.py RUN [--patches 64] [--json]

RUN is a finished run on real images. A cached answer is the whole image's, from overlapping windows, cut and flipped
with the patch; an answer in every step is the patch's alone, with intensities changed by the augmentation. For the
stages and the logits it tells the cosine of the two, once as training sees them and once without any augmentation
(which leaves what a patch's border does), the difference of probabilities, and the loss that each gives a student of
random weights.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from torch.utils.data import default_collate

from segdistill.align import resize
from segdistill.distiller import Distiller
from segdistill.recipe import Recipe
from segdistill.run import Run, machine
from segdistill.teachers.teacher import Teacher
from segdistill.training.assemble import joined, student_of
from segdistill.training.knowledge import knowledge_of
from segdistill.training.prepare import Prepared, prepare
from segdistill.training.teachers import teachers_of

STAGES = ("encoder/deepest", "decoder/1")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("--patches", type=int, default=64, help="patches to look at (default 64)")
    parser.add_argument("--json", action="store_true", help="print JSON for a program to read")
    asked = parser.parse_args()
    rows = {
        "as in training": compared(asked.run, asked.patches, {"affine": 0.0}),
        "without augmentation": compared(asked.run, asked.patches, None),
    }
    result = {
        "benchmark": "cached_against_online",
        "date": date.today().isoformat(),
        "machine": machine(),
        "run": Run.open(asked.run).recipe.data.path.rpartition("/")[2],
        "patches": asked.patches,
        "seed": 0,
        "rows": rows,
    }
    if asked.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(title="cached against online, mean over the patches")
    for column in ("", *next(iter(rows.values()))):
        table.add_column(column)
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    Console().print(table)


def compared(path: str, patches: int, augmentation: Mapping[str, Any] | None) -> dict[str, float]:
    """Means over some patches of a run's training cases."""
    own = Run.open(path).recipe
    data = own.data.model_dump(mode="json") | {"augmentation": augmentation, "batch_size": 1}
    recipe = Recipe.load(
        "hinton",
        data=data,
        student={"type": "unet", "channels": [8, 16, 32]},
        teachers={"teacher": {"run": path}},
        terms={
            "features": {
                "loss": "mse",
                "pairs": [["decoder/1", stage] for stage in STAGES],
                "projector": "convolution",
            }
        },
        knowledge="cached",
    )
    prepared = prepare(recipe)
    student = student_of(prepared)
    online = teachers_of(prepared, student)
    knowledge = knowledge_of(prepared, student, online)
    judge = joined_for_losses(prepared, online)
    samples = prepared.patches(knowledge.entries)
    found: dict[str, list[float]] = {}
    for number in range(patches):
        batch = default_collate([samples[number]])
        said = online["teacher"].knowledge(batch["image"], STAGES)
        recorded = samples.told([number])["teacher"]
        told = {name: torch.from_numpy(each).float() for name, each in recorded.items()}
        inside = batch["inside"].float()
        for name in (*STAGES, "logits"):
            found.setdefault(f"cosine {name}", []).append(cosine(said[name], told[name], inside))
        p, q = (maps["logits"].softmax(1) for maps in (said, told))
        away = (p - q).abs().mean(1, keepdim=True)
        found.setdefault("mean |p - q|", []).append(float((away * inside).sum() / inside.sum()))
        same = (p.argmax(1) == q.argmax(1)).float() * inside[:, 0]
        found.setdefault("same class", []).append(float(same.sum() / inside.sum()))
        for kind, maps in (("online", said), ("cached", told)):
            found.setdefault(f"loss {kind}", []).append(loss(judge, batch, maps))
    return {name: round(sum(values) / len(values), 6) for name, values in found.items()}


def joined_for_losses(data: Prepared, teachers: Mapping[str, Teacher]) -> Distiller:
    """A student of random weights beside the teacher, with the response term alone."""
    recipe = data.recipe.model_copy(deep=True)
    recipe.terms.pop("features")
    slim = Prepared(**{**vars(data), "recipe": recipe})
    sizes = {"logits": (data.facts.out_channels, (1,) * data.facts.spatial_dims)}
    told = {name: Teacher(None, recorded=sizes) for name in teachers}
    return joined(slim, student_of(slim), told)


@torch.no_grad()
def loss(judge: Distiller, batch: Mapping[str, Tensor], maps: Mapping[str, Tensor]) -> float:
    """The response loss of a student of random weights, taught by these logits."""
    judge.student.eval()
    said = {"teacher": {"logits": maps["logits"]}}
    return float(judge(batch["image"], batch["label"], told=said, inside=batch["inside"])["response"])


def cosine(a: Tensor, b: Tensor, inside: Tensor) -> float:
    """Of the vectors of channels, mean over the voxels that lie in the image."""
    weight = resize(inside, a.shape[2:])
    return float((functional.cosine_similarity(a, b, dim=1)[:, None] * weight).sum() / weight.sum())


if __name__ == "__main__":
    main()
