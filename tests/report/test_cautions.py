from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.evaluation.lesions import detection
from segdistill.report import build
from segdistill.report.cautions import Caution, examine
from segdistill.report.comparisons import ALONE, comparisons
from segdistill.report.exports.sharing import without_places
from segdistill.report.gather import gather
from segdistill.report.tables.lesions import rounds

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


def test_what_a_baseline_was_tuned_for(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    """The report and what is exported, which says no longer where the images lie, agree on it."""

    def told(root: Path, **tuned: Any) -> str:
        runs = group(make_run, scores, root, alone={"data": "/data/Dataset900_Made"})
        for run in root.glob("alone?"):
            recipe = yaml.safe_load((run / "recipe.yaml").read_text())
            recipe["tuned"] |= {"student": recipe["student"], "data": "Dataset900_Made", "epochs": 20} | tuned
            (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        evidence = gather(runs)
        texts = [
            [one.text for one in examine(each) if one.title == "Untuned baseline"]
            for each in (evidence, without_places(evidence))
        ]
        assert texts[0] == texts[1]
        return " ".join(texts[0])

    assert told(tmp_path / "own") == ""
    assert "tuned for other images; for it they" in told(tmp_path / "images", data="Dataset7")
    others = {"student": {"type": "big"}, "epochs": 5}
    assert "for another network, another number of epochs;" in told(tmp_path / "others", **others)
    found = {"train.optimizer.lr": 3e-3, "train.epochs": 20, "data.augmentation": None}
    assert "were tuned with another data.augmentation, train.optimizer.lr than it has; for it" in told(
        tmp_path / "changed", settings=found
    )
    assert told(tmp_path / "unchanged", settings={"train.epochs": 20}) == ""


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
    cautions = found(runs)
    assert sorted(cautions) == ["No test cases", "One seed"]
    assert "with one seed only in each fold" in cautions["One seed"].text
    page = build(runs, tmp_path / "report")
    assert "12 validation cases, 3 folds" in page.verdict
    assert "standard deviation over folds" in (tmp_path / "report" / "report.md").read_text()


def test_folds_that_all_score_the_test_cases_are_repetitions_of_one_model(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    """With data.splits.test, each fold trains on other cases, which also decide how images are prepared."""
    runs = []
    for fold in range(3):
        train = [f"x{number}" for number in range(6) if number % 3 != fold]
        splits = {"train": train, "validation": [f"x{fold}", f"x{fold + 3}"], "test": list(CASES)}
        more: dict[str, Any] = {"dataset": {"name": "Dataset900_Made", "fingerprint": f"of fold {fold}"}}
        for role, dice in (("alone", 0.7), ("distilled", 0.75)):
            runs.append(
                make_run(
                    tmp_path / f"{role}_fold{fold}", kind=role, network="unet", fold=fold, splits=splits, more=more,
                    scores=scores(dice + 0.002 * fold * (role == "alone"), CASES),
                    method="m" if role == "distilled" else "",
                )
            )  # fmt: skip
    evidence = gather(runs)
    assert [(model.short, model.repeats, model.over) for model in evidence.models] == [
        ("S1", "3 folds", "folds"), ("S1 m", "3 folds", "folds"),
    ]  # fmt: skip
    assert sorted(found(runs)) == ["One seed"]
    (one,) = (one for one in comparisons(evidence) if one.question == ALONE)
    assert one.repeated is not None and one.repeated.p is None, "folds share their training cases"
    assert one.repeated.differences == pytest.approx((0.05, 0.048, 0.046), abs=1e-3), (
        "each beside its own fold"
    )


def test_lesions_and_calibration_of_folds_are_taken_together(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    def row(case: str) -> dict[str, Any]:
        lesion = {"volume": 10.0, "found": True, "dice": 0.8}
        return {"case": case, "class": "anterior", "reference": [lesion], "false_positives": [[5.0, 1]]}

    for run, own in zip(
        sorted(r for r in folds(make_run, scores, tmp_path) if "alone" in r.name), (1, 1, 4), strict=True
    ):
        metrics = json.loads((run / "metrics.json").read_text())
        cases = list(dict.fromkeys(each["case"] for each in metrics["cases"]))[:own]
        metrics["cases"] = [each for each in metrics["cases"] if each["case"] in cases]
        metrics["lesions"] = [row(case) for case in cases]
        (run / "metrics.json").write_text(json.dumps(metrics))
    evidence = gather(sorted(tmp_path.glob("alone*")))
    (model,) = evidence.models
    ((number, rows),) = rounds(model, model.cases)
    assert number == 6 and detection(rows).lesions == 6


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


def test_a_teacher_whose_folder_is_gone_is_told_once(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = group(make_run, scores, tmp_path, distilled={"teachers": {"gone": "runs/gone"}})
    told = [caution.text for caution in examine(gather(runs)) if caution.title == "Teacher not found"]
    assert len(told) == 1
    assert told[0].startswith("distilled0, distilled1 were taught by gone")


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
    other = {
        "scores": scores(0.85, ("q", "r")),
        "splits": {"train": ["x"], "validation": ["y"], "test": ["q", "r"]},
    }
    cautions = found(group(make_run, scores, tmp_path / "b", teacher=other))
    assert cautions["Unequal case lists"].severity == "serious"


def test_scores_of_another_data_set_are_left_out_and_the_other_seeds_stay(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = group(make_run, scores, tmp_path)
    foreign = make_run(tmp_path / "foreign", kind="alone", network="unet", scores=scores(0.9, ("q", "r")))
    (tmp_path / "alone1" / "metrics.json").write_text((foreign / "metrics.json").read_text())
    told = found(runs)["Scores of other cases"]
    assert (
        told.severity == "serious"
        and "alone1" in told.text
        and "(q, r)" in told.text
        and "left out" in told.text
    )
    (one,) = (one for one in comparisons(gather(runs)) if one.question == ALONE)
    assert one.test.n == len(CASES) and one.outcome == "gain"


def test_a_false_alarm_is_charged_to_whoever_gives_it(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    """Where nothing is to be found, Dice is undefined for who is right and 0 for who is not."""
    ill, healthy = CASES[:6], CASES[6:]
    nothing = {case: {"anterior": None, "posterior": None} for case in healthy}
    alarmed = {case: {"anterior": 0.0, "posterior": 0.0} for case in healthy}
    runs = group(
        make_run, scores, tmp_path,
        teacher={"scores": scores(0.8, ill) | nothing},
        alone={"scores": scores(0.7, ill) | nothing},
        distilled={"scores": scores(0.75, ill) | alarmed},
    )  # fmt: skip
    evidence = gather(runs)
    (one,) = (one for one in comparisons(evidence) if one.question == ALONE)
    assert (
        one.test.n == 12 and one.outcome == "loss" and one.test.difference == pytest.approx(-0.475, abs=0.01)
    )
    alone, student = evidence.of("alone")[0], evidence.of("distilled")[0]
    means = [model.mean("dice", evidence.cases_of(model)) for model in (student, alone)]
    assert means[0] - means[1] == pytest.approx(one.test.difference), "the table says the same"
    told = found(runs)["Absent structures"].text
    assert told.startswith("In 6 cases (c06, ") and "Empty cases" not in found(runs)


def test_a_case_that_one_seed_sees_wrongly_is_averaged_over_all(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    table = scores(0.7, CASES[:11])
    for seed, value in enumerate((None, None, 0.0)):
        nothing = {CASES[11]: {"anterior": value, "posterior": value}}
        make_run(tmp_path / f"alone{seed}", kind="alone", network="unet", seed=seed, scores=table | nothing)
    (model,) = gather(sorted(tmp_path.iterdir())).models
    assert model.by_case("dice", CASES[11:])[CASES[11]] == pytest.approx(2 / 3)


def test_models_of_different_classes_are_compared_in_those_that_both_have(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    def of(anterior: float, other: str, dice: float) -> dict[str, Any]:
        return {case: {"anterior": anterior, other: dice} for case in CASES}

    changes = {"alone": {"scores": of(0.7, "a", 0.2)}, "distilled": {"scores": of(0.65, "b", 0.9)}}
    evidence = gather(group(make_run, scores, tmp_path, **changes))
    (one,) = (one for one in comparisons(evidence) if one.question == ALONE)
    assert one.test.difference == pytest.approx(-0.05)


def test_empty_cases_few_cases_and_other_inputs(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    table = scores(0.75, CASES[:5]) | {"c05": {"anterior": None, "posterior": None}}
    runs = group(
        make_run, scores, tmp_path, **{role: {"scores": table} for role in ("teacher", "alone", "distilled")}
    )
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
    assert "alone0 and again have the same recipe, fold and seed" in cautions["Same seed twice"].text
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
        "Hardly found is \u201canterior\u201d by kd1 (S1 m, 5.0), where the median of all runs has a Dice of 80.0"
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
    assert split.severity == "serious" and "Not all repetitions of S1 m (2 of 3 seeds) differ" in split.text
    few = found([*alone, *runs("b", "distilled", (0.5, 0.69, 0.74))])
    assert "Seeds disagree" not in few and few["Not settled over seeds"].severity == "note"
    assert "S1 m (p = 0.3" in few["Not settled over seeds"].text
    sure = found([*alone, *runs("c", "distilled", (0.70, 0.6001, 0.65))])
    assert not {"Seeds disagree", "Not settled over seeds"} & set(sure)


def test_runs_agree_with_what_is_said_of_all_of_them(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    """The third seed of the student alone, which has no counterpart, turns the sign."""
    runs = []
    for seed, (alone, taught) in enumerate(((0.7, 0.69), (0.7, 0.68), (0.6, None))):
        for role, dice in (("alone", alone), ("distilled", taught)):
            if dice is not None:
                table = {case: {"anterior": dice} for case in CASES}
                path = tmp_path / f"{role}_{seed}"
                runs.append(make_run(path, kind=role, network="unet", seed=seed, scores=table, method="m"))
    (one,) = (one for one in comparisons(gather(runs)) if one.question == ALONE)
    assert one.test.difference == pytest.approx(0.685 - 2 / 3) and one.repeated is not None
    assert one.repeated.differences == pytest.approx((-0.01, -0.02)) and one.repeated.agreeing == 0
