from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.report import build
from segdistill.report.cautions import Caution, examine
from segdistill.report.gather import gather

CASES = tuple(f"c{number:02d}" for number in range(12))


def found(runs: list[Path]) -> dict[str, Caution]:
    return {caution.title: caution for caution in examine(gather(runs))}


def group(make_run: Callable[..., Path], scores: Any, root: Path, **changes: dict[str, Any]) -> list[Path]:
    """A teacher, two seeds alone and two distilled; nothing is wrong but for `changes`."""
    splits = {"train": ["x"], "validation": ["y"], "test": list(CASES)}
    roles: dict[str, dict[str, Any]] = {
        "teacher": {"kind": "alone", "network": "big", "scores": scores(0.85, CASES)},
        "alone": {"kind": "alone", "network": "unet", "scores": scores(0.7, CASES)},
        "distilled": {"kind": "distilled", "network": "unet", "scores": scores(0.75, CASES), "method": "m",
                      "teachers": {"big": str(root / "teacher0")}, "terms": ("response",)},
    }  # fmt: skip
    runs = []
    for role, settings in roles.items():
        for seed in range(1 if role == "teacher" else 2):
            settings = {"splits": splits, **settings, **changes.get(role, {})}
            runs.append(make_run(root / f"{role}{seed}", seed=seed, **settings))
    return runs


