"""Teachers that had learnt from scored cases: in the verdict, the warnings, the tables and the figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.report import build
from segdistill.report.cautions import Caution, examine
from segdistill.report.evidence import Evidence
from segdistill.report.figures import bubble, curves, differences, slopes
from segdistill.report.figures.style import Figure
from segdistill.report.gather import gather
from segdistill.report.leaks import LEGEND, MARK, clean
from segdistill.report.origins import KINDS
from segdistill.report.tables import cases, classes, results
from segdistill.report.verdict import conclude
from segdistill.teachers.sources import SOURCES

CASES = tuple(f"c{number:02d}" for number in range(12))
Make = Callable[..., Path]


@pytest.fixture
def nnunet(tmp_path: Path) -> Path:
    """What an nnU-Net results folder looks like from outside."""
    folder = tmp_path / "nnUNet_results" / "Dataset900_Made" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        (folder / name).write_text("{}")
    return folder


def taught(
    make_run: Make, scores: Any, root: Path, learnt: tuple[str, ...] | None, teacher: str, **more: Any
) -> Evidence:
    """A student alone and one that teacher `t` taught, which had learnt from `learnt` (None: not known)."""
    return gather(study(make_run, scores, root, learnt, teacher, **more))


def study(
    make_run: Make, scores: Any, root: Path, learnt: tuple[str, ...] | None, teacher: str, **more: Any
) -> list[Path]:
    splits = {"train": ["x"], "validation": ["y"], "test": list(CASES)}
    run = {"network": "unet", "splits": splits}
    more = {"taught_on": {} if learnt is None else {"t": list(learnt)}} | more
    return [
        make_run(root / "alone", kind="alone", scores=scores(0.7, CASES), **run),
        make_run(
            root / "distilled", kind="distilled", scores=scores(0.8, CASES, seed=1), method="m",
            terms=("response",), teachers={"t": teacher}, more=more, **run,
        ),
    ]  # fmt: skip


def of_title(evidence: Evidence, title: str) -> Caution:
    return next(caution for caution in examine(evidence) if caution.title == title)


def test_where_all_cases_leak_the_verdict_is_that_there_is_no_evidence(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path, CASES, str(nnunet))
    verdict = conclude(evidence, tmp_path)[0]
    assert verdict.outcome == "unknown"
    assert re.fullmatch(
        r"No evidence: teacher t \(an nnU-Net results folder\) had learnt from all 12 test cases; the distilled "
        r"student \(unet, m\) scores \d+\.\d Dice points more than the same student trained alone there "
        r"\(12 test cases, 1 seed\)\.",
        verdict.sentence,
    )
    assert not re.search("gain|p <|CI", verdict.sentence)
    assert verdict.tiles[0].value.endswith(MARK) and verdict.tiles[0].tone == "plain"


def test_where_some_cases_leak_the_others_are_compared(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path, CASES[:4], str(nnunet))
    assert evidence.cases == CASES[4:]
    verdict = conclude(evidence, tmp_path)[0]
    assert verdict.outcome == "gain"
    assert "8 test cases that no teacher had learnt from, 1 seed)" in verdict.sentence
    assert verdict.details[0] == (
        "4 scored cases are left out (c00, c01, c02, c03): teacher t (an nnU-Net results folder) had learnt from them, "
        "so what a student scores there is no evidence."
    )
    student, alone = evidence.of("distilled")[0], evidence.of("alone")[0]
    both = [model.by_case("dice", CASES[4:]) for model in (student, alone)]
    mean = sum((both[0][c] or 0) - (both[1][c] or 0) for c in CASES[4:]) / 8
    assert verdict.tiles[0].value == f"+{100 * mean:.1f}"


def test_a_teacher_that_is_no_run_is_named_in_the_warning(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path / "a", CASES[:2], str(nnunet))
    leak = of_title(evidence, "Leak")
    assert leak.severity == "serious"
    assert leak.text.startswith(
        "S1 m was taught by t (an nnU-Net results folder), which had learnt from 2 of the 12 scored test cases (c00, "
        "c01)."
    )
    assert leak.text.endswith("Such cases are left out of all means and comparisons here.")
    evidence = taught(make_run, scores, tmp_path / "b", CASES, str(nnunet))
    assert of_title(evidence, "Leak").text.endswith(f"Figures over such cases alone are marked {MARK}.")


def test_models_that_teach_out_of_fold_are_one_teacher_whose_leak_is_explained(
    make_run: Make, scores: Any, tmp_path: Path
) -> None:
    members = []
    for fold in range(3):
        own = {
            "train": [case for case in CASES if int(case[1:]) % 3 != fold],
            "validation": ["y"],
            "test": ["z"],
        }
        members.append(
            make_run(tmp_path / f"fold_{fold}", kind="alone", network="big", scores=None, splits=own, epochs=fold + 1,
                     train={"epochs": fold + 1})
        )  # fmt: skip
    group = {"members": list(map(str, members)), "folds": "out_of_fold"}
    evidence = taught(make_run, scores, tmp_path, CASES, str(members[0]), groups={"t": group})
    assert [model.role for model in evidence.models].count("teacher") == 3
    assert evidence.missing_teachers == {}
    leaks = [caution.text for caution in examine(evidence) if caution.title == "Leak"]
    assert len(leaks) == 1  # not once more for each model
    assert "t (3 models), which had learnt from 12 of the 12 scored test cases" in leaks[0]
    assert (
        "With folds: out_of_fold that is so in every cross-validated figure, and only cases outside all"
        in leaks[0]
    )
    assert conclude(evidence, tmp_path)[0].sentence.startswith("No evidence: teacher t (3 models)")


def test_a_teacher_that_is_a_run_is_told_once_and_its_cases_do_not_count(
    make_run: Make, scores: Any, tmp_path: Path
) -> None:
    splits = {"train": ["x", "c03", "c07"], "validation": ["y"], "test": list(CASES)}
    teacher = make_run(tmp_path / "t", kind="alone", network="big", scores=scores(0.85, CASES), splits=splits)
    for known in (None, ("c03", "c07")):  # a run made before taught_on was written, and one after
        evidence = taught(make_run, scores, tmp_path / str(known), known, str(teacher))
        leaks = [caution.text for caution in examine(evidence) if caution.title == "Leak"]
        assert len(leaks) == 1 and leaks[0].startswith("T1 was trained on 2 cases")
        assert leaks[0].endswith("Such cases are left out of all means and comparisons here.")
        assert len(evidence.cases) == 10
        assert "teacher T1 had learnt from them" in conclude(evidence, tmp_path)[0].details[0]


def test_tables_mark_what_is_no_evidence_and_say_what_the_mark_means(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path / "a", CASES, str(nnunet))
    assert evidence.headline is not None
    table, by_class = results.tabulate(evidence), classes.tabulate(evidence)
    assert by_class is not None
    for one in (table, by_class):
        alone, student = one.groups[0].rows[0], one.groups[1].rows[0]
        assert not any(cell.text.endswith(MARK) for cell in alone.cells)
        assert any(cell.text.endswith(MARK) for cell in student.cells)
        assert LEGEND in one.notes
    assert [cell.text.endswith(MARK) for cell in student.cells] == [False, True, True]
    rows = cases.tabulate(evidence.headline, evidence).groups[0].rows
    assert len(rows) == 12 and all(row.cells[0].text.endswith(MARK) for row in rows)

    evidence = taught(make_run, scores, tmp_path / "b", CASES[:4], str(nnunet))
    assert evidence.headline is not None
    table = results.tabulate(evidence)
    assert "8 test cases (4 more are left out, because a teacher had learnt from them)" in table.notes[0]
    assert LEGEND not in table.notes and MARK not in table.groups[1].rows[0].cells[4].text
    every = cases.tabulate(evidence.headline, evidence)
    marked = {row.cells[0].text for row in every.groups[0].rows if row.cells[0].text.endswith(MARK)}
    assert marked == {f"{case}{MARK}" for case in CASES[:4]} and len(every.groups[0].rows) == 12
    assert "A teacher had learnt from the case" in every.notes[0]


def test_figures_do_not_show_a_leak_as_a_gain(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path, CASES, str(nnunet))
    for figure in (differences.draw(evidence), slopes.draw(evidence), bubble.draw(evidence)):
        assert isinstance(figure, Figure)
        assert LEGEND in figure.caption and MARK in (figure.svg or "")
    clear = taught(make_run, scores, tmp_path / "clear", (), str(nnunet))
    for figure in (differences.draw(clear), slopes.draw(clear), bubble.draw(clear)):
        assert isinstance(figure, Figure)
        assert LEGEND not in figure.caption and MARK not in (figure.svg or "")


def test_curves_say_that_validation_is_no_evidence(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path, ("y",), str(nnunet))
    figure = curves.draw(evidence.comparisons[0])
    assert isinstance(figure, Figure)
    assert "had learnt from before teaching: no evidence" in figure.caption
    assert evidence.cases == CASES  # the test cases are as good as ever


def test_a_student_without_leak_comes_before_a_better_one_with(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    runs = study(make_run, scores, tmp_path, CASES, str(nnunet))
    runs.append(
        make_run(tmp_path / "clean", kind="distilled", network="unet", scores=scores(0.75, CASES), method="clean",
                 splits={"train": ["x"], "validation": ["y"], "test": list(CASES)})
    )  # fmt: skip
    verdicts = conclude(gather(runs), tmp_path)
    assert [verdict.sentence.startswith("No evidence") for verdict in verdicts] == [False, True]
    assert verdicts[0].sentence.startswith("S1 clean")
    assert "12 test cases, 1 seed" in verdicts[0].sentence


@pytest.mark.parametrize(
    ("leaking", "left"),
    [
        ([set()], "abcd"),
        ([set("ab")], "cd"),
        ([set("abcd")], "abcd"),  # nothing of it is evidence; the others are judged as before
        ([set("abcd"), set("a")], "bcd"),
        ([set("ab"), set("cd")], ""),  # each has cases of its own
    ],
)
def test_cases_that_are_evidence_of_every_model(leaking: list[set[str]], left: str) -> None:
    assert clean("abcd", leaking) == tuple(left)


def test_students_that_leak_on_different_cases_are_each_judged_on_their_own(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    runs = study(make_run, scores, tmp_path, CASES[:6], str(nnunet))
    more = {"taught_on": {"t": list(CASES[6:])}}
    runs.append(
        make_run(tmp_path / "other", kind="distilled", network="unet", scores=scores(0.75, CASES), method="other",
                 teachers={"t": str(nnunet)}, more=more)
    )  # fmt: skip
    evidence = gather(runs)
    assert evidence.cases == ()
    first, second = sorted(evidence.of("distilled"), key=lambda model: model.method)
    assert evidence.cases_of(first) == CASES[6:] and evidence.cases_of(second) == CASES[:6]
    assert not evidence.tainted(first) and not evidence.tainted(second)


def test_what_a_teacher_is_is_said_where_it_is_no_run(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    told = of_title(taught(make_run, scores, tmp_path / "a", (), str(nnunet)), "Teacher not scored")
    assert told.text == "distilled was taught by t, an nnU-Net results folder, which is not scored here."
    told = of_title(taught(make_run, scores, tmp_path / "b", None, "python"), "Teacher not scored")
    assert told.text == (
        "distilled was taught by t, a network given in Python, which is not scored here, and whether it was trained on "
        "the scored cases cannot be checked."
    )
    told = of_title(taught(make_run, scores, tmp_path / "c", None, "runs/gone"), "Teacher not found")
    assert "whether it was trained on the scored cases cannot be checked" in told.text
    other = make_run(tmp_path / "other", kind="alone", network="big", scores=None, dataset="Another")
    told = of_title(taught(make_run, scores, tmp_path / "d", (), str(other)), "Teacher not scored")
    assert "a run on other data" in told.text


def test_a_teacher_without_a_row_is_still_said_to_have_taught(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    evidence = taught(make_run, scores, tmp_path, (), str(nnunet))
    assert results.tabulate(evidence).groups[1].rows[0].cells[0].extra == "m from t, 1\u00a0seed"


def test_every_kind_of_source_has_words() -> None:
    assert set(SOURCES) <= set(KINDS)


def test_two_ways_to_use_folds_are_two_models(
    make_run: Make, scores: Any, tmp_path: Path, nnunet: Path
) -> None:
    runs = []
    for folds in ("matched", "out_of_fold"):
        run = make_run(tmp_path / folds, kind="distilled", network="unet", scores=scores(0.7, CASES), method="m",
                       more={"teachers": {"t": str(nnunet)}})  # fmt: skip
        recipe = run / "recipe.yaml"
        section = f"teachers: {{t: {{path: '{nnunet}', folds: {folds}}}}}"
        recipe.write_text(recipe.read_text().replace("teachers: {}", section))
        runs.append(run)
    assert len(gather(runs).models) == 2


def test_the_report_says_how_teachers_answered(make_run: Make, scores: Any, tmp_path: Path) -> None:
    knowledge = {"a": {"cached": "store/a"}, "b": {"cached": "store/b"}, "c": "online"}
    run = make_run(tmp_path / "r", kind="distilled", network="unet", scores=scores(0.7), method="m",
                   more={"knowledge": knowledge})  # fmt: skip
    page = build([run], tmp_path / "out").page
    told = "Of its teachers, a, b were asked once about each case beforehand; c was asked in every step."
    assert told in page.read_text(encoding="utf-8")
    assert told in page.with_name("report.md").read_text(encoding="utf-8")
