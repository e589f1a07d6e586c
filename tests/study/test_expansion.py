from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.study.definition import Study
from segdistill.study.expansion import expand

Make = Callable[..., Study]
OUT = Path("out")


def names(study: Study) -> list[str]:
    return [one.name for one in expand(study, OUT)]


def test_every_group_has_its_seeds_and_teachers_come_first(study: Make) -> None:
    planned = expand(study(seeds=[3, 4]), OUT)
    assert [one.name for one in planned] == [
        "teacher_seed0", "alone_seed3", "alone_seed4", "taught_seed3", "taught_seed4",
    ]  # fmt: skip
    taught = planned[-1]
    assert taught.needs == ("teacher_seed0",) and taught.distils and not planned[0].distils
    assert taught.recipe.teachers["teacher"].run == "out/runs/teacher_seed0"
    assert taught.recipe.train.seed == 4 and planned[0].recipe.student["channels"] == [3, 4]


def test_a_student_is_taught_by_the_teacher_of_its_own_fold_and_seed(study: Make) -> None:
    planned = expand(study(folds=[0, 2], seeds=[0, 1], groups={"teacher": {"seeds": [1, 5]}}), OUT)
    needs = {one.name: one.needs for one in planned if one.group == "taught"}
    assert needs == {
        "taught_seed0": ("teacher_seed1",), "taught_seed1": ("teacher_seed1",),
        "taught_fold2_seed0": ("teacher_fold2_seed1",), "taught_fold2_seed1": ("teacher_fold2_seed1",),
    }  # fmt: skip
    assert {one.recipe.data.splits.fold for one in planned} == {0, 2}


def test_runs_keep_their_names_when_folds_are_added(study: Make) -> None:
    assert set(names(study(folds=[0]))) < set(names(study(folds=[0, 1])))


def test_every_combination_of_options(study: Make) -> None:
    vary = {
        "width": {"w2": {}, "w3": {"settings": {"student": {"channels": [3, 4]}}}},
        "rate": {"slow": {"settings": {"train": {"optimizer": {"lr": 1e-4}}}}, "fast": {}},
    }
    planned = [one for one in expand(study(groups={"alone": {"vary": vary}}), OUT) if one.group == "alone"]
    assert [one.name for one in planned] == [
        "alone_w2_slow_seed0", "alone_w2_fast_seed0", "alone_w3_slow_seed0", "alone_w3_fast_seed0",
    ]  # fmt: skip
    assert planned[2].options == {"width": "w3", "rate": "slow"}
    assert planned[2].recipe.student["channels"] == [3, 4]
    assert planned[2].recipe.train.optimizer["lr"] == 1e-4


def test_every_subset_of_the_teachers(study: Make) -> None:
    groups = {
        "second": {"recipe": "student_alone", "settings": {"student": {"channels": [4, 4]}}},
        "taught": {"teachers": {"a_b": "second"}, "every": "teachers"},
    }
    planned = [one for one in expand(study(groups=groups), OUT) if one.group == "taught"]
    assert [one.name for one in planned] == [
        "taught_teacher_seed0", "taught_ab_seed0", "taught_teacher-ab_seed0",
    ]  # fmt: skip
    assert [sorted(one.recipe.teachers) for one in planned] == [["teacher"], ["a_b"], ["a_b", "teacher"]]
    assert [one.needs for one in planned] == [
        ("teacher_seed0",), ("second_seed0",), ("teacher_seed0", "second_seed0"),
    ]  # fmt: skip


