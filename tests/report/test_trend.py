"""Dice along what a study varies: widths, labels, the quality of the teacher; and nothing where it varies nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.report import build
from segdistill.report.figures import Figure, trend
from segdistill.report.gather import gather

Make = Callable[..., Path]


def change(run: Path, **data: Any) -> Path:
    """Lay settings over the data section of a run's recipe."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for key, value in data.items():
        recipe["data"][key] = {**recipe["data"].get(key, {}), **value}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run


def drawn(runs: list[Path]) -> Figure:
    figure = trend.draw(gather(runs))
    assert isinstance(figure, Figure), figure
    return figure


def test_widths(make_run: Make, scores: Any, tmp_path: Path) -> None:
    teacher = make_run(
        tmp_path / "teacher", kind="alone", network="unet", scores=scores(0.9), size=(9_000_000, 9, 9.0)
    )
    runs = [teacher]
    for width, dice in ((100_000, 0.5), (200_000, 0.6), (400_000, 0.7)):
        size = {"size": (width, 10 * width, 5.0), "network": "unet"}
        for seed in (0, 1):
            runs.append(make_run(tmp_path / f"alone{width}_{seed}", kind="alone", seed=seed,
                                 scores=scores(dice, seed=seed), **size))  # fmt: skip
            runs.append(make_run(
                tmp_path / f"taught{width}_{seed}", kind="distilled", method="hinton", seed=seed,
                scores=scores(dice + 0.1, seed=seed), teachers={"teacher": str(teacher)}, **size,
            ))  # fmt: skip
    figure = drawn(runs)
    assert "parameters of the student" in figure.alt and "at 0.1" in figure.alt and "at 0.4" in figure.alt
    assert (
        "hinton" in figure.alt
        and "student alone" in figure.alt
        and figure.svg
        and "best teacher" in figure.svg
    )
    assert "at 9" not in figure.alt, "a teacher is a level, not a student"
    page = build(runs, tmp_path / "out").page
    assert (
        figure.caption in page.read_text() and (tmp_path / "out/figures/dice-along-the-study.svg").is_file()
    )


def test_labels_go_before_widths_and_images_without_label_are_a_line(
    make_run: Make, scores: Any, tmp_path: Path
) -> None:
    teacher = make_run(
        tmp_path / "teacher", kind="alone", network="unet", scores=scores(0.9), size=(9_000_000, 9, 9.0)
    )
    runs = [teacher]
    for share in (0.1, 0.25, 1.0):
        taught = {
            "kind": "distilled",
            "network": "net",
            "method": "hinton",
            "teachers": {"teacher": str(teacher)},
        }
        labelled = {"splits": {"labelled": share}}
        runs.append(
            change(
                make_run(tmp_path / f"a{share}", kind="alone", network="net", scores=scores(0.4 + share / 4)),
                **labelled,
            )
        )
        runs.append(
            change(make_run(tmp_path / f"t{share}", scores=scores(0.5 + share / 4), **taught), **labelled)
        )
        if share < 1:
            one = make_run(tmp_path / f"u{share}", scores=scores(0.6 + share / 4), **taught)
            runs.append(change(one, **labelled, unlabelled={"share": 0.5}))
    figure = drawn(runs)
    assert "labels are used" in figure.alt
    assert "hinton, images without label too 64.0 at 10, 67.7 at 25" in figure.alt


def test_teachers_by_how_good_they_are(make_run: Make, scores: Any, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "alone", kind="alone", network="net", scores=scores(0.6))]
    for dice in (0.6, 0.7, 0.8):
        size = (int(dice * 1e7), 9, 9.0)
        teacher = make_run(
            tmp_path / f"teacher{dice}", kind="alone", network="unet", scores=scores(dice), size=size
        )
        runs += [teacher, make_run(tmp_path / f"taught{dice}", kind="distilled", method="hinton", network="net",
                                   scores=scores(dice - 0.05), teachers={"teacher": str(teacher)})]  # fmt: skip
    figure = drawn(runs)
    assert "dice of the teacher" in figure.alt and figure.svg and "student alone" in figure.svg


@pytest.mark.parametrize("methods", [("hinton", "cwd", "dist")])
def test_methods_of_one_student_are_no_line(
    make_run: Make, scores: Any, tmp_path: Path, methods: tuple[str, ...]
) -> None:
    teacher = make_run(
        tmp_path / "teacher", kind="alone", network="unet", scores=scores(0.9), size=(9_000_000, 9, 9.0)
    )
    runs = [teacher, make_run(tmp_path / "alone", kind="alone", network="net", scores=scores(0.6))]
    runs += [make_run(tmp_path / name, kind="distilled", method=name, network="net", scores=scores(0.7),
                      teachers={"teacher": str(teacher)}) for name in methods]  # fmt: skip
    assert not isinstance(trend.draw(gather(runs)), Figure)
