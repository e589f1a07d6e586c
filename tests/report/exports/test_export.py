"""What is written, what is never written over, and what leaves the house."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.report.evidence import Evidence
from segdistill.report.exports import FORMATS, chosen, export
from segdistill.report.gather import gather

FILES = {"models.csv", "cases.csv", "table.tex", "evidence.json", "MODEL_CARD.md"}
UNDEFINED = re.compile(r"(?<![A-Za-z])(nan|inf|infinity)(?![A-Za-z])", re.IGNORECASE)


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_every_format_writes_its_files(evidence: Evidence, tmp_path: Path) -> None:
    paths = export(evidence, tmp_path / "deep" / "out")
    assert {path.name for path in paths} == set(texts(tmp_path / "deep" / "out")) == FILES
    assert {file for one in FORMATS.values() for file in one.files} == FILES
    assert all(path.read_text(encoding="utf-8").endswith("\n") for path in paths)


@pytest.mark.parametrize("name", FORMATS)
def test_one_format_alone(name: str, evidence: Evidence, tmp_path: Path) -> None:
    export(evidence, tmp_path / "out", [name])
    assert set(texts(tmp_path / "out")) == set(FORMATS[name].files)


def test_nothing_is_written_over(evidence: Evidence, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "table.tex").write_text("mine")
    with pytest.raises(SegdistillError, match=r"table\.tex already.*--overwrite"):
        export(evidence, out)
    assert texts(out) == {"table.tex": "mine"}
    export(evidence, out, ["csv"])  # nothing of it was there
    export(evidence, out, overwrite=True)
    assert texts(out)["table.tex"] != "mine"


def test_a_file_where_the_folder_should_be(evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SegdistillError, match="is a file"):
        export(evidence, tmp_path / "out")


@pytest.mark.parametrize(
    ("formats", "said"), [("csv,exel", "exel.*did you mean|'exel' is unknown"), (" , ", "names no format")]
)
def test_formats_that_are_none(formats: str, said: str) -> None:
    with pytest.raises(SegdistillError, match=said):
        chosen(formats)


def test_formats_are_named_with_commas() -> None:
    assert chosen("latex, csv,latex") == ("latex", "csv")


def test_a_card_without_a_student_leaves_nothing_behind(
    make_run: Callable[..., Path], scores: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", kind="alone", network="unet", scores=scores(0.7))
    with pytest.raises(SegdistillError, match="distilled student"):
        export(gather([run]), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(export(gather([run]), tmp_path / "out", ["csv", "latex", "json"])) == 4


@pytest.mark.parametrize("anonymous", [False, True])
def test_no_file_says_where_anything_lies(telling: list[Path], anonymous: bool, tmp_path: Path) -> None:
    export(gather(telling), tmp_path / "out", anonymous=anonymous)
    for name, text in texts(tmp_path / "out").items():
        for place in ("anna", "scratch", "secret", "hospital.example", str(tmp_path), "/tmp"):
            assert place not in text, f"{name} says {place}"


def test_anonymous_files_name_no_case(telling: list[Path], tmp_path: Path) -> None:
    export(gather(telling), tmp_path / "named")
    export(gather(telling), tmp_path / "out", anonymous=True)
    named, numbered = texts(tmp_path / "named"), texts(tmp_path / "out")
    assert "case_08" in named["cases.csv"] and "case_08" in named["evidence.json"]
    assert not [name for name, text in numbered.items() if re.search(r"case_\d\d", text)]
    assert "case 09" in numbered["cases.csv"]  # the ninth of the names in their order
    # In other respects they are the same, and these two never name cases.
    assert named["cases.csv"].count("case_08") == numbered["cases.csv"].count("case 09")
    assert named["MODEL_CARD.md"] == numbered["MODEL_CARD.md"] and "case 1" in named["MODEL_CARD.md"]
    assert named["table.tex"] == numbered["table.tex"]
    assert named["models.csv"] == numbered["models.csv"]


def test_leaking_cases_are_not_named_either(
    make_run: Callable[..., Path], scores: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    learnt = {"splits": {"train": ["case_08", "case_09"], "validation": [], "test": ["case_10"]}}
    teacher = make_run(tmp_path / "teacher", kind="alone", network="big", scores=scores(0.8), **learnt)
    student = make_run(
        tmp_path / "student", kind="distilled", network="unet", scores=scores(0.7), method="hinton",
        teachers={"t": str(teacher)}, terms=("response",),
    )  # fmt: skip
    export(gather([student, teacher]), tmp_path / "out", anonymous=True)
    assert "left out (case 09, case 10)" in texts(tmp_path / "out")["MODEL_CARD.md"]
    assert not [name for name, text in texts(tmp_path / "out").items() if re.search(r"case_\d\d", text)]


def test_undefined_is_never_a_number(
    make_run: Callable[..., Path], scores: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    values = scores(0.7)
    values["case_08"] = {"anterior": None, "posterior": None}  # type: ignore[assignment]
    run = make_run(tmp_path / "run", kind="distilled", network="unet", scores=values, method="hinton")
    (run / "cost.json").unlink()
    export(gather([run]), tmp_path / "out")
    for name, text in texts(tmp_path / "out").items():
        assert not UNDEFINED.search(text), name


def test_no_warning_names_a_case(
    make_run: Callable[..., Path], scores: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Every warning that may name a case does: the card never, and with numbers no file says one of the names."""
    everyone = tuple(f"JaneDoe_19{year}" for year in range(10, 28))
    absent, empty, chose, learnt, alone_only, *tested = everyone[:12]
    training = list(everyone[12:])

    def run(name: str, value: float, nothing: float | None, cases: Sequence[str], **more: Any) -> str:
        found = scores(value, (*cases,))
        found[absent]["anterior"] = nothing
        found[empty] = dict.fromkeys(found[empty])
        splits = {"train": training, "validation": [], "test": list(cases)} | more.pop("splits", {})
        return str(make_run(tmp_path / name, scores=found, splits=splits, **more))

    shared = [absent, empty, chose, learnt, *tested]
    taught = {"train": [*training, learnt], "validation": [chose]}
    teacher = run("teacher", 0.8, None, shared, kind="alone", network="big", splits=taught)
    runs = [
        teacher,
        run("alone", 0.7, 0.0, [*shared, alone_only], kind="alone", network="unet"),
        run("hinton", 0.75, None, shared, kind="distilled", network="unet", method="hinton",
            teachers={"t": teacher}, terms=("kl",)),
        run("foreign", 0.75, None, shared, kind="distilled", network="unet", method="fitnets",
            teachers={"other": "nowhere"}, terms=("kl",), more={"taught_on": {"other": [tested[0]]}}),
        run("strange", 0.7, None, shared, kind="alone", network="small", splits={"test": tested}),
    ]  # fmt: skip
    named, out = tmp_path / "named", tmp_path / "out"
    export(gather([Path(one) for one in runs]), named)
    warnings = json.loads((named / "evidence.json").read_text())["warnings"]
    assert {one["title"] for one in warnings if "JaneDoe" in one["text"]} == {
        "Absent structures", "Empty cases", "Leak", "Scores of other cases", "Selected on scored cases",
        "Unequal case lists",
    }  # fmt: skip
    assert "JaneDoe" not in texts(named)["MODEL_CARD.md"]
    export(gather([Path(one) for one in runs]), out, anonymous=True)
    assert not [name for name, text in texts(out).items() if "JaneDoe" in text]
