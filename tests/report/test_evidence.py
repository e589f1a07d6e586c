from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.report.cautions import examine
from segdistill.report.gather import gather
from segdistill.report.likeness import without_seed
from segdistill.report.tables.cells import model_name


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
    ("name", "seed", "stem"),
    [
        ("hinton_seed3", 3, "hinton"),
        ("hinton_seed3", None, "hinton"),
        ("hinton_fold1_seed3", 3, "hinton"),
        ("a-s3", 3, "a"),
        ("unet_s1", 0, "unet_s1"),  # the preset s1
        ("unet_s1", None, "unet_s1"),
        ("unet_s1_s0", 0, "unet_s1"),
        ("unets3", 3, "unets3"),
        ("seed1", 1, "seed1"),
        ("exp1/seed1", 1, "exp1"),
        ("a s 2", 2, "a"),
    ],
)
def test_a_name_without_its_seed(name: str, seed: int | None, stem: str) -> None:
    assert without_seed(name, seed) == stem


def test_a_teacher_is_whoever_taught_a_run_here(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    big = make_run(tmp_path / "big", kind="alone", network="big", scores=scores(0.8))
    assert [m.role for m in gather([big]).models] == ["alone"]
    small = make_run(tmp_path / "small", kind="distilled", network="small", scores=scores(0.7), method="hinton",
                     teachers={"big": str(big)})  # fmt: skip
    assert [m.role for m in gather([big, small]).models] == ["teacher", "distilled"]


def test_one_teacher_a_seed_that_is_gone_is_still_one_model(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    def students(folder: str, *teachers: str) -> list[Path]:
        return [
            make_run(
                tmp_path / folder / f"hinton_seed{seed}", kind="distilled", network="unet", seed=seed,
                scores=scores(0.7, seed=seed), method="hinton", teachers={"t": teacher}, terms=("response",),
            )
            for seed, teacher in enumerate(teachers)
        ]  # fmt: skip

    own = gather(students("own", "/gone/big_seed0", "/gone/big_seed1", "/gone/big_seed2"))
    assert [(m.short, len(m.runs)) for m in own.models] == [("S1 hinton", 3)]
    same = gather(students("same", "/gone/big_s1", "/gone/big_s1"))
    assert [(m.short, len(m.runs)) for m in same.models] == [("S1 hinton", 2)]
    other = gather(students("other", "/gone/small", "/gone/middle", "/gone/large"))
    assert [m.short for m in other.models] == ["S1 hinton", "S1 hinton (2)", "S1 hinton (3)"]


def test_students_of_other_lost_teachers_are_two_models_beside_a_found_one(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    found = make_run(tmp_path / "found", kind="alone", network="big", scores=scores(0.8))
    runs = [
        make_run(
            tmp_path / f"taught_seed{seed}", kind="distilled", network="unet", scores=scores(0.7), seed=seed,
            method="m", teachers={"a": str(found), "b": lost},
        )
        for seed, lost in enumerate(("/gone/one", "/gone/two"))
    ]  # fmt: skip
    assert len(gather(runs).of("distilled")) == 2


@pytest.fixture
def namesakes(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> list[Path]:
    """Two students of one name, of other methods, teachers and cases."""
    cases = tuple(scores(0.7))
    settings: dict[str, Any] = {"kind": "distilled", "network": "unet", "terms": ("response",)}
    return [
        make_run(
            tmp_path / "exp1" / "student", method="hinton", teachers={"t": "/gone/one"}, scores=scores(0.7),
            **settings,
        ),
        make_run(
            tmp_path / "exp2" / "student", method="cwd", teachers={"heavy": "/gone/two"},
            scores=scores(0.7, cases[:6]), **settings,
        ),
    ]  # fmt: skip


def test_runs_of_one_name_are_told_apart(namesakes: list[Path]) -> None:
    evidence = gather(namesakes)
    assert [run.name for run in evidence.runs] == ["exp1/student", "exp2/student"]
    names = [model_name(model, evidence).extra for model in evidence.models]
    assert names == ["hinton from t, 1\xa0seed", "cwd from heavy, 1\xa0seed"]
    told = " ".join(caution.text for caution in examine(evidence))
    assert "exp1/student: 8, exp2/student: 6" in told
    assert "exp1/student was taught by t," in told and "exp2/student was taught by heavy," in told


def test_scores_of_other_cases_change_no_figure(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    def without(value: float, missing: float | None) -> Any:
        found = scores(value)
        found["case_11"]["anterior"] = missing
        return found

    alone = make_run(tmp_path / "alone", kind="alone", network="unet", scores=without(0.7, None))
    student = make_run(
        tmp_path / "d", kind="distilled", network="unet", method="hinton", scores=without(0.75, None)
    )
    strange = without(0.2, 0.0)
    strange["elsewhere"] = strange["case_08"]
    own = {"train": ["case_00"], "validation": ["case_01"], "test": list(scores(0.7))}
    copied = make_run(
        tmp_path / "copied", kind="alone", network="vnet", scores=strange, splits=own, ellipsoid=0.99
    )
    before, after = gather([alone, student]), gather([alone, student, copied])
    assert after.absent == before.absent == frozenset()
    assert {name: one.values for name, one in after.baselines.items()} == {
        name: one.values for name, one in before.baselines.items()
    }
    dice = [evidence.comparisons[0].student.mean("dice", evidence.cases) for evidence in (before, after)]
    assert dice[0] == dice[1]
    assert (after.cases, after.splits, after.noun) == (before.cases, before.splits, before.noun)
