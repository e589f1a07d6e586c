from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.report import build
from segdistill.report.gather import gather
from segdistill.report.verdict import Verdict, conclude
from segdistill.report.words import fixed, p_value, signed, times

CASES = tuple("abcdefgh")


def judge(runs: list[Path]) -> Verdict:
    return conclude(gather(runs), Path("out"))[0]


def pair(make_run: Callable[..., Path], root: Path, before: list[float], after: list[float]) -> list[Path]:
    """A student alone and a distilled one, with these Dice."""
    tables = [
        {case: {"tumour": value} for case, value in zip(CASES, v, strict=False)} for v in (before, after)
    ]
    return [
        make_run(root / "alone", kind="alone", network="unet", scores=tables[0]),
        make_run(root / "distilled", kind="distilled", network="unet", scores=tables[1], method="hinton"),
    ]


def test_a_gain_is_told_with_interval_test_cases_and_seeds(study: list[Path]) -> None:
    verdict = judge(study)
    assert verdict.outcome == "gain"
    assert re.fullmatch(
        r"The distilled student \(unet, teach_former\) gains \d\.\d Dice points over the same student "
        r"trained alone \(95 % CI \d\.\d to \d\.\d, paired t-test p < 0\.001, 8 test cases, 3 seeds\); "
        r"it loses \d\.\d to the best teacher \(T1, h_denseformer\) at 76 × fewer parameters\.",
        verdict.sentence,
    )
    assert [tile.caption for tile in verdict.tiles][2:] == [
        "fewer parameters than T1",
        "fewer MACs than T1",
        "faster than T1",
    ]


def test_the_difference_is_the_mean_over_cases(make_run: Callable[..., Path], tmp_path: Path) -> None:
    before = [0.5, 0.6, 0.7, 0.55, 0.65, 0.6]
    gains = [0.02, 0.03, 0.025, 0.018, 0.022, 0.023]
    verdict = judge(pair(make_run, tmp_path, before, [b + g for b, g in zip(before, gains, strict=True)]))
    assert "gains 2.3 Dice points" in verdict.sentence
    assert verdict.tiles[0].value == "+2.3"


def test_a_difference_within_chance_is_no_gain(make_run: Callable[..., Path], tmp_path: Path) -> None:
    verdict = judge(pair(make_run, tmp_path, [0.5, 0.6, 0.7, 0.8, 0.6], [0.6, 0.5, 0.78, 0.71, 0.63]))
    assert verdict.outcome == "open"
    assert verdict.sentence.startswith("No gain is shown: the distilled student")
    assert "chance alone may explain it (95 % CI" in verdict.sentence


def test_a_loss_is_called_a_loss(make_run: Callable[..., Path], tmp_path: Path) -> None:
    verdict = judge(pair(make_run, tmp_path, [0.5, 0.6, 0.7, 0.8, 0.6], [0.41, 0.5, 0.61, 0.69, 0.51]))
    assert verdict.outcome == "loss"
    assert "loses 9.6 Dice points to the same student trained alone" in verdict.sentence


def test_two_cases_are_too_few_for_a_test(make_run: Callable[..., Path], tmp_path: Path) -> None:
    verdict = judge(pair(make_run, tmp_path, [0.5, 0.6], [0.8, 0.9]))
    assert verdict.outcome == "open"
    assert "too few cases for a test (2 test cases, 1 seed)" in verdict.sentence


def test_equal_scores_are_no_gain(make_run: Callable[..., Path], tmp_path: Path) -> None:
    verdict = judge(pair(make_run, tmp_path, [0.5, 0.6, 0.7], [0.5, 0.6, 0.7]))
    assert verdict.sentence.startswith("No gain is shown")


def test_a_missing_student_alone_is_named_with_the_command_that_makes_it(
    study: list[Path], tmp_path: Path
) -> None:
    runs = [run for run in study if not run.name.startswith("alone")]
    verdict = conclude(gather(runs), tmp_path / "out")[0]
    assert verdict.outcome == "unknown"
    assert "what distillation gained is unknown" in verdict.sentence
    assert verdict.command is not None
    commands = verdict.command.splitlines()
    assert len(commands) == 3
    recipe = tmp_path / "out" / "distilled_alone.yaml"
    assert commands[1] == f"segdistill train {recipe} train.seed=1 --out {tmp_path}/distilled_alone_seed1"
    build(runs, tmp_path / "out")
    written = yaml.safe_load(recipe.read_text())
    assert "terms" not in written and "teachers" not in written
    assert written["student"] == {"type": "unet", "width": 150_000}
    assert written["train"]["epochs"] == 20


