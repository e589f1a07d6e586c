from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.report.gather import gather
from segdistill.report.likeness import without_seed


def test_runs_that_differ_only_by_seed_are_one_model(study: list[Path]) -> None:
    evidence = gather(study)
    assert [(m.short, m.role, len(m.runs)) for m in evidence.models] == [
        ("T1", "teacher", 1),
        ("T2", "teacher", 1),
        ("S1", "alone", 3),
        ("S1 teach_former", "distilled", 3),
    ]
    comparison = evidence.comparisons[0]
    assert comparison.alone is evidence.of("alone")[0]
    assert [teacher.short for teacher in comparison.teachers] == ["T1", "T2"]
    assert comparison.differences == ()


def test_mean_and_spread_are_those_of_a_naive_loop(study: list[Path]) -> None:
    evidence = gather(study)
    student = evidence.of("distilled")[0]
    by_seed = []
    for run in student.runs:
        assert run.scores is not None
        by_case = []
        for case in evidence.cases:
            classes = [row["dice"] for row in run.scores.values[case].values()]
            by_case.append(sum(classes) / len(classes))
        by_seed.append(sum(by_case) / len(by_case))
    assert student.mean("dice", evidence.cases) == pytest.approx(np.mean(by_seed))
    assert student.spread("dice", evidence.cases) == pytest.approx(np.std(by_seed, ddof=1))


def test_teachers_that_are_not_given_are_read_from_where_the_student_found_them(study: list[Path]) -> None:
    evidence = gather([run for run in study if not run.name.startswith("teacher")])
    assert [m.network for m in evidence.of("teacher")] == ["h_denseformer", "swin_unetr"]
    assert evidence.missing_teachers == {}


def test_a_folder_of_runs_stands_for_its_runs(study: list[Path]) -> None:
    assert len(gather([study[0].parent]).runs) == len(study)


def test_one_teacher_a_seed_is_still_one_model(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = []
    for seed in range(2):
        teacher = make_run(
            tmp_path / f"t_seed{seed}", kind="alone", network="big", seed=seed, scores=scores(0.8)
        )
        runs.append(
            make_run(
                tmp_path / f"d_seed{seed}", kind="distilled", network="small", seed=seed, scores=scores(0.7),
                teachers={"big": str(teacher)}, method="hinton",
            )
        )  # fmt: skip
    evidence = gather(runs)
    assert [(m.short, len(m.runs)) for m in evidence.models] == [("T1", 2), ("S1 hinton", 2)]


def test_the_student_alone_with_the_same_budget_is_chosen(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    short = make_run(
        tmp_path / "short", kind="alone", network="unet", scores=scores(0.6), train={"epochs": 5}
    )
    same = make_run(tmp_path / "same", kind="alone", network="unet", scores=scores(0.7))
    other = make_run(tmp_path / "other", kind="alone", network="unetr", scores=scores(0.7))
    distilled = make_run(
        tmp_path / "d", kind="distilled", network="unet", scores=scores(0.75), method="hinton"
    )
    comparison = gather([short, other, same, distilled]).comparisons[0]
    assert comparison.alone is not None and comparison.alone.run.name == "same"
    comparison = gather([short, other, distilled]).comparisons[0]
    assert comparison.alone is not None and comparison.alone.run.name == "short"
    assert comparison.differences == ("train.epochs: 20 and 5",)
    assert gather([other, distilled]).comparisons[0].alone is None


def test_models_of_one_network_have_names_of_their_own(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = [
        make_run(tmp_path / name, kind="alone", network="unet", scores=scores(0.6), train={"epochs": epochs})
        for name, epochs in (("a_seed0", 5), ("b_seed0", 6))
    ]
    assert [m.short for m in gather(runs).models] == ["S1 (a)", "S1 (b)"]


def test_only_cases_that_all_runs_share_are_compared(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    one = make_run(tmp_path / "one", kind="alone", network="unet", scores=scores(0.6, ("a", "b", "c")))
    two = make_run(tmp_path / "two", kind="alone", network="unetr", scores=scores(0.6, ("b", "c", "d")))
    assert gather([one, two]).cases == ("b", "c")


def test_runs_on_two_data_sets_are_refused(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    one = make_run(tmp_path / "one", kind="alone", network="unet", scores=scores(0.6), dataset="A")
    two = make_run(tmp_path / "two", kind="alone", network="unet", scores=scores(0.6), dataset="B")
    with pytest.raises(SegdistillError, match=r"different data sets \(A, B\)"):
        gather([one, two])


def test_no_run_at_all_is_refused() -> None:
    with pytest.raises(SegdistillError, match="at least one run folder"):
        gather([])


@pytest.mark.parametrize(
    ("name", "stem"),
    [("hinton_seed3", "hinton"), ("a-s3", "a"), ("unets3", "unets3"), ("seed1", "seed1"), ("a s 2", "a")],
)
def test_a_name_without_its_seed(name: str, stem: str) -> None:
    assert without_seed(name) == stem


def test_a_teacher_is_whoever_taught_a_run_here(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    big = make_run(tmp_path / "big", kind="alone", network="big", scores=scores(0.8))
    assert [m.role for m in gather([big]).models] == ["alone"]
    small = make_run(tmp_path / "small", kind="distilled", network="small", scores=scores(0.7), method="hinton",
                     teachers={"big": str(big)})  # fmt: skip
    assert [m.role for m in gather([big, small]).models] == ["teacher", "distilled"]
