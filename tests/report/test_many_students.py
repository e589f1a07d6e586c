"""Figures of many students with long names: nothing is cut, covered or left out in silence."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image

from segdistill.report import html, markdown
from segdistill.report.evidence import Evidence, Model
from segdistill.report.figures import Figure, brackets, bubble, crowd, curves, differences, slopes
from segdistill.report.figures.differences import Line, limits
from segdistill.report.figures.fitted import fitted, width
from segdistill.report.figures.labels import label_points
from segdistill.report.figures.names import names_of
from segdistill.report.figures.one_by_one import one_by_one
from segdistill.report.figures.style import drawn
from segdistill.report.figures.swarm import side_by_side
from segdistill.report.gather import gather
from segdistill.report.missed import missed
from segdistill.report.page import compose

LONG = "teach_former_practical (hdenseformer-swinunetr-unetr-segresnet-{})"
NUMBERS = st.floats(0, 300, allow_nan=False)


@pytest.fixture
def many(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> Evidence:
    """A student alone and eight distilled ones of its size; the last hardly finds the class "posterior"."""
    runs = [make_run(tmp_path / "alone", kind="alone", network="unet", scores=scores(0.7))]
    for number in range(8):
        found = scores(0.9 - number / 30, seed=number)
        if number == 7:
            found = {case: {**row, "posterior": 0.02} for case, row in found.items()}
        runs.append(make_run(tmp_path / f"m{number}", kind="distilled", network="unet", scores=found,
                             method=f"m{number}", terms=("coarse", "fine"), seed=number))  # fmt: skip
    evidence = gather(runs)
    long = {m.short: replace(m, short=f"S1 {LONG.format(m.method)}") for m in evidence.of("distilled")}
    return replace(
        evidence,
        models=tuple(long.get(m.short, m) for m in evidence.models),
        comparisons=tuple(replace(c, student=long[c.student.short]) for c in evidence.comparisons),
    )


def model(role: str, short: str) -> Model:
    return Model(role, short, ())


def test_names_that_begin_alike_are_told_by_what_differs() -> None:
    warm, cold = model("distilled", "S1 kd (warm up)"), model("distilled", "S1 kd (warm down)")
    names = names_of([model("teacher", "T1"), model("alone", "S1"), warm, cold])
    assert names.common == "S1 kd" and "S1 kd" in names.said
    assert [names.of(one) for one in (warm, cold)] == ["warm up", "warm down"]
    assert [names.of(model("teacher", "T1")), names.of(model("alone", "S1"))] == ["T1", "S1 alone"]


def test_a_name_that_is_the_beginning_of_another_is_kept() -> None:
    short, long = model("distilled", "S1 kd"), model("distilled", "S1 kd (warm)")
    names = names_of([short, long])
    assert [names.of(short), names.of(long)] == ["kd", "kd (warm)"]
    one = names_of([long, model("alone", "S1")])
    assert one.of(long) == "S1 kd (warm)" and one.said == ""


@given(st.text(st.sampled_from("abMW_-. /"), max_size=60), st.floats(20, 200))
def test_every_line_has_room_and_no_letter_is_lost(text: str, room: float) -> None:
    lines = fitted(text, room, 8.5).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(width(line, 8.5) <= room for line in lines)


@given(st.lists(st.tuples(st.sampled_from([50.0, 51.0, 200.0]), NUMBERS), max_size=15), st.floats(0, 40))
def test_marks_side_by_side_do_not_meet(places: list[tuple[float, float]], reach: float) -> None:
    found = side_by_side(places, 10.0, [reach] * len(places))
    assert [y for _, y in found] == [y for _, y in places] and found[:1] == places[:1]
    assert all(math.dist(a, b) >= 9.9 for a, b in itertools.combinations(found, 2))


def test_names_cover_neither_each_other_nor_bubbles() -> None:
    places = [(0.4, 0.5), (0.43, 0.5), (0.46, 0.55), (0.7, 0.5)]
    with drawn(7.6, 4.4) as (canvas, (axes,)):
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        canvas.draw_without_rendering()
        label_points(axes, ["a_long_name", "another", "one_more_name", "teacher"], places, [900.0] * 4)
        canvas.draw_without_rendering()
        names = [Text.get_window_extent(text) for text in axes.texts]  # without the line to the mark
        radius = math.sqrt(900 / math.pi) * canvas.dpi / 72
        bubbles = axes.transData.transform(places)
    assert len(names) == 4
    assert not any(one.overlaps(other) for one, other in itertools.combinations(names, 2))
    for box, (x, y) in itertools.product(names, bubbles):
        nearest = min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
        assert math.dist(nearest, (x, y)) > radius


def test_no_figure_is_cut_at_its_edge(many: Evidence) -> None:
    figures = [bubble.draw(many), slopes.draw(many), brackets.draw(many), differences.draw(many)]
    for figure in (*figures, curves.draw(many.comparisons[0])):
        assert isinstance(figure, Figure)
        pixels = np.asarray(Image.open(io.BytesIO(figure.png)).convert("L"))
        assert (pixels[:, [0, 1, -2, -1]] > 250).all(), figure.name


def test_common_words_are_said_once(many: Evidence) -> None:
    common = "S1 teach_former_practical"
    for figure in (bubble.draw(many), slopes.draw(many), brackets.draw(many), differences.draw(many)):
        assert isinstance(figure, Figure) and figure.svg is not None
        assert f"begin with \u201c{common}\u201d" in figure.caption
        shown = figure.svg.count("former_practical")
        assert shown <= (1 if figure.name == "brackets" else 0), figure.name  # in the label of its axis
        assert common in figure.alt  # who hears the figure hears whole names


def test_the_student_that_a_warning_names_is_drawn_and_the_caption_says_which(
    many: Evidence, tmp_path: Path
) -> None:
    (found,) = missed(many)
    assert found.name == "posterior" and [run.name for _, run, _ in found.runs] == ["m7"]
    chosen, said = one_by_one(many, many.comparisons)
    assert [one.student.method for one in chosen] == [*(f"m{n}" for n in range(6)), "m7"]
    assert "the best six of 8 students" in said and "-m7)" in said and "-m6)" not in said
    assert one_by_one(many, many.comparisons[:6]) == (chosen[:6], "")
    page = compose(many, tmp_path)
    drawn_last = page.curves[-1]
    assert isinstance(page.slopes, Figure) and isinstance(drawn_last, Figure)
    assert said in page.slopes.caption and said in drawn_last.caption and "m7" in drawn_last.title
    assert len(page.curves) == 7
    for text in (markdown.render(page), html.render(page)):
        assert "the best six of 8 students" in text


def test_of_a_crowd_only_the_ends_and_the_student_alone_are_named(many: Evidence) -> None:
    figure = bubble.draw(many)
    assert isinstance(figure, Figure) and figure.svg is not None
    shown = {name for name in (f"m{n}" for n in range(8)) if f"-{name}<" in figure.svg}
    assert shown == {"m0", "m7"} and "S1 alone<" in figure.svg
    assert f"more than {crowd.MOST} models are of one size" in figure.caption
    assert "moved a little sideways" in figure.caption and "arrows" not in figure.caption
    assert all(f"-m{n})" in figure.alt for n in range(8))


def test_dice_ends_at_100(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / f"r{n}", kind="alone", network="unet", scores=scores(dice), seed=n)
        for n, dice in enumerate((0.99, 0.2))
    ]
    figure = bubble.draw(gather(runs))
    assert isinstance(figure, Figure) and figure.svg is not None
    assert ">100<" in figure.svg and ">120<" not in figure.svg


def line(middle: float, *runs: float) -> Line:
    return Line("a", "a", middle, (middle - 0.5, middle + 0.5), "open", runs)


def test_one_run_that_failed_does_not_stretch_the_axis() -> None:
    rows = [line(1.0, 0.5, 1.5), line(-18.9, -54.2, -1.5, -1.0)]
    low, high = limits(rows)
    assert -30 < low < -19.4 and 1.5 < high < 4
    near = limits([line(1.0, 0.2, 2.2)])
    assert near[0] < 0 and near[1] > 2.2  # a run that is not far is within


def test_a_run_further_out_is_named_at_the_edge(
    make_run: Callable[..., Path], scores: Any, tmp_path: Path
) -> None:
    runs = [make_run(tmp_path / "alone", kind="alone", network="unet", scores=scores(0.7))]
    for seed, dice in enumerate((0.72, 0.72, 0.7, 0.7, 0.1)):
        runs.append(make_run(tmp_path / f"d{seed}", kind="distilled", network="unet", scores=scores(dice),
                             method="kd", seed=seed))  # fmt: skip
    figure = differences.draw(gather(runs))
    assert isinstance(figure, Figure) and figure.svg is not None
    assert "A small arrow at the edge" in figure.caption
    assert "\u221260" in figure.svg.replace(".0<", "<")
