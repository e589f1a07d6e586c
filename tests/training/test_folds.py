"""Several trained models as one teacher: nobody marks homework that it has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from segdistill.data.splits import Splits
from segdistill.errors import SegdistillError
from segdistill.sections.teacher import TeacherSection
from segdistill.teachers.label_map import LabelMap
from segdistill.teachers.teacher import Group, Teacher
from segdistill.training.folds import as_one

CASES = ("a", "b", "c", "d", "e", "f")


def members(*learnt: str, **changes: Any) -> list[Teacher]:
    """A model for each word, trained on the cases that are its letters."""
    return [
        Teacher(nn.Identity(), source=Path(f"run_{n}"), trained_on=tuple(word), score=0.5 + n / 10, window=(8, 8))
        for n, word in enumerate(learnt)
    ]  # fmt: skip


def data(fold: int, validation: str, test: str = "") -> Any:
    train = tuple(case for case in CASES if case not in validation + test)
    splits = Splits(train=train, validation=tuple(validation), test=tuple(test))
    recipe = SimpleNamespace(data=SimpleNamespace(splits=SimpleNamespace(fold=fold)))
    dataset = SimpleNamespace(cases=[SimpleNamespace(id=case) for case in CASES])
    return SimpleNamespace(recipe=recipe, splits=splits, dataset=dataset)


def one(models: list[Teacher], folds: str | None, known: Any) -> Teacher:
    section = TeacherSection.model_validate({"path": "x", "folds": folds})
    return as_one(models, section, known, "teachers.t.folds")


FOLDS = ("cdef", "abef", "abcd")


@pytest.mark.parametrize(("fold", "validation"), [(0, "ab"), (1, "cd"), (2, "ef")])
def test_matched(fold: int, validation: str) -> None:
    models = members(*FOLDS)
    assert one(models, "matched", data(fold, validation)) is models[fold]


def test_matched_looks_at_what_was_learnt_not_at_the_number() -> None:
    models = members(*FOLDS)
    assert one(models, "matched", data(0, "ef")) is models[2], "the student's folds are cut differently"
    assert one(models, "matched", data(4, "cd")) is models[1]
    assert one(models, "matched", data(0, "e", "f")) is models[2], "test cases count as well"


def test_of_several_that_have_not_seen_it_the_one_of_the_same_number() -> None:
    models = members("ab", "ab", "ab", "cd")
    assert one(models, "matched", data(2, "ef")) is models[2]
    assert one(models, "matched", data(3, "cd")) is models[0]
    twins = [replace(models[0], source=Path("same")) for _ in range(2)]
    assert one(twins, "matched", data(1, "ef")) is twins[1]


def test_matched_where_everybody_has_seen_something() -> None:
    with pytest.raises(SegdistillError) as error:
        one(members(*FOLDS), "matched", data(0, "ac"))
    told = str(error.value)
    assert "teachers.t.folds: matched, but every model has learnt from validation or test cases" in told
    assert "run_0: 1; run_1: 1; run_2: 2 of 2" in told and "data.splits" in told


def test_out_of_fold() -> None:
    found = one(members(*FOLDS), "out_of_fold", data(0, "ab"))
    assert isinstance(found.whole_cases, Group) and found.network is None
    chosen = {case: [each.source for each in found.whole_cases.of_case(case)] for case in CASES}
    assert chosen == {
        case: [Path(f"run_{n}")] for n, cases in enumerate(("ab", "cd", "ef")) for case in cases
    }
    assert found.trained_on == CASES and found.window is None


def test_averaged() -> None:
    found = one(members("ab", "bc"), None, data(0, "ab"))
    assert isinstance(found.whole_cases, Group) and len(found.whole_cases.of_case("b")) == 2
    assert found.trained_on == ("a", "b", "c") and found.score == pytest.approx(0.55)
    assert found.apart == "it is 2 models"
    unknown = [members("a")[0], replace(members("b")[0], score=None)]
    assert one(unknown, None, data(0, "ab")).score is None, "of one it is not known"


def test_a_single_model_is_itself() -> None:
    models = members("abcdef")
    assert one(models, None, data(0, "ab")) is models[0]
    for folds in ("matched", "out_of_fold"):
        with pytest.raises(SegdistillError, match=r"teachers\.t\.folds: is for several models"):
            one(models, folds, data(0, "ab"))


@pytest.mark.parametrize("folds", ["matched", "out_of_fold"])
def test_a_model_that_does_not_say_what_it_has_seen(folds: str) -> None:
    models = [*members("ab"), replace(members("cd")[0], trained_on=(), source=Path("files/net.pt"))]
    told = r"teachers\.t\.folds: which cases files/net\.pt was trained on cannot be told"
    with pytest.raises(SegdistillError, match=told):
        one(models, folds, data(0, "ab"))


def test_models_of_other_classes() -> None:
    labels = LabelMap.by_name(["x", "y"], ["x"], ["x"], False)
    models = [*members("ab"), replace(members("cd")[0], labels=labels)]
    with pytest.raises(SegdistillError, match=r"teachers\.t\.path: the models know different classes"):
        one(models, None, data(0, "ab"))


@pytest.mark.parametrize("folds", ["matched", "out_of_fold"])
def test_models_that_name_the_cases_otherwise(folds: str) -> None:
    models = [
        replace(Teacher(nn.Identity()), trained_on=(f"OTHER_{n}",), source=Path(f"f{n}")) for n in range(2)
    ]
    with pytest.raises(SegdistillError, match=r"f0 names the cases .* otherwise than these data \(OTHER_0, "):
        one(models, folds, data(0, "ab"))
