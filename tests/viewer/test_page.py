"""The page as text: whatever comes from files is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.viewer import page
from segdistill.viewer.cases import gather


class Read(HTMLParser):
    """The tags of a page with their attributes, and its text by the tag that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def data_of(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def text(home: Any, drawing: Path) -> str:
    return page.files_of(gather(home.run, beside=[Path("runs/hinton_alone")])).page


def nasty(home: Any) -> str:
    return next(case for case in home.cases if "<img" in case)


def test_a_nasty_name_is_text(text: str, home: Any) -> None:
    read = Read(text)
    assert nasty(home) in read.texts
    assert not [tag for tag, _ in read.tags if tag == "img"]
    assert "{{ 7 * 7 }}" in text
    assert nasty(home) in [case["id"] for case in data_of(text)["cases"]]
    assert "<img" not in text


def test_nasty_names_of_run_data_and_class(home: Any, drawing: Path) -> None:
    harm = "</script><script>alert(1)</script>"
    gallery = gather(home.run)
    changed = type(gallery)(**{**vars(gallery), "run": harm, "dataset": harm, "classes": (harm,)})
    text = page.files_of(changed).page
    scripts = [attributes for tag, attributes in Read(text).tags if tag == "script"]
    assert [one.get("src", one.get("id")) for one in scripts] == ["data", page.NIIVUE, *page.SCRIPTS]
    assert data_of(text)["masks"][0]["name"] == harm


def test_nothing_is_inline_and_nothing_comes_from_elsewhere(text: str) -> None:
    read = Read(text)
    for tag, attributes in read.tags:
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href"):
            target = attributes.get(name) or ""
            assert not re.match(r"(\w+:)?//", target), target
    (policy,) = [a["content"] for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and "default-src 'none'" in policy and "unsafe" not in policy


def test_no_path_is_on_the_page_unless_asked_for(text: str, home: Any, drawing: Path) -> None:
    assert str(home.path) not in text and "imagesTr" not in text and "predictions" not in text
    asked = page.files_of(gather(home.run), paths=True).page
    assert "imagesTr" in asked


def test_every_control_has_a_label(text: str) -> None:
    read = Read(text)
    labelled = {attributes.get("for") for tag, attributes in read.tags if tag == "label"}
    controls = [attributes for tag, attributes in read.tags if tag in ("input", "select")]
    assert len(controls) > 10
    assert all(control["id"] in labelled for control in controls)
    assert ("html", {"lang": "en"}) in read.tags


def test_overlays_are_numbered_as_their_keys(text: str) -> None:
    boxes = [a for _, a in Read(text).tags if a.get("type") == "checkbox" and "data-title" in a]
    assert [box["data-title"] for box in boxes][:3] == ["Reference", "Student", "Difference: Student"]
    assert [box["id"] for box in boxes] == [f"overlay-{number}" for number in range(1, len(boxes) + 1)]


def test_figures_stand_in_the_order_of_answers_and_classes(home: Any, drawing: Path) -> None:
    gallery = gather(home.run, beside=[Path("runs/hinton_alone")])
    case = gallery.cases[0]
    dice = {
        "Student": {"z": 0.5, "mean": math.nan, "a": 0.25},
        "A teacher": {"z": 1.0, "mean": 0.0, "a": 0.5},
    }
    changed = type(gallery)(**{**vars(gallery), "cases": (type(case)(**{**vars(case), "dice": dice}),)})
    assert data_of(page.files_of(changed).page)["cases"][0]["dice"] == {
        "classes": ["z", "mean", "a", "mean"],
        "answers": ["Student", "A teacher"],
        "rows": [["50.0", "–", "25.0", "37.5"], ["100.0", "0.0", "50.0", "50.0"]],
    }


def test_volumes_are_named_by_number_alone(home: Any, drawing: Path) -> None:
    files = page.files_of(gather(home.run))
    assert all(re.fullmatch(r"volumes/\d+-\d+\.nii\.gz", name) for name in files.volumes)
    told = [layer["file"] for case in data_of(files.page)["cases"] for layer in case["layers"]]
    assert told == list(files.volumes)


def test_many_classes_have_colours_of_their_own(home: Any, drawing: Path) -> None:
    gallery = gather(home.run)
    many = type(gallery)(**{**vars(gallery), "classes": tuple(f"c{number}" for number in range(15))})
    colours = [tuple(each["colour"]) for each in data_of(page.files_of(many).page)["masks"]]
    assert len(set(colours)) == 15


def test_without_niivue_it_is_told_what_to_do(home: Any, drawing: Path) -> None:
    shutil.rmtree(drawing)
    with pytest.raises(SegdistillError, match="make viewer"):
        page.files_of(gather(home.run))
