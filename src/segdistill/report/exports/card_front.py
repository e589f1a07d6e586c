"""The front of a model card: YAML that the Hugging Face Hub reads, with the figures as a model index."""

from __future__ import annotations

import re
from typing import Any

import yaml

from segdistill.report.evidence import Evidence, Model
from segdistill.report.exports.figure import figure, metrics
from segdistill.report.run_folder import RunRecord

TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95 (mm)",
    "assd": "ASSD (mm)",
    "nsd": "NSD",
}
"""The figures that say better or worse; a relative volume difference of 0 may be two errors that cancel."""
LICENCE = "to-be-filled-in"


def front(student: Model, evidence: Evidence) -> str:
    """The YAML between its two lines of dashes.

    The licence is `other` and its name says that it is to be filled in: what the weights may be used for is not this
    program's to say.
    """
    return f"---\n{yaml.safe_dump(_content(student, evidence), sort_keys=False, allow_unicode=True, width=110)}---\n"


def title(run: RunRecord) -> str:
    """What the model is called: "unet distilled by hinton on Task04_Hippocampus"."""
    return f"{run.network} distilled by {run.method}" + (f" on {run.dataset}" if run.dataset else "")


def _content(student: Model, evidence: Evidence) -> dict[str, Any]:
    run = student.run
    tags = [
        "segmentation",
        "medical-imaging",
        "knowledge-distillation",
        "segdistill",
        run.network,
        run.method,
    ]
    found = {metric: figure(student, evidence, metric) for metric in metrics(evidence) if metric in TITLES}
    values = [
        {
            "type": metric,
            "name": f"{TITLES[metric]}, mean over {one.n} {evidence.noun}s",
            "value": round(one.mean, 4),
            **({"args": {"tolerance_mm": run.tolerance}} if metric == "nsd" and run.tolerance else {}),
        }
        for metric, one in found.items()
        if one.mean is not None
    ]
    data = {"type": slug(run.dataset or "not named"), "name": run.dataset or "not named"}
    data |= {"split": run.split} if run.split else {}
    task = {"type": "image-segmentation", "name": "Segmentation of medical images"}
    return {
        "license": "other",
        "license_name": LICENCE,
        "library_name": "segdistill",
        "pipeline_tag": "image-segmentation",
        "tags": list(dict.fromkeys(map(slug, tags))),
        "metrics": [value["type"] for value in values],
        "model-index": [
            {"name": title(run), "results": [{"task": task, "dataset": data, "metrics": values}]}
        ],
    }


def slug(text: str) -> str:
    """Text as the Hub writes names: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "none"
