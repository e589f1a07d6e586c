from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from segdistill.catalogue import rows
from segdistill.composition import shipped
from segdistill.losses import LOSSES, SEGMENTATION_LOSSES
from segdistill.networks import NETWORKS, PRESETS
from segdistill.reference.__main__ import main

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MEND = "run `make reference` (or .venv/bin/python -m segdistill.reference docs/reference)"
NAMES = ("losses.md", "recipes.md", "networks.md", "parts.md")
every_page = pytest.mark.parametrize("name", NAMES)


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        yield token
        yield from token.children or ()


@every_page
def test_committed_pages_are_what_the_tables_say(name: str, made: dict[str, str]) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8") if (FOLDER / name).is_file() else ""
    assert written == made[name], f"docs/reference/{name} is not what the tables say: {MEND}"


def test_there_are_no_other_pages(made: dict[str, str]) -> None:
    assert set(made) == set(NAMES) == {path.name for path in FOLDER.glob("*.md")}


def test_command_writes_every_page(
    tmp_path: Path, made: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segdistill.reference.pages", lambda: made)  # made once: they take seconds
    main([str(tmp_path)])
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == made


@every_page
def test_contents_lead_to_headings(name: str, made: dict[str, str]) -> None:
    """By the anchors that GitHub makes of headings; a link into another page, too."""

    def anchors(page: str) -> list[str]:
        headings = re.findall(r"^#+ (.*)$", made[page], flags=re.MULTILINE)
        return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]

    own = anchors(name)
    assert len(set(own)) == len(own), "two headings of one name"
    for page, anchor in re.findall(r"\]\((\w+\.md)?#([^)]+)\)", made[name]):
        assert anchor in anchors(page or name), f"{page or name}#{anchor}"


@every_page
def test_only_the_markup_that_is_meant(name: str, made: dict[str, str]) -> None:
    """Formulas are full of stars, bars and underscores: none may turn into emphasis, HTML or a table."""
    unmeant = {
        "em_open",
        "strong_open",
        "s_open",
        "html_block",
        "html_inline",
        "blockquote_open",
        "code_block",
    }
    found = [(token.type, token.map, token.content) for token in tokens(made[name]) if token.type in unmeant]
    assert not found
    assert sum(token.type == "table_open" for token in tokens(made[name])) == 1  # the contents


def test_every_row_is_there(made: dict[str, str]) -> None:
    headings = {name: re.findall(r"^### (.*)$", page, flags=re.MULTILINE) for name, page in made.items()}
    assert headings["losses.md"] == [*LOSSES, *SEGMENTATION_LOSSES]
    assert headings["recipes.md"] == list(shipped())
    assert headings["networks.md"] == [*NETWORKS, *PRESETS]
    tables = {
        "projector": "projectors", "where": "where", "combine": "combinations", "weight": "weights",
        "optimizer": "optimizers", "schedule": "schedules", "intensity": "intensities", "layout": "layouts",
    }  # fmt: skip
    expected = [f"{word}: {row['name']}" for word, what in tables.items() for row in rows(what)]
    assert headings["parts.md"] == expected
