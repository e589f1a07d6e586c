"""What stands for a place on this machine, however a text writes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from markupsafe import escape

from segdistill.publishable import PLACES
from segdistill.report.markdown import plain
from segdistill.study.definition import Study
from segdistill.study.folder import StudyFolder
from segdistill.study.places import STANDS_FOR, Places

Make = Callable[..., Study]
FOLDER = Path("/studies/anna's first_one & only")


def places(study: Make, command: str = "", folder: Path = FOLDER, **over: Any) -> Places:
    if command:
        folder.mkdir()
        (folder / "command.txt").write_text(command)
    return Places.of(StudyFolder(folder, study(**over)), {})


def test_every_setting_that_says_a_place_has_something_that_stands_for_it() -> None:
    assert set(STANDS_FOR) == set(PLACES)


def in_a_page(command: str) -> str:
    return str(escape(shlex.quote(command)))


@pytest.mark.parametrize("write", [str, shlex.quote, json.dumps, plain, yaml.safe_dump, escape, in_a_page])
def test_a_place_is_found_as_any_file_writes_it(study: Make, write: Callable[[str], str]) -> None:
    kept = places(study).without(f"see {write(f'{FOLDER}/runs/one')}")
    assert "STUDY/runs/one" in kept and "anna" not in kept


def test_teachers_of_one_name_in_two_folders_stay_two(study: Make) -> None:
    settings = [{"teachers": {"teacher": {"run": None, "path": f"/elsewhere/{own}/model"}}} for own in "ab"]
    groups = {f"by_{n}": {"recipe": "hinton", "settings": each} for n, each in enumerate(settings)}
    kept = places(study, groups=groups).without("/elsewhere/a/model /elsewhere/b/model /elsewhere/ab/model")
    assert sorted(kept.split()) == ["/elsewhere/ab/model", "TEACHERS/model", "TEACHERS2/model"]


@pytest.mark.parametrize(
    ("data", "text", "kept"),
    [
        ("/data", "/data/imagesTr/a.nii", "data/imagesTr/a.nii"),
        ("/mnt/sets/Dataset1", "/mnt/sets/Dataset1/imagesTr", "DATA/Dataset1/imagesTr"),
        ("/mnt/sets/Dataset1", "/mnt/sets2/Dataset1", "/mnt/sets2/Dataset1"),
        ("sets/of/mine/Dataset1", "data.path=sets/of/mine/Dataset1", "data.path=DATA/Dataset1"),
    ],
)
def test_the_name_of_the_folder_of_images_stays(study: Make, data: str, text: str, kept: str) -> None:
    assert places(study, settings={"data": {"path": data}}).without(text) == kept


def test_words_of_the_command_keep_their_last_name(study: Make, tmp_path: Path) -> None:
    words = "segdistill study run /elsewhere/mine.yaml /mnt/sets/more.yaml data.path=/mnt/sets/Dataset1"
    found = places(study, words, tmp_path / "study", settings={"data": {"path": "/mnt/sets/Dataset1"}})
    assert found.without(words) == "segdistill study run mine.yaml more.yaml data.path=DATA/Dataset1"


def test_a_path_that_is_left_is_found_but_not_in_the_letters_of_a_picture(study: Make) -> None:
    found, home = places(study), Path.home()
    assert found.left_in(f'<a href="file://{home}/notes.txt">') == f"{home}/notes.txt"
    assert found.left_in(f'<img src="data:image/png;base64,iVBOR+{home}/Kgo="> runs{home} {home}less') is None