def test_every_subset_of_the_terms_with_one_that_stays(study: Make) -> None:
    terms = {
        "hint": {"loss": "mse", "student": "encoder/2", "teacher": "encoder/2", "projector": "convolution"},
        "shape": {"loss": "dist"},
    }
    taught = {"settings": {"terms": terms}, "every": "terms", "keep": ["response"]}
    planned = [one for one in expand(study(groups={"taught": taught}), OUT) if one.group == "taught"]
    assert [[*one.recipe.terms] for one in planned] == [
        ["response"], ["response", "hint"], ["response", "shape"], ["response", "hint", "shape"],
    ]  # fmt: skip
    with pytest.raises(SegdistillError, match=r"groups.taught.keep: 'fine' is unknown"):
        expand(study(groups={"taught": taught | {"keep": ["fine"]}}), OUT)


@pytest.mark.parametrize(
    ("teacher", "why"), [("tea_cher", "as another one is"), ("../evil", "cannot be a part")]
)
def test_subsets_whose_names_would_clash_or_leave_the_folder(study: Make, teacher: str, why: str) -> None:
    groups = {
        "second": {"recipe": "student_alone", "settings": {"student": {"channels": [4, 4]}}},
        "taught": {"teachers": {teacher: "second"}, "every": "teachers"},
    }
    with pytest.raises(SegdistillError, match=f"groups.taught.every: the subset .*{why}.*; rename teachers"):
        names(study(groups=groups))


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"seeds": [0, 0]}, "seeds: .*0 is there twice"),
        ({"seeds": []}, "seeds"),
        ({"groups": {"alone": {"folds": []}}}, "groups.alone.folds"),
        (
            {"settings": {"train": {"seed": 7}}},
            r"settings.train.seed: the runs have the seeds \[0\]; say `seeds`",
        ),
        ({"settings": {"data": {"splits": {"fold": 3}}}}, "settings.data.splits.fold: .*say `folds`"),
        ({"settings": {"data": None}}, r"data: expected a section such as {path: FOLDER}, got None"),
    ],
)
def test_what_would_be_without_effect_or_run_twice(study: Make, over: dict[str, Any], told: str) -> None:
    with pytest.raises(SegdistillError, match=told):
        study(**over)


def test_a_fold_that_is_the_studys_own_may_be_said_again(study: Make) -> None:
    assert names(study(settings={"data": {"splits": {"fold": 0}}, "train": {"seed": 0}}))


def test_what_does_not_fit_is_told(study: Make) -> None:
    with pytest.raises(SegdistillError, match=r"two runs would be called a_b_seed0;"):
        names(
            study(
                groups={
                    "a": {"recipe": "student_alone", "vary": {"x": {"b": {}}}},
                    "a_b": {"recipe": "student_alone"},
                }
            )
        )
    with pytest.raises(SegdistillError, match=r"groups.taught.teachers.teacher: 'techer' is unknown"):
        names(study(groups={"taught": {"teachers": {"teacher": "techer"}}}))
    with pytest.raises(
        SegdistillError, match=r"groups.taught.teachers.teacher: teacher has no run of fold 1"
    ):
        names(study(groups={"taught": {"folds": [1]}}))
    with pytest.raises(SegdistillError, match=r"groups.taught.teachers.teacher: taught would teach itself"):
        names(study(groups={"taught": {"teachers": {"teacher": "taught"}}}))
    with pytest.raises(SegdistillError, match=r"taught, teacher teach each other"):
        names(study(groups={"teacher": {"recipe": "hinton", "teachers": {"teacher": "taught"}}}))
    with pytest.raises(SegdistillError, match=r"groups.alone \(alone\): .*train.epochs"):
        names(study(groups={"alone": {"settings": {"train": {"epochs": 0}}}}))
    with pytest.raises(SegdistillError, match=r"groups.new.recipe: is required"):
        names(study(groups={"new": {}}))


def test_a_subset_leaves_out_the_teachers_that_the_recipe_itself_names(study: Make) -> None:
    """teach_former names three; only those that the study gives are its teachers."""
    groups = {"taught": {"recipe": "teach_former", "teachers": {"teacher": None, "unetr": "teacher"}}}
    taught = expand(study(groups=groups), OUT)[-1]
    assert sorted(taught.recipe.teachers) == ["unetr"]
