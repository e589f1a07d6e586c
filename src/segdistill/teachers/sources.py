"""Where trained teachers come from. To add a source: a part with `recognises` and `open`, and a row in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from segdistill.errors import SegdistillError
from segdistill.parts import build
from segdistill.teachers.files.exported_program import ExportedProgram
from segdistill.teachers.files.onnx_file import OnnxFile
from segdistill.teachers.files.torchscript import TorchScript
from segdistill.teachers.monai_bundle import MonaiBundle
from segdistill.teachers.nnunet import NnunetFolder
from segdistill.teachers.own_run import OwnRun
from segdistill.teachers.soft_predictions import SoftPredictions
from segdistill.teachers.source import Source


@dataclass(frozen=True)
class Row:
    """A source of teachers: the part, where its format is described, one line about it.

    A part has `recognises(path) -> bool`, which looks at names alone, and `open(path, trust=False)`, which gives a
    `Source`, or a module that sees what the student sees.
    """

    part: Any
    reference: str
    summary: str


SOURCES: dict[str, Row] = {
    "run": Row(OwnRun, "", "A run of segdistill, on whatever preprocessing it was trained"),
    "nnunet": Row(
        NnunetFolder,
        "Isensee et al., 2021, doi:10.1038/s41592-020-01008-z",
        "An nnU-Net v2 results folder: some folds or all, best or final checkpoint, its own preprocessing",
    ),
    "monai_bundle": Row(
        MonaiBundle, "docs.monai.io", "A MONAI bundle: its network, weights and transforms; needs --trust"
    ),
    "torchscript": Row(TorchScript, "pytorch.org", "A TorchScript file; its logits alone"),
    "exported_program": Row(ExportedProgram, "pytorch.org", "A torch.export program (.pt2); needs --trust"),
    "onnx": Row(OnnxFile, "onnx.ai", "An ONNX file, run by ONNX Runtime; its logits alone"),
    "soft_predictions": Row(
        SoftPredictions, "", "A folder of soft predictions: nnU-Net's .npz, NIfTI 4-D, .npy; of any tool"
    ),
}


def opened(
    path: str | Path, part: Mapping[str, Any] | None, place: str, *, trust: bool = False
) -> Source | nn.Module:
    """What lies at a path, opened.

    Args:
        part: `{type: ..., ...}`; None: found out.
        place: in the recipe, for messages.
        trust: let a file run code that it brings.

    Raises:
        SegdistillError: nothing there, nothing that is known, or what the source says; with the place.
    """
    path = Path(path)
    part = {"type": kind_of(path, place)} if part is None else part
    try:
        found: Source | nn.Module = build(SOURCES, part, f"{place}.source").open(path, trust=trust)
    except SegdistillError as error:
        raise SegdistillError(f"{place}: {error}") from error
    return found


def kind_of(path: Path, place: str) -> str:
    """The name of the first source that recognises a path.

    Raises:
        SegdistillError: none does.
    """
    if not path.exists():
        raise SegdistillError(f"{place}: {path}: no such file or folder")
    for name, row in SOURCES.items():
        if row.part.recognises(path):
            return name
    known = "; ".join(row.summary for row in SOURCES.values())
    raise SegdistillError(
        f"{place}: {path} is no teacher that is known here ({known}); say by `source: {{type: ...}}` what it is"
    )


def spread_out(patterns: list[str], place: str) -> list[Path]:
    """Paths and patterns such as runs/fold_? as paths, in the order of their names.

    Raises:
        SegdistillError: a pattern that fits nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        magic = any(letter in pattern for letter in "*?[") and not Path(pattern).exists()
        root = Path(Path(pattern).anchor or ".")
        here = sorted(root.glob(str(Path(pattern).relative_to(root)))) if magic else [Path(pattern)]
        if not here:
            raise SegdistillError(f"{place}: {pattern} fits no file or folder")
        found += here
    return found
