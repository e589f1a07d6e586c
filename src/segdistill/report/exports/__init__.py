"""Evidence for other hands: tables for a spreadsheet, a paper and a program, and a card for the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segdistill.atomic import write_text
from segdistill.errors import SegdistillError
from segdistill.parts import unknown
from segdistill.report.evidence import Evidence
from segdistill.report.exports import evidence_json, latex, model_card, table_csv
from segdistill.report.exports.sharing import numbered, without_places

__all__ = ["FORMATS", "Format", "chosen", "export", "must_be_free"]

Text = Callable[[Evidence, bool], str]


@dataclass(frozen=True)
class Format:
    """What a format writes: a text for each file, from the evidence and whether its cases have numbers for names."""

    files: Mapping[str, Text]
    summary: str
    student_only: bool = False  # there is nothing to write without a distilled student that was scored


FORMATS: Mapping[str, Format] = {
    "csv": Format(
        {
            "models.csv": lambda evidence, _: table_csv.models(evidence),
            "cases.csv": lambda evidence, _: table_csv.cases(evidence),
        },
        "two tables: a row a model; a row a run, case and class",
    ),
    "latex": Format(
        {"table.tex": lambda evidence, _: latex.render(evidence)},
        "a booktabs table for a paper",
    ),
    "json": Format({"evidence.json": evidence_json.render}, "everything, for programs; it has a JSON Schema"),
    "card": Format(
        {"MODEL_CARD.md": lambda evidence, _: model_card.render(evidence)},
        "a card for the best distilled student, as model hubs expect it",
        student_only=True,
    ),
}


def chosen(formats: str) -> tuple[str, ...]:
    """The formats that a list with commas names, each once.

    Raises:
        SegdistillError: there is no such format.
    """
    names = dict.fromkeys(name.strip() for name in formats.split(",") if name.strip())
    for name in names:
        if name not in FORMATS:
            raise SegdistillError(f"--format: {unknown(name, FORMATS)}")
    if not names:
        raise SegdistillError(f"--format names no format (choices: {', '.join(FORMATS)})")
    return tuple(names)


def must_be_free(folder: Path, formats: Sequence[str]) -> None:
    """Raise where a file of these formats is in the folder already, or the folder cannot be one.

    Raises:
        SegdistillError: so, and which.
    """
    if folder.exists() and not folder.is_dir():
        raise SegdistillError(f"{folder} is a file, not a folder; choose another one to export to")
    there = [file for name in formats for file in FORMATS[name].files if (folder / file).exists()]
    if there:
        raise SegdistillError(
            f"{folder} has {', '.join(there)} already: --overwrite replaces them, or choose another folder"
        )


def export(
    evidence: Evidence,
    folder: Path,
    formats: Sequence[str] = tuple(FORMATS),
    *,
    anonymous: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write the evidence into a folder, made where it does not exist. No file says where anything lies.

    All texts are made before the first file is written, and each file is written whole.

    Args:
        anonymous: put numbers in place of the names of cases, the same in all files. The card never names any.
        overwrite: replace files of an earlier export.

    Raises:
        SegdistillError: a file is there already, an unknown format, a card is wanted and there is no distilled
            student, or the folder cannot be written.
    """
    formats = chosen(",".join(formats))
    folder = Path(folder)
    if not overwrite:
        must_be_free(folder, formats)
    shared = without_places(numbered(evidence) if anonymous else evidence)
    texts = {file: make(shared, anonymous) for name in formats for file, make in FORMATS[name].files.items()}
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in texts]