def test_a_student_alone_that_was_not_evaluated_only_has_to_be(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    alone = make_run(tmp_path / "my alone", kind="alone", network="unet", scores=None)
    distilled = make_run(
        tmp_path / "d", kind="distilled", network="unet", scores=scores(0.7), method="hinton"
    )
    assert judge([alone, distilled]).command == f"segdistill evaluate '{alone}'"


@pytest.mark.parametrize(
    "names", [("taught_s1", "taught_s2"), ("exp1/taught", "exp2/taught"), ("a_s1", "a_s0")]
)
def test_each_student_alone_that_is_missing_has_a_recipe_of_its_own(
    names: tuple[str, str], make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"kind": "distilled", "method": "hinton", "scores": scores(0.7)}
    runs = [
        make_run(tmp_path / name, network=network, seed=seed, **settings)
        for name, network, seed in zip(names, ("unet", "vnet"), (1, 0), strict=True)
    ]
    out = tmp_path / "out"
    build(runs, out)
    text = (out / "report.md").read_text()
    commands = [line.split() for line in text.splitlines() if f"train {out}" in line]
    recipes, folders = {words[2] for words in commands}, {words[-1] for words in commands}
    assert len(recipes) == len(folders) == 2 and {Path(one) for one in recipes} == set(out.glob("*.yaml"))
    networks = [yaml.safe_load(Path(words[2]).read_text())["student"]["type"] for words in commands]
    seeds = [{"unet": "train.seed=1", "vnet": "train.seed=0"}[network] for network in networks]
    assert set(networks) == {"unet", "vnet"} and seeds == [words[3] for words in commands]


def test_the_student_alone_is_trained_in_each_fold(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = [
        make_run(
            tmp_path / f"taught_fold{fold}", kind="distilled", network="unet", method="hinton", fold=fold,
            scores=scores(0.7, seed=fold),
        )
        for fold in range(2)
    ]  # fmt: skip
    command = conclude(gather(runs), tmp_path / "out")[0].command
    assert command is not None
    assert [line.split()[3:] for line in command.splitlines()] == [
        ["train.seed=0", f"data.splits.fold={fold}", "--out", f"{tmp_path}/taught_alone_fold{fold}_seed0"]
        for fold in range(2)
    ]


def test_a_student_alone_that_is_not_finished_is_not_denied(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    alone = make_run(
        tmp_path / "alone", kind="alone", network="unet", scores=None, status="training", epochs=7
    )
    distilled = make_run(
        tmp_path / "d", kind="distilled", network="unet", scores=scores(0.7), method="hinton"
    )
    verdict = judge([alone, distilled])
    assert "unknown, because the same network trained alone (S1) is not finished." in verdict.sentence
    assert verdict.command == "segdistill train student_alone train.seed=0 --resume"


def test_a_student_that_is_not_finished_is_gone_on_with(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(
        tmp_path / "d", kind="distilled", network="unet", scores=None, method="hinton", status="training"
    )
    verdict = judge([run])
    assert verdict.sentence.endswith("is not finished, so nothing can be concluded about it.")
    assert verdict.command == "segdistill train hinton train.seed=0 --resume"


def test_no_command_is_made_up_for_what_cannot_be_gone_on_with(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(
        tmp_path / "d", kind="distilled", network="unet", scores=None, method="hinton", status="training",
        more={"command": "a script of my own"},
    )  # fmt: skip
    assert judge([run]).command is None


def test_cases_in_which_no_dice_is_defined_are_still_shared(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    nothing = {case: dict.fromkeys(row) for case, row in scores(0.7).items()}
    teacher = make_run(tmp_path / "teacher", kind="alone", network="big", scores=nothing)
    alone = make_run(tmp_path / "alone", kind="alone", network="unet", scores=nothing)
    student = make_run(
        tmp_path / "d", kind="distilled", network="unet", scores=nothing, method="hinton",
        teachers={"t": str(teacher)},
    )  # fmt: skip
    sentence = judge([teacher, alone, student]).sentence
    assert (
        "shares 8 cases with the same student trained alone, but in none of them is a Dice defined for both"
        in sentence
    )
    assert "it shares 8 cases with its best teacher (T1, big), but in none" in sentence


def test_an_unevaluated_student_has_no_verdict(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "d", kind="distilled", network="unet", scores=None, method="hinton")
    verdict = judge([run])
    assert "no scores yet" in verdict.sentence
    assert verdict.command == f"segdistill evaluate {run}"


def test_without_distillation_nothing_is_concluded_about_it(study: list[Path]) -> None:
    verdict = judge(study[:2])
    assert verdict.sentence.startswith("None of these runs is distilled")


def test_an_answer_that_looks_at_no_image_is_compared_with(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    run = {"kind": "distilled", "network": "unet", "method": "hinton"}
    better = make_run(tmp_path / "better", scores=scores(0.8), ellipsoid=0.56, **run)
    assert "(centred ellipsoid) scores 56.0, 2" in " ".join(judge([better]).details)
    equal = make_run(tmp_path / "equal", scores=scores(0.5), ellipsoid=0.56, **run)
    assert "this student is worse than that" in " ".join(judge([equal]).details)


def test_the_best_student_comes_first(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / name, kind="distilled", network="unet", scores=scores(value), method=name)
        for name, value in (("hinton", 0.6), ("mse", 0.7))
    ]
    assert [v.sentence.split(" (")[0] for v in conclude(gather(runs), tmp_path)] == ["S1 mse", "S1 hinton"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fixed(-0.04), "0.0"),
        (fixed(-1.25, 2), "\u22121.25"),
        (fixed(None), "\u2013"),
        (fixed(float("nan")), "\u2013"),
        (signed(2.06), "+2.1"),
        (signed(0.01), "0.0"),
        (p_value(0.00004), "p < 0.001"),
        (p_value(0.0123), "p = 0.012"),
        (p_value(0.6), "p = 0.60"),
        (times(960, 62.7), "15 \u00d7"),
        (times(5, 2), "2.5 \u00d7"),
        (times(5, 0), None),
    ],
)
def test_numbers_as_people_read_them(text: str | None, expected: str | None) -> None:
    assert text == expected
