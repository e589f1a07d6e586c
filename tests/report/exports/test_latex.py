"""The table is LaTeX whatever the names are: a small reader checks it, and pdflatex where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segdistill.report.evidence import Evidence
from segdistill.report.exports import latex
from segdistill.report.exports.latex_text import escaped
from segdistill.report.gather import gather

KNOWN = {
    *(
        "begin",
        "end",
        "centering",
        "caption",
        "label",
        "smallskip",
        "resizebox",
        "textwidth",
        "toprule",
        "midrule",
    ),
    *("bottomrule", "multicolumn", "emph", "mathbf", "pm", "uparrow", "downarrow", "Delta", "times"),
    *("textsuperscript", "textdagger", "textdaggerdbl"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
}
EVIL = r"50% of $x_1^2$ & {more} \input{secret} # ~ <b> | " + '"quoted"'
PACKAGES = r"\usepackage{booktabs}\usepackage{graphicx}"
DOCUMENT = rf"\documentclass{{article}}{PACKAGES}\begin{{document}}\input{{table}}\end{{document}}"


def check(text: str) -> None:
    """Raise where LaTeX would stumble: braces, dollars, environments, unknown commands, special characters."""
    text = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    text = text.replace("{%\n", "{\n")
    commands = re.findall(r"\\([A-Za-z]+)", text.replace("\\\\", ""))
    assert set(commands) <= KNOWN, set(commands) - KNOWN
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(.*?)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    rest = re.sub(r"\\[A-Za-z]+|\\.", "", text.replace("\\\\", ""), flags=re.DOTALL)
    assert not set("#~%") & set(rest)
    depth, maths = 0, False
    for character in rest:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
        if character == "$":
            maths = not maths
        assert maths or character not in "^_"
        assert character.isascii() or not maths
    assert depth == 0 and not maths


def cells(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} &")]
    return [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]


def test_the_table_is_latex(evidence: Evidence) -> None:
    text = latex.render(evidence)
    check(text)
    assert r"\usepackage{booktabs}" in text.splitlines()[0]
    for line in text.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == latex.COLUMNS - 1, line
    assert f"l{'r' * (latex.COLUMNS - 1)}@" in text


def test_its_figures(evidence: Evidence) -> None:
    text = latex.render(evidence)
    alone, distilled = cells(text, "S1: unet"), cells(text, r"S1: unet, teach\_former")
    model = evidence.of("alone")[0]
    mean, spread = 100 * model.mean("dice", evidence.cases), 100 * (model.spread("dice", evidence.cases) or 0)
    assert alone[1:4] == ["$0.15$", "$2.00$", rf"${mean:.1f} \pm {spread:.1f}$"]
    assert distilled[3].startswith(r"$\mathbf{") and alone[-2:] == ["--", "--"]
    assert re.fullmatch(r"\$\+[\d.]+\$ \[\$\+[\d.]+\$, \$\+[\d.]+\$\]", distilled[-2]), distilled[-2]
    assert distilled[-1] == "$<0.001$"
    teacher = cells(text, r"T1: h\_denseformer")
    assert "mathbf" not in " ".join(teacher) and r"\pm" not in " ".join(teacher)
    assert cells(text, "All background")[3] == "$0.0$"
    assert "8 test cases" in text and "tolerance 2 mm" in text and "over 3 seeds" in text


def test_the_lower_is_the_better_distance(evidence: Evidence) -> None:
    text = latex.render(evidence)
    column = 1 + len(latex.SIZES) + list(latex.METRICS).index("hd95")
    values = [cells(text, name)[column] for name in ("S1: unet", r"S1: unet, teach\_former")]
    numbers = [float(re.findall(r"[\d.]+", value)[0]) for value in values]
    assert [("mathbf" in value) for value in values] == [number == min(numbers) for number in numbers]


def test_figures_that_are_no_evidence_are_marked(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    cases = list(scores(0.7))
    teacher = make_run(
        tmp_path / "t", kind="alone", network="big", scores=scores(0.9),
        splits={"train": cases, "validation": [], "test": []},
    )  # fmt: skip
    runs = [
        make_run(tmp_path / "a", kind="alone", network="unet", scores=scores(0.6)),
        make_run(
            tmp_path / "s", kind="distilled", network="unet", scores=scores(0.8), method="hinton",
            teachers={"t": str(teacher)},
        ),
    ]  # fmt: skip
    text = latex.render(gather(runs))
    check(text)
    student = cells(text, "S1: unet, hinton")
    assert r"\textdagger" in student[3] and "mathbf" not in student[3] and student[-1] == "--"
    assert "% Beware, the report warns: " in text and "no evidence" in text


def test_names_mean_nothing_to_latex(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    runs = [
        make_run(tmp_path / "a", kind="alone", network=EVIL, scores=scores(0.6), dataset=EVIL),
        make_run(
            tmp_path / "b", kind="distilled", network=EVIL, scores=scores(0.7), method="m_1", dataset=EVIL
        ),
    ]
    text = latex.render(gather(runs))
    check(text)
    assert r"\input" not in text and r"50\% of \$x\_1" in text


@pytest.mark.parametrize(
    ("short", "told"),
    [
        ("S1 kd (a-unetr)", "S1: unet, kd (a-unetr)"),
        ("S1 (wide)", "S1: unet, wide"),
        ("S1 kd", "S1: unet, kd"),
        ("S1", "S1: unet"),
    ],
)
def test_parentheses_of_a_name_stay_in_pairs(evidence: Evidence, short: str, told: str) -> None:
    assert latex._name(replace(evidence.of("distilled")[0], short=short)) == told


@given(st.text())
def test_any_text_can_be_escaped(text: str) -> None:
    found = escaped(text)
    check(found)
    assert "\n" not in found and all(character <= "\u017f" for character in found)


@pytest.mark.parametrize(
    ("text", "latex"),
    [("a_b", r"a\_b"), ("ü − 1", "ü $-$ 1"), ("五", "?"), ("ﬁ", "fi"), ("a\x00b\n c", "ab c")],
)
def test_escaped(text: str, latex: str) -> None:
    assert escaped(text) == latex


def compiler() -> list[str] | None:
    if shutil.which("pdflatex"):
        return ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "document.tex"]
    return ["tectonic", "document.tex"] if shutil.which("tectonic") else None


@pytest.mark.skipif(compiler() is None, reason="neither pdflatex nor tectonic is installed")
def test_it_compiles(make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path) -> None:
    name = "Müller " + EVIL
    runs = [
        make_run(tmp_path / "a", kind="alone", network=name, scores=scores(0.6), dataset=name),
        make_run(
            tmp_path / "b", kind="distilled", network=name, scores=scores(0.7), method="hinton", dataset=name
        ),
    ]
    about = json.loads((runs[1] / "run.json").read_text())
    (runs[1] / "run.json").write_text(json.dumps(about | {"status": "failed"}))
    (tmp_path / "table.tex").write_text(latex.render(gather(runs)), encoding="utf-8")
    (tmp_path / "document.tex").write_text(DOCUMENT)
    done = subprocess.run(compiler() or [], cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "document.pdf").stat().st_size > 1000
