"""report.html and report.md as a reader gets them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from segdistill.errors import SegdistillError
from segdistill.report import build
from segdistill.report.figures.style import OPEN, VERMILION
from segdistill.report.markdown import plain
from segdistill.report.shown import Shown

EVIL = "<script>alert('1')</script>&amp;|`$x$` \"quoted\""
EMPTY = {"meta", "img", "path", "use", "br", "link", "input", "rect", "circle"}


class Outline(HTMLParser):
    """Tags in balance, scripts, addresses and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.scripts: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in EMPTY:
            self.stack.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]
        assert not [name for name, _ in attributes if name.startswith("on")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.stack and self.stack[-1] == "script" else self.text).append(data)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A report on runs whose names, cases and commands try to be HTML."""
    from importlib import util

    spec = util.spec_from_file_location("made_runs", Path(__file__).with_name("conftest.py"))
    assert spec is not None and spec.loader is not None
    made = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    root = tmp_path_factory.mktemp("study")
    runs = made.write_study(root, seeds=2)
    for run in runs:
        for name in ("metrics.json", "splits.json"):
            text = (run / name).read_text()
            (run / name).write_text(text.replace('"case_09"', json.dumps(EVIL)))
        about = json.loads((run / "run.json").read_text())
        about |= {"command": f"segdistill train '{EVIL}'", "machine": {"processor": EVIL}}
        (run / "run.json").write_text(json.dumps(about))
    return build(runs, root / "report").page


def test_the_page_is_well_formed_and_needs_no_network(built: Path) -> None:
    outline = Outline(built.read_text(encoding="utf-8"))
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in outline.addresses)
    assert sum(address.startswith("data:") for address in outline.addresses) == 3  # the overlays
    assert not re.search(r"https?://(?!www\.w3\.org/)", built.read_text(encoding="utf-8"))


def test_what_files_say_is_shown_and_never_run(built: Path) -> None:
    html = built.read_text(encoding="utf-8")
    outline = Outline(html)
    assert len(outline.scripts) == 1 and "alert" not in outline.scripts[0]
    text = " ".join(outline.text)
    assert text.count(EVIL) >= 3  # a case, a command, a machine
    digest = base64.b64encode(hashlib.sha256(outline.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html  # no other script is allowed


def test_the_verdict_stands_before_everything_else(built: Path) -> None:
    html = built.read_text(encoding="utf-8")
    assert html.index("gains") < html.index('id="warnings"') < html.index('id="results"')


def test_the_same_runs_give_the_same_files_and_replace_those_before(
    make_study: Callable[..., list[Path]], tmp_path: Path
) -> None:
    study = make_study(tmp_path, seeds=1)
    names = ("report.html", "report.md", "figures/dice-against-size.svg")
    out = study[-1]  # the command's default: inside a run
    report = build(study, out)
    assert report.verdict.split(" (95")[0] in report.page.read_text(encoding="utf-8")
    assert report.page == out / "report.html" and (out / "run.json").is_file()
    before = [(out / name).read_bytes() for name in names]
    build(study, out)
    assert [(out / name).read_bytes() for name in names] == before


def test_figures_that_a_report_does_not_show_do_not_outlive_it(study: list[Path], tmp_path: Path) -> None:
    """Pictures of cases above all; files that are nobody's figures stay."""
    out, shown = tmp_path / "out", [study[0], study[2], study[3]]
    build(shown, out)
    figures = out / "figures"
    assert (figures / "overlay-1-best.png").is_file() and (figures / "pictures.json").is_file()
    (figures / "overlay.png").write_text("mine")
    (figures / "notes.json").write_text("mine")
    build(shown, out, shown=Shown(images=False))
    left = {file.name for file in figures.iterdir()}
    assert {name for name in left if name.startswith(("overlay", "pictures"))} == {"overlay.png"}
    assert "notes.json" in left and "differences.svg" in left
    build([study[0]], out, shown=Shown(images=False))
    left = {file.name for file in figures.iterdir()} - {"overlay.png", "notes.json"}
    assert left == {
        name
        for name in re.findall(r"figures/([\w.-]+)", (out / "report.md").read_text())
        for name in (name, name.replace(".png", ".svg"))
    }


