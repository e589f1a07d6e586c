from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.report.likeness import differences
from segdistill.study.definition import load, shipped, to_yaml
from segdistill.study.expansion import Planned, expand

ALONE: dict[str, Any] = {"groups": {"alone": {"recipe": "student_alone"}}}


def test_a_profile_is_laid_over_the_study() -> None:
    plain = ALONE | {
        "seeds": [0, 1],
        "profiles": {"small": {"seeds": [5], "settings": {"train": {"epochs": 1}}}},
    }
    assert load(plain).seeds == [0, 1] and load(plain, profile="small").seeds == [5]
    assert load(plain, profile="small", overrides=["train.epochs=7"]).settings["train"]["epochs"] == 7


def test_what_is_not_there() -> None:
    with pytest.raises(SegdistillError, match=r"profile: 'smal' is unknown.*full, small"):
        load(ALONE | {"profiles": {"small": {}}}, profile="smal")
    with pytest.raises(
        SegdistillError, match=r"study 'teach_former_tabel1': no such file.*teach_former_table1"
    ):
        load("teach_former_tabel1")
    with pytest.raises(SegdistillError, match="groups: is required"):
        load({"seeds": [1]})
    with pytest.raises(SegdistillError, match=r"groups.alone.*'seed' is unknown"):
        load({"groups": {"alone": {"recipe": "student_alone", "seed": 1}}})


def test_it_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    study = load("teach_former_table3", profile="tiny")
    (tmp_path / "s.yaml").write_text(to_yaml(study))
    assert load(tmp_path / "s.yaml") == study


@pytest.mark.parametrize("profile", ["full", "tiny"])
@pytest.mark.parametrize("name", shipped())
def test_shipped_studies_are_whole(name: str, profile: str, tmp_path: Path) -> None:
    """Every one can be planned, has students alone to compare with, seeds or folds, and a size for a laptop."""
    study = load(name, profile=profile)
    planned = expand(study, tmp_path)
    assert study.name == name and study.summary
    taught = [one for one in planned if one.distils]
    assert taught and all(one.needs for one in taught)
    networks = [one.recipe.student for one in planned if not one.distils]
    assert all(one.recipe.student in networks for one in taught), "no student alone to compare with"
    assert profile == "tiny" or len({(one.fold, one.seed) for one in taught}) >= 3
    assert profile == "full" or study.phantom is not None


@pytest.mark.parametrize("name", shipped())
def test_students_are_compared_with_one_that_was_trained_alike(name: str, tmp_path: Path) -> None:
    """Recipes bring settings of their own; a study has to say them for its students alone, too."""
    planned = expand(load(name), tmp_path)
    alone = [one for one in planned if not one.distils]
    for one in planned:
        if one.distils:
            found = [differ(one, other) for other in alone if other.recipe.student == one.recipe.student]
            assert () in found, f"{one.name}: {min(found, key=len)}"


def differ(one: Planned, other: Planned) -> tuple[str, ...]:
    """In what of their training two runs differ, as the report sees it."""
    records = [SimpleNamespace(recipe=each.recipe.model_dump(mode="json")) for each in (one, other)]
    return differences(*records)  # type: ignore[arg-type]


def test_a_profile_takes_groups_and_options_out(study: Make, tmp_path: Path) -> None:
    vary = {"labelled": {"few": {"settings": {"data": {"splits": {"labelled": 0.5}}}}, "all": {}}}
    small = {"groups": {"alone": None, "taught": {"vary": {"labelled": {"few": None}}}}}
    plain = study(groups={"taught": {"vary": vary}}, profiles={"small": small}).model_dump(mode="json")
    names = [one.name for one in expand(load(plain, profile="small"), tmp_path)]
    assert names == ["teacher_seed0", "taught_all_seed0"]


@pytest.mark.parametrize("layer", [None, [1]])
def test_a_profile_that_is_no_layer(study: Make, layer: object) -> None:
    plain = study().model_dump(mode="json") | {"profiles": {"small": layer}}
    with pytest.raises(SegdistillError, match=r"profiles.small: expected sections of a study"):
        load(plain, profile="small")
