from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from segdistill.errors import SegdistillError
from segdistill.report.run_folder import read_run


def test_a_run_is_read_with_its_log_up_to_the_line_that_a_kill_cut_short(study: list[Path]) -> None:
    run = read_run(study[-1])
    assert (run.kind, run.network, run.method, run.seed) == ("distilled", "unet", "teach_former", 2)
    assert len(run.epochs) == 20 == run.planned_epochs
    assert set(run.epochs[0].loss) == {"segmentation", "coarse", "fine", "pixel", "total"}
    assert run.shares[0]["coarse"] == 0.005
    assert run.scores is not None and len(run.scores.cases) == 8
    assert set(run.baselines) == {"all_background", "centred_ellipsoid"}


def test_a_run_that_has_only_begun_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"name": "young", "kind": "alone"}')
    run = read_run(tmp_path)
    assert run.scores is None and run.cost is None and not run.epochs and run.seed is None


def test_an_undefined_value_is_not_a_number(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", kind="alone", network="unet", scores={"one": {"a": None, "b": 0.5}})
    scores = read_run(folder).scores
    assert scores is not None
    assert math.isnan(scores.of("one", "dice", "a"))
    assert scores.of("one", "dice") == 0.5  # of the classes that are defined


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"is not a run folder \(it has no run.json\)"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics.json", '{"cases": [', "metrics.json is not valid JSON"),
        ("metrics.json", "[]", "metrics.json holds a list"),
        ("metrics.json", '{"cases": [{"dice": 1}]}', "not in the form of a run folder"),
        ("recipe.yaml", "a: [", "recipe.yaml is not valid YAML"),
        ("cost.json", '{"input": 3}', "not in the form of a run folder"),
    ],
)
def test_a_broken_file_is_named(study: list[Path], name: str, text: str, message: str) -> None:
    (study[0] / name).write_text(text)
    with pytest.raises(SegdistillError, match=message):
        read_run(study[0])


def test_teachers_are_found_in_the_recipe_where_run_json_has_none(study: list[Path]) -> None:
    about = json.loads((study[-1] / "run.json").read_text())
    del about["teachers"]
    (study[-1] / "run.json").write_text(json.dumps(about))
    assert read_run(study[-1]).teachers == {"a": str(study[0]), "b": str(study[1])}


def test_a_teacher_that_is_still_to_be_trained_lies_nowhere(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"kind": "distilled"}')
    (tmp_path / "recipe.yaml").write_text(
        "teachers: {big: {run: null, network: {type: unetr}}, old: {run: a/b}}"
    )
    assert read_run(tmp_path).teachers == {"big": "", "old": "a/b"}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_split_of_the_scored_cases_is_read(
    make_run: Callable[..., Path], tmp_path: Path, split: str
) -> None:
    run = make_run(tmp_path / "r", kind="alone", network="unet", scores={"one": {"a": 0.5}}, split=split)
    assert read_run(run).split == split
    (run / "metrics.json").unlink()
    assert read_run(run).split == ""
