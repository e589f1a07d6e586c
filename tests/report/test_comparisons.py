"""Families of comparisons: what Holm's correction changes in words, tables and figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdistill.evaluation.family import holm
from segdistill.evaluation.statistics import paired
from segdistill.report import html, markdown
from segdistill.report.comparisons import ALONE, QUESTIONS, TEACHER, TRIVIAL, comparisons, find
from segdistill.report.evidence import Evidence
from segdistill.report.figures import Figure, brackets, differences
from segdistill.report.gather import gather
from segdistill.report.overall import overall
from segdistill.report.page import compose
from segdistill.report.tables import ranking
from segdistill.report.tables.comparisons import tabulate
from segdistill.report.verdict import conclude

CASES = tuple(f"c{number:02d}" for number in range(12))
METHODS = ("hinton", "mse", "cwd", "fitnet")


def student(rng: np.random.Generator, gain: float, noise: float) -> dict[str, dict[str, float | None]]:
    base = np.linspace(0.5, 0.8, len(CASES))
    around = rng.normal(0, 1, len(CASES))
    wobble = noise * (around - around.mean()) / around.std(ddof=1)
    return {case: {"tumour": float(value)} for case, value in zip(CASES, base + gain + wobble, strict=True)}


@pytest.fixture
def four(make_run: Callable[..., Path], tmp_path: Path) -> Evidence:
    """A student alone and four distilled ones, of which hinton gains a little, and a teacher."""
    rng = np.random.default_rng(4)
    runs = [
        make_run(tmp_path / "t", kind="alone", network="big", scores=student(rng, 0.15, 0.01)),
        make_run(tmp_path / "alone", kind="alone", network="unet", scores=student(rng, 0, 0)),
    ]
    for method, gain in zip(METHODS, (0.022, 0.0, 0.001, -0.002), strict=True):
        scores = student(rng, gain, 0.03)
        runs.append(make_run(tmp_path / method, kind="distilled", network="unet", scores=scores, method=method,
                             teachers={"t": str(runs[0])}))  # fmt: skip
    return gather(runs)


def test_a_family_is_one_question_to_all_students(four: Evidence) -> None:
    found = comparisons(four)
    assert [one.question for one in found] == [question for question in QUESTIONS for _ in METHODS]
    for question in QUESTIONS:
        family = [one for one in found if one.question == question]
        assert [one.adjusted for one in family] == holm([one.test.t_p for one in family])
        assert {one.family for one in family} == {4}
    assert comparisons(four) is found  # tested once


def test_a_gain_by_itself_may_be_none_among_four(four: Evidence, tmp_path: Path) -> None:
    hinton = next(m for m in four.models if m.method == "hinton")
    one = find(four, ALONE, hinton)
    assert one is not None and one.test.interval is not None and one.test.t_p is not None
    assert one.test.interval[0] > 0 and one.test.t_p < 0.05 < (one.adjusted or 0)
    assert one.outcome == "open" and one.settled_by_itself
    verdict = next(v for v in conclude(four, tmp_path) if "hinton" in v.sentence)
    assert verdict.outcome == "open"
    assert verdict.sentence.startswith("No gain is shown")
    assert "among 4 comparisons chance alone may explain it" in verdict.sentence
    assert "with Holm\u2019s correction p = " in verdict.sentence
    assert verdict.tiles[0].tone == "plain" and verdict.tiles[1].tone == "loss"
    drawn = differences.draw(four)
    assert isinstance(drawn, Figure) and "adjusted for several students, Holm" in drawn.caption


def test_of_many_students_all_are_summed_up_first(four: Evidence, tmp_path: Path) -> None:
    verdicts = conclude(four, tmp_path)
    said = overall(verdicts)
    assert said == (
        "Of 4 distilled students, against the same student trained alone: none is shown to gain or to lose."
    )
    opened = verdicts[0]
    gain, loss, unknown = (replace(verdicts[0], outcome=word) for word in ("gain", "loss", "unknown"))
    assert overall((gain, gain, loss, unknown)) == (
        "Of 4 distilled students, against the same student trained alone: 2 are shown to gain, 1 is shown to lose, "
        "1 cannot be judged."
    )
    assert overall((gain, opened, opened, loss)) == (
        "Of 4 distilled students, against the same student trained alone: 1 is shown to gain, 1 is shown to lose, "
        "for 2 neither is shown."
    )
    assert overall(verdicts[:3]) is None
    page = compose(four, tmp_path)
    assert page.overall == said and page.told == verdicts[:1] and page.folded == verdicts[1:]
    for told in (markdown.render(page), html.render(page)):
        assert "none is shown to gain or to lose" in told
        assert (
            told.index("none is shown to gain or to lose")
            < told.index("hinton")
            < told.index("The other 3 students, one by one")
        )
        assert "fitnet" in told.partition("The other 3 students")[2]


def test_of_very_many_students_only_the_differences_to_the_student_alone_are_drawn(
    four: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = differences.draw(four)
    monkeypatch.setattr(differences, "MANY", 3)
    many = differences.draw(four)
    assert isinstance(few, Figure) and isinstance(many, Figure)
    assert "against best teacher" in few.alt and "against best teacher" not in many.alt
    assert "differences to the teachers" in many.caption and "differences to the teachers" not in few.caption


def test_the_same_gain_of_one_student_is_a_gain(
    make_run: Callable[..., Path], four: Evidence, tmp_path: Path
) -> None:
    alone, hinton = (next(run.path for run in four.runs if run.name == name) for name in ("alone", "hinton"))
    evidence = gather([alone, hinton])
    (verdict,) = conclude(evidence, tmp_path)
    assert verdict.outcome == "gain" and "Holm" not in " ".join((verdict.sentence, *verdict.details))


def test_what_stays_a_gain_says_how_it_was_judged(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    run = {"network": "unet"}
    runs = [make_run(tmp_path / "alone", kind="alone", scores=scores(0.6), **run)]
    for seed, method in enumerate(("hinton", "mse")):
        table = scores(0.7 + 0.05 * (seed == 0), seed=1 + seed)
        runs.append(make_run(tmp_path / method, kind="distilled", scores=table, method=method, **run))
    first, second = conclude(gather(runs), tmp_path)
    assert first.outcome == second.outcome == "gain"
    assert "Holm\u2019s correction adjusts for the 2 students compared: p < 0.001 here" in " ".join(
        first.details
    )


def test_the_table_holds_what_the_tests_say(four: Evidence) -> None:
    table = tabulate(four)
    assert table is not None
    titles = [column.title for column in table.columns]
    assert titles == ["Comparison", "Difference", "95 % CI", "t-test p", "Wilcoxon p", "Holm p", "Effect size d",
                      "Cases", "Runs", "Runs agreeing", "Seeds p"]  # fmt: skip
    assert [group.title for group in table.groups] == [
        f"{title} (4 tests in the family)" for title in QUESTIONS.values()
    ]
    hinton = next(m for m in four.models if m.method == "hinton")
    alone = four.of("alone")[0]
    test = paired(hinton.by_case("dice", CASES), alone.by_case("dice", CASES))
    row = next(r for r in table.groups[0].rows if "hinton" in r.cells[0].text)
    assert row.cells[0].text == "S1 hinton against S1 alone" and row.cells[0].extra == "not settled"
    assert test.difference is not None and test.interval is not None
    assert [cell.key for cell in row.cells[1:5]] == pytest.approx(
        [100 * test.difference, 100 * test.interval[0], test.t_p, test.wilcoxon_p]
    )
    assert row.cells[6].key == test.effect and row.cells[7].text == "12" and row.cells[8].text == "1"
    assert all(len(row.cells) == 11 for group in table.groups for row in group.rows)


def test_other_numbers_of_seeds_are_told(study: list[Path]) -> None:
    table = tabulate(gather([run for run in study if run.name != "alone_seed2"]))
    assert table is not None
    assert [group.rows[0].cells[-3].text for group in table.groups] == ["3 : 2", "3 : 1", "3"]
    assert [group.rows[0].cells[-2].text for group in table.groups] == ["3 of 3", "3 of 3", "\u2013"]


def test_no_evidence_is_not_judged(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    """A teacher that had learnt from all cases: no p-value is adjusted, and no bracket is drawn."""
    taught = {"taught_on": {"t": [f"case_{number:02d}" for number in range(16)]}}
    runs = [make_run(tmp_path / "alone", kind="alone", network="unet", scores=scores(0.6)),
            make_run(tmp_path / "d", kind="distilled", network="unet", scores=scores(0.8), method="hinton",
                     teachers={"t": "gone"}, more=taught)]  # fmt: skip
    evidence = gather(runs)
    assert [(one.outcome, one.adjusted) for one in comparisons(evidence)] == [("leak", None)] * 2
    table = tabulate(evidence)
    assert table is not None
    assert table.groups[0].rows[0].cells[0].extra == "no evidence"
    assert "0 tests in the family" in table.groups[0].title
    assert not isinstance(brackets.draw(evidence), Figure)


def test_brackets_carry_the_adjusted_p_values(four: Evidence) -> None:
    figure = brackets.draw(four)
    assert isinstance(figure, Figure) and figure.svg is not None
    assert figure.alt.count(" against S1 alone p") == 4
    assert "best teacher" not in figure.alt  # eight brackets would be too many
    assert "adjusted by Holm's method" in figure.caption
    for name in ("T1", "S1 alone", "hinton", "cwd"):
        assert name in figure.svg


def test_two_brackets_of_one_student(study: list[Path]) -> None:
    evidence = gather(study)
    figure = brackets.draw(evidence)
    assert isinstance(figure, Figure)
    assert "against S1 alone p < 0.001" in figure.alt and "against best teacher T1 p" in figure.alt
    assert "Holm" not in figure.caption
    assert find(evidence, TEACHER, evidence.of("distilled")[0]) is not None
    assert find(evidence, TRIVIAL, evidence.of("alone")[0]) is None


def test_spans_that_meet_do_not_share_a_height() -> None:
    spans = {1: (0, 1), 2: (1, 2), 3: (0, 2), 4: (3, 5), 5: (0, 2)}
    heights = brackets._heights(spans, [10.0, 50.0, 20.0, 5.0, 5.0, 5.0], 4.0)
    assert heights[1] == heights[2] == 52
    assert heights[4] == 7  # low, where the bars are
    assert len({heights[1], heights[3], heights[5]}) == 3 and min(heights[3], heights[5]) > heights[1]


def test_the_ranking_says_how_stable_it_is(four: Evidence) -> None:
    table = ranking.tabulate(four)
    assert table is not None
    names = [row.cells[0].text for row in table.groups[0].rows]
    assert names[:2] == ["T1", "S1 hinton"] and len(names) == 6
    assert table.groups[0].rows[0].cells[5].text == "100 %"
    assert sum(row.cells[5].key or 0 for row in table.groups[0].rows) == pytest.approx(1)
    assert "Kendall\u2019s tau" in table.notes[0] and "12 test cases" in table.notes[0]


def test_two_models_are_no_ranking(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / n, kind="alone", network=n, scores=scores(0.6)) for n in ("unet", "vnet")]
    assert ranking.tabulate(gather(runs)) is None
    assert tabulate(gather(runs)) is None