def test_pictures_that_cannot_be_drawn_again_stay(study: list[Path], tmp_path: Path) -> None:
    out, runs = tmp_path / "out", [study[0], study[2], study[3]]
    build(runs, out)
    shutil.rmtree(tmp_path / "data")
    before = {file.name for file in (out / "figures").glob("overlay-*")} | {"pictures.json"}
    build(runs, out, shown=Shown(cases=("case_08",)))
    assert before <= {file.name for file in (out / "figures").iterdir()}
    build(runs, out)
    assert "overlay-1-best.png" in (out / "report.md").read_text(encoding="utf-8")


def test_markdown_links_to_figures_that_are_there(built: Path) -> None:
    text = built.with_name("report.md").read_text(encoding="utf-8")
    links = re.findall(r"^!\[.*\]\(([^()]*)\)$", text, flags=re.MULTILINE)
    assert len(links) >= 6
    assert all((built.parent / link).is_file() for link in links)
    rendered = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script>" not in rendered
    assert rendered.count("<table>") == 6


def test_markdown_tables_keep_their_columns(built: Path) -> None:
    text = built.with_name("report.md").read_text(encoding="utf-8")
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"])
        | st.sampled_from(" <>&|*_`[]()!\\$#~")
    )
)
def test_any_text_survives_markdown(text: str) -> None:
    shown = " ".join(text.split())
    tokens = MarkdownIt("commonmark").parseInline(plain(text))[0].children or []
    assert "".join(token.content for token in tokens) == shown
    assert {token.type for token in tokens} <= {"text", "text_special"}


def test_a_report_of_runs_that_are_not_evaluated_says_so(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "r", kind="alone", network="unet", scores=None, status="training", epochs=3)
    html = build([run], tmp_path / "out").page.read_text(encoding="utf-8")
    assert "None of these runs has scores yet" in html
    assert "Unfinished run" in html
    Outline(html)


def test_tables_tell_screen_readers_what_they_are(built: Path) -> None:
    html = built.read_text(encoding="utf-8")
    tables = re.findall(
        r'<div class="scroll" role="region" aria-label="(.*?)" tabindex="0">(.*?)</table>', html, re.S
    )
    names = [name for name, _ in tables]
    assert len(names) == html.count("<table") == len(set(names)) and "Dice by class" in names
    for name, table in tables:
        assert f'<caption class="hidden">{name}</caption>' in table
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table.partition("</thead>")[2], re.S)
        assert rows and all(row.lstrip().startswith("<th scope=") for row in rows)


def test_what_is_left_out_is_not_called_like_a_section(
    make_study: Callable[..., list[Path]], tmp_path: Path
) -> None:
    html = build(make_study(tmp_path, seeds=1), tmp_path / "out", shown=Shown(images=False)).page.read_text()
    assert "<b>Pictures of cases</b>: left out, because the images are not to be shown." in html


def test_figures_scroll_on_a_telephone_and_tables_keep_their_heads_in_print(built: Path) -> None:
    html = built.read_text(encoding="utf-8")
    narrow = next(line for line in html.splitlines() if line.startswith("@media (max-width: 44rem)"))
    assert ".picture { overflow-x: auto; }" in narrow and "min-width: min(40rem, var(--wide))" in narrow
    assert html.count('<div class="picture" role="group" aria-label="') == html.count("<figure>") > 5
    printed = html.partition("@media print { details")[2]
    assert "thead button { display: contents" in printed  # Chromium does not repeat buttons on each page
    outline = Outline(html)
    assert "tabIndex" in outline.scripts[0]  # what scrolls can be reached with the keyboard


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_the_contrast_that_wcag_asks_for(built: Path) -> None:
    html = built.read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", html)
    ]
    assert len(themes) == 4  # light, dark twice, print
    for theme in themes:
        for text in ("ink", "muted", "gain", "loss", "open"):
            for ground in ("paper", "raised", "tint"):
                high, low = sorted((luminance(theme[text]), luminance(theme[ground])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_lines_of_figures_are_seen_on_white() -> None:
    for colour in (OPEN, VERMILION):
        assert 1.05 / (luminance(colour) + 0.05) >= 3, colour


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_a_file_that_is_no_report_is_left_as_it_is(study: list[Path], tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text("my own words")
    with pytest.raises(SegdistillError, match=rf"{name} is no report of segdistill and is left as it is"):
        build(study, out)
    assert (out / name).read_text() == "my own words"
    with pytest.raises(SegdistillError, match="is a file; choose a folder for the report"):
        build(study, out / name)
