"""Where a study's own values win over what is told of all runs, that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.cli.study.arguments import asked
from segdistill.study.definition import Study
from segdistill.study.own_values import own_values

Make = Callable[..., Study]


def told(study: Make, settings: dict[str, Any], **over: Any) -> list[str]:
    """What is said where settings are told of all runs."""
    return own_values(study(**over, settings=settings), settings)


def test_each_setting_once_with_the_runs_that_keep_theirs(study: Make) -> None:
    longer = {"settings": {"train": {"epochs": 7}}}
    vary = {"width": {"w2": {"settings": {"student": {"channels": [2, 3]}}}, "w4": longer}}
    groups = {"teacher": longer, "alone": {"vary": vary}, "taught": {"vary": vary}}
    channels = {"student": {"channels": [8, 8]}}
    assert told(study, {"train": {"epochs": 3, "iterations": 2}}, groups={"teacher": longer}) == [
        "train.epochs: teacher keeps 7, which the study sets for it"
    ]
    assert told(study, {"train": {"epochs": 3}} | channels, groups=groups) == [
        "train.epochs: teacher, alone_w4, taught_w4 keep 7, which the study sets for them",
        "student.channels: teacher keeps [3, 4]; alone_w2, taught_w2 keep [2, 3], which the study sets for them",
    ]
    assert told(study, {"train": {"epochs": 7}}, groups=groups) == [], "it is the same"
    both = {"vary": {"width": dict.fromkeys(("w2", "w4"), longer)}}
    assert told(study, {"train": {"epochs": 3}}, groups={"alone": both}) == [
        "train.epochs: alone keeps 7, which the study sets for it"
    ]


def test_settings_of_what_a_run_has_not(study: Make) -> None:
    """Another network, which has no such setting, is kept; a term that a subset is without is no value."""
    other = {"settings": {"student": {"type": "h_denseformer", "filters": 4}}}
    assert told(study, {"student": {"convolutions": 1}}, groups={"alone": other}) == [
        "student.convolutions: alone keeps h_denseformer, which the study sets for it"
    ]
    terms = {"shape": {"loss": "dist"}}
    some = {"recipe": "hinton", "settings": {"terms": terms}, "every": "terms"}
    only = {"teacher": None, "alone": None, "taught": None, "some": some}
    assert told(study, {"terms": {"response": {"weight": 2}}}, groups=only) == []


def test_it_is_said_when_the_study_is_named(
    study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what can be done about it; a study by name is copied first."""
    monkeypatch.chdir(tmp_path)
    longer = study(groups={"teacher": {"settings": {"train": {"epochs": 7}}}})
    Path("mine.yaml").write_text(yaml.safe_dump(longer.model_dump(mode="json")))
    Path("tuned.yaml").write_text("kind: protocol\ntrain: {epochs: 3}\n")
    assert asked(["mine.yaml", "tuned.yaml"], "full").settings["train"]["epochs"] == 3
    assert capsys.readouterr().err.splitlines() == [
        "note: train.epochs: teacher keeps 7, which the study sets for it",
        "note: to change what the study sets, write other values into mine.yaml",
    ]
    asked(["labels", "train.epochs=3", "train.iterations=4"], "laptop")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "note: train.epochs: teacher keeps 70, which the study sets for it" and len(said) == 2
    assert "run a copy with other values of" in said[1] and said[1].endswith("shipped/labels.yaml")
    asked(["labels", "train.iterations=4"], "laptop")
    assert capsys.readouterr().err == ""