def test_nothing_is_said_where_nothing_is_wrong(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    assert found(group(make_run, scores, tmp_path)) == {}


def test_a_baseline_that_was_not_tuned(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    cautions = found(group(make_run, scores, tmp_path, alone={"tuned": False}))
    assert (
        cautions["Untuned baseline"].severity == "note" and "study tune" in cautions["Untuned baseline"].text
    )


def test_a_metric_file_of_other_cases(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    other = ("c00", "z1", "z2")
    cautions = found(group(make_run, scores, tmp_path, alone={"scores": scores(0.9, other)}))
    told = cautions["Scores of other cases"]
    assert told.severity == "serious" and "alone" in told.text and "z1, z2" in told.text
    assert "Nothing can be concluded" in told.text


def test_runs_scored_on_other_classes(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    liver = {case: {"liver": 0.9} for case in CASES}
    told = found(group(make_run, scores, tmp_path, alone={"scores": liver}))["Different classes"]
    assert told.severity == "serious" and "liver: alone0, alone1" in told.text


def test_a_teacher_that_is_not_shown_to_be_better(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    level = {
        case: {name: value + (0.05 if number % 2 else -0.045) for name, value in classes.items()}
        for number, (case, classes) in enumerate(scores(0.7, CASES).items())
    }
    told = found(group(make_run, scores, tmp_path, teacher={"scores": level}))[
        "Teacher not shown to be better"
    ]
    assert told.severity == "note" and "T1 is not shown to be better than S1 alone" in told.text
    assert "95 % CI" in told.text and "no methods in order" in told.text


def test_training_that_ended_too_early(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    runs = group(make_run, scores, tmp_path)
    for run in runs[-2:]:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()[:-1]]
        for line in lines:
            if line["validation"]:
                line["validation"]["dice"] = 0.02 * line["epoch"]
        (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = found(runs)["Still learning"]
    assert told.severity == "note" and "S1 m (+8.0)" in told.text and "S1 alone" not in told.text


def folds(make_run: Callable[..., Path], scores: Any, root: Path) -> list[Path]:
    """Three folds of four cases each: teacher, alone and distilled, each on its own validation cases."""
    runs = []
    for fold in range(3):
        own = list(CASES[4 * fold : 4 * fold + 4])
        splits = {"train": [case for case in CASES if case not in own], "validation": own, "test": []}
        for role, network, dice in (
            ("teacher", "big", 0.85),
            ("alone", "unet", 0.7),
            ("distilled", "unet", 0.75),
        ):
            kind = "distilled" if role == "distilled" else "alone"
            more: dict[str, Any] = {"dataset": {"name": "Dataset900_Made", "fingerprint": f"of fold {fold}"}}
            if kind == "distilled":
                more["teachers"] = {"big": str(root / f"teacher{fold}")}
            runs.append(
                make_run(
                    root / f"{role}{fold}",
                    kind=kind,
                    network=network,
                    scores=scores(dice, own),
                    splits=splits,
                    split="validation",
                    fold=fold,
                    more=more,
                    method="m" if kind == "distilled" else "student_alone",
                    terms=("response",) if kind == "distilled" else (),
                )
            )
    return runs


def test_folds_are_one_model_on_all_of_their_cases(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = folds(make_run, scores, tmp_path)
    evidence = gather(runs)
    assert [(model.role, model.repeats, len(model.cases)) for model in evidence.models] == [
        ("teacher", "3 folds", 12), ("alone", "3 folds", 12), ("distilled", "3 folds", 12),
    ]  # fmt: skip
    assert len(evidence.cases) == 12 and not evidence.leaks_of(*evidence.models)
    assert sorted(found(runs)) == ["No test cases"]
    page = build(runs, tmp_path / "report")
    assert "12 validation cases, 3 folds" in page.verdict


def test_a_teacher_of_another_fold_leaks(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    folds(make_run, scores, tmp_path)
    info = tmp_path / "distilled0" / "run.json"
    info.write_text(info.read_text().replace("teacher0", "teacher1"))
    evidence = gather(sorted(tmp_path.iterdir()))
    (leak,) = evidence.leaks_of(*evidence.of("distilled"))
    assert leak.cases == CASES[:4]


def test_a_teacher_trained_on_test_cases_leaks(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    splits = {"train": ["x", "c03", "c07"], "validation": ["c01"], "test": list(CASES)}
    cautions = found(group(make_run, scores, tmp_path, teacher={"splits": splits}))
    assert cautions["Leak"].severity == "serious"
    assert "T1 was trained on 2 cases" in cautions["Leak"].text
    assert "(c03, c07)" in cautions["Leak"].text
    assert "chosen by 1 case" in cautions["Selected on scored cases"].text


def test_a_teacher_whose_folder_is_gone(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    cautions = found(group(make_run, scores, tmp_path, distilled={"teachers": {"gone": "runs/gone"}}))
    assert "was taught by gone" in cautions["Teacher not found"].text


def test_a_teacher_that_is_worse_than_the_student_alone(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    cautions = found(group(make_run, scores, tmp_path, teacher={"scores": scores(0.5, CASES)}))
    assert cautions["Teacher worse than the student alone"].severity == "serious"


def test_terms_without_effect_and_terms_that_drown_the_rest(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    share = {"segmentation": 0.004, "response": 0.996}
    texts = [c.text for c in examine(gather(group(make_run, scores, tmp_path, distilled={"share": share})))]
    assert any("“segmentation” gets at most 0.40 %" in text for text in texts)
    assert any("“response” takes at least 99.6 %" in text for text in texts)


def test_budgets_seeds_and_unfinished_runs(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    changes = {"alone": {"train": {"epochs": 5}, "status": "training"}}
    runs = group(make_run, scores, tmp_path, **changes)
    cautions = found([run for run in runs if run.name != "distilled1"])
    assert "train.epochs: 20 and 5" in cautions["Different budgets"].text
    assert "S1 m ran with one seed only" in cautions["One seed"].text
    assert "is not finished (20 of 5 epochs)" in cautions["Unfinished run"].text


def test_no_student_alone(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    runs = group(make_run, scores, tmp_path)
    cautions = found([run for run in runs if not run.name.startswith("alone")])
    assert cautions["No student alone"].severity == "serious"


def test_case_lists_that_differ_and_that_share_nothing(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    cautions = found(group(make_run, scores, tmp_path / "a", teacher={"scores": scores(0.85, CASES[:10])}))
    assert (
        "over the 10 cases that all runs share; 2 left out (c10, c11)" in cautions["Unequal case lists"].text
    )
    cautions = found(group(make_run, scores, tmp_path / "b", teacher={"scores": scores(0.85, ("q", "r"))}))
    assert cautions["Unequal case lists"].severity == "serious"


def test_empty_cases_few_cases_and_other_inputs(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    table = scores(0.75, CASES[:5]) | {"c05": {"anterior": None, "posterior": None}}
    runs = group(make_run, scores, tmp_path, distilled={"scores": table})
    cost = (runs[0] / "cost.json").read_text()
    (runs[0] / "cost.json").write_text(cost.replace("32", "64"))
    cautions = found(runs)
    assert "1 case has neither a reference nor a prediction" in cautions["Empty cases"].text
    assert "judged on 6 test cases" in cautions["Few cases"].text
    assert "1 × 2 × 64 × 64 × 16" in cautions["Unequal inputs"].text


def test_the_same_seed_twice_and_several_students(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = group(make_run, scores, tmp_path)
    runs.append(make_run(tmp_path / "again", kind="alone", network="unet", scores=scores(0.7, CASES),
                         splits={"train": ["x"], "validation": ["y"], "test": list(CASES)}))  # fmt: skip
    runs.append(
        make_run(tmp_path / "m", kind="distilled", network="unet", scores=scores(0.7, CASES), method="other")
    )
    cautions = found(runs)
    assert "alone0 and again have the same recipe and seed" in cautions["Same seed twice"].text
    assert "Several comparisons" in cautions


@pytest.mark.parametrize(
    ("split", "noun", "why"),
    [
        ("validation", "validation cases", "chose the checkpoint"),
        ("train", "training cases", "what the network learnt"),
    ],
)
def test_scores_of_cases_that_are_no_test_cases_are_no_evidence(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path, split: str, noun: str, why: str
) -> None:
    splits = {"train": ["x"], "validation": ["y"], "test": []} | {split: list(CASES)}
    changes = {role: {"split": split, "splits": splits} for role in ("teacher", "alone", "distilled")}
    runs = group(make_run, scores, tmp_path, **changes)
    cautions = found(runs)
    assert set(cautions) == {"No test cases"}  # told once, not again as a leak of every run
    caution = cautions["No test cases"]
    assert caution.severity == "serious" and noun in caution.text and why in caution.text
    assert "no evidence" in caution.text and "data.splits.test" in caution.text
    build(runs, tmp_path / "report")
    written = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert f"12 {noun}" in written
    assert "test cases" not in written.replace("Name test cases by", "").lower().replace("no test cases", "")


def test_runs_scored_on_different_splits_are_named(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    splits = {"train": ["x"], "validation": list(CASES), "test": []}
    runs = group(make_run, scores, tmp_path, alone={"split": "validation", "splits": splits})
    caution = found(runs)["No test cases"]
    assert caution.severity == "serious"
    assert "alone0, alone1 were scored on validation cases" in caution.text
    assert "the comparison favours these" in caution.text
    assert gather(runs).noun == "case"


def test_a_class_that_one_seed_did_not_learn(make_run: Callable[..., Path], tmp_path: Path) -> None:
    learnt = {case: {"anterior": 0.8, "posterior": 0.7} for case in CASES}
    half = {case: {"anterior": 0.05, "posterior": 0.7} for case in CASES}
    runs = [
        make_run(tmp_path / "alone0", kind="alone", network="unet", scores=learnt, seed=0),
        make_run(tmp_path / "kd0", kind="distilled", network="unet", scores=learnt, seed=0, method="m"),
        make_run(tmp_path / "kd1", kind="distilled", network="unet", scores=half, seed=1, method="m"),
    ]
    told = found(runs)["Class not learnt"]
    assert told.severity == "serious"
    assert told.text.startswith(
        "kd1 (S1 m, 5.0) hardly finds \u201canterior\u201d, where the median of all runs has a Dice of 80.0"
    )
    assert "posterior" not in told.text and "Class not learnt" not in found(runs[:2])


def test_seeds_that_do_not_agree_on_a_loss(make_run: Callable[..., Path], tmp_path: Path) -> None:
    def runs(name: str, kind: str, dice: tuple[float, ...]) -> list[Path]:
        wobble = [0.001 * (number % 5) for number in range(len(CASES))]
        return [
            make_run(
                tmp_path / f"{name}{seed}",
                kind=kind,
                network="unet",
                seed=seed,
                scores={
                    case: {"tumour": value + (more if kind != "alone" else 0)}
                    for case, more in zip(CASES, wobble, strict=True)
                },
                method="m",
            )
            for seed, value in enumerate(dice)
        ]

    alone = runs("alone", "alone", (0.8, 0.7, 0.75))
    split = found([*alone, *runs("a", "distilled", (0.5, 0.72, 0.74))])["Seeds disagree"]
    assert split.severity == "serious" and "Not all seeds of S1 m (2 of 3) differ" in split.text
    few = found([*alone, *runs("b", "distilled", (0.5, 0.69, 0.74))])
    assert "Seeds disagree" not in few and few["Not settled over seeds"].severity == "note"
    assert "S1 m (p = 0.3" in few["Not settled over seeds"].text
    sure = found([*alone, *runs("c", "distilled", (0.70, 0.6001, 0.65))])
    assert not {"Seeds disagree", "Not settled over seeds"} & set(sure)
