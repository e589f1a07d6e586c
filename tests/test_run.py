from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe
from segdistill.run import Run

HOLD = """
import sys
from pathlib import Path
from segdistill.run import Run
with Run(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.load({"name": "mine", "train": {"seed": 7}})


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> Run:
    return Run.create(tmp_path / "runs" / "Lauf für alle", recipe, kind="alone")


def files(run: Run) -> dict[str, bytes]:
    return {str(p.relative_to(run.path)): p.read_bytes() for p in run.path.rglob("*") if p.is_file()}


@contextmanager
def another_process(run: Run) -> Iterator[subprocess.Popen[str]]:
    """A second process at work in the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.communicate()


def test_a_new_run_tells_what_decides_it(run: Run, recipe: Recipe) -> None:
    assert run.recipe == recipe
    assert run.info["name"] == "Lauf für alle" and run.info["recipe"] == "mine"
    assert (run.info["kind"], run.info["seed"], run.info["status"]) == ("alone", 7, "started")
    assert run.info["machine"]["cores"] and run.info["machine"]["torch"]
    assert not run.finished
    run.update(status="finished", seconds=3.5)
    assert run.finished and run.info["seconds"] == 3.5 and run.info["seed"] == 7
    assert Run.open(run.path) == run


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty", recipe, kind="alone").recipe == recipe


def test_what_is_there_is_left_alone_unless_told(run: Run, recipe: Recipe) -> None:
    before = files(run)
    with pytest.raises(SegdistillError, match=r"exists: --resume goes on.*--overwrite replaces.*--out"):
        Run.create(run.path, recipe, kind="alone")
    assert files(run) == before


def test_overwrite_begins_anew(run: Run) -> None:
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "last.safetensors").write_text("old")
    run.log("epoch", epoch=0)
    new = Recipe.load({"name": "new"})
    again = Run.create(run.path, new, kind="distilled", if_exists="overwrite")
    assert again.info["recipe"] == "new" and again.info["kind"] == "distilled"
    assert again.events() == [] and not (run.path / "checkpoints").exists()


@pytest.mark.parametrize("if_exists", ["overwrite", "resume"])
def test_a_folder_that_is_no_run_is_never_touched(if_exists: str, tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "thesis.tex").write_text("the only copy")
    with pytest.raises(SegdistillError, match=r"is not a run \(it has no run.json\), so it is left as it is"):
        Run.create(tmp_path, recipe, kind="alone", if_exists=if_exists)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SegdistillError, match="is not a run"):
        Run.create(tmp_path / "file", recipe, kind="alone", if_exists=if_exists)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        "thesis.tex": "the only copy", "file": "no folder"
    }  # fmt: skip


def test_resume_goes_on_with_the_same_recipe_alone(run: Run, recipe: Recipe) -> None:
    before = files(run)
    assert Run.create(run.path, recipe, kind="alone", if_exists="resume") == run
    here = Recipe.load(recipe.model_dump(mode="json"), train={"accelerator": "cpu"}, data={"workers": 3})
    assert Run.create(run.path, here, kind="alone", if_exists="resume") == run
    other = Recipe.load(recipe.model_dump(mode="json"), train={"epochs": 9}, student={"channels": [2, 4]})
    with pytest.raises(
        SegdistillError, match=r"another recipe \(different: student.channels, train.epochs\)"
    ):
        Run.create(run.path, other, kind="alone", if_exists="resume")
    assert files(run) == before


@pytest.mark.parametrize(
    "left", [[], [".lock"], ["recipe.yaml"], [".lock", ".12.partial.run.json", "recipe.yaml"]]
)
def test_resume_of_what_was_killed_before_it_began(left: list[str], tmp_path: Path, recipe: Recipe) -> None:
    for name in left:
        (tmp_path / name).write_text("")
    assert Run.create(tmp_path, recipe, kind="alone", if_exists="resume").recipe == recipe


def test_open(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match="is not a run: no such folder; a run is what"):
        Run.open(tmp_path / "nowhere")
    run.file("recipe.yaml").unlink()
    with pytest.raises(SegdistillError, match=r"is not a run: it has no run\.json and recipe\.yaml"):
        Run.open(run.path)


def test_a_broken_file_is_named(run: Run) -> None:
    run.file("run.json").write_text('{"status": ')
    with pytest.raises(SegdistillError, match=r"run\.json: missing or broken"):
        _ = run.finished


def test_log(run: Run) -> None:
    assert run.events() == []
    run.log("epoch", epoch=0, loss={"total": 1.5})
    run.log("note", message="Größe \u2028 Zeile\nzwei")
    assert run.events() == [
        {"event": "epoch", "epoch": 0, "loss": {"total": 1.5}},
        {"event": "note", "message": "Größe \u2028 Zeile\nzwei"},
    ]


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_line_that_a_kill_cut_short_costs_no_other(run: Run, cut: int) -> None:
    run.log("epoch", epoch=0)
    run.log("note", message="ü")
    path = run.file("log.jsonl")
    path.write_bytes(path.read_bytes()[:-cut])
    kept = run.events()
    assert kept[0] == {"event": "epoch", "epoch": 0}
    run.log("note", message="resumed")
    assert run.events() == [*kept, {"event": "note", "message": "resumed"}]


def test_epochs_that_will_be_done_again_are_forgotten(run: Run) -> None:
    run.log("note", message="begun")
    for epoch in range(4):
        run.log("epoch", epoch=epoch)
        run.log("share", epoch=epoch)
    run.forget_after(2)
    assert [(e["event"], e.get("epoch")) for e in run.events()] == [
        ("note", None), ("epoch", 0), ("share", 0), ("epoch", 1), ("share", 1)
    ]  # fmt: skip


def test_warning_is_logged_and_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.warn("[coarse] gives 0.01% of the gradient", epoch=3)
    assert run.events() == [
        {"event": "warning", "message": "[coarse] gives 0.01% of the gradient", "epoch": 3}
    ]
    shown = capsys.readouterr()
    assert "warning: [coarse] gives 0.01% of the gradient" in " ".join(shown.err.split()) and not shown.out


def test_one_process_at_a_time(run: Run, recipe: Recipe) -> None:
    before = files(run)
    with another_process(run) as other:
        with pytest.raises(SegdistillError, match="is being written by another process"), run.locked():
            pytest.fail("two at once")
        with pytest.raises(SegdistillError, match="is being written by another process"), run.locked():
            Run.create(run.path, recipe, kind="alone", if_exists="overwrite")
        assert files(run) == before | {".lock": b""}
        other.kill()  # what is killed keeps no lock
        other.wait()
        with run.locked():
            pass
    with run.locked():
        pass


def test_run_json_is_plain_json(run: Run) -> None:
    assert json.loads((run.path / "run.json").read_text(encoding="utf-8"))["format"] == 1
    assert not [path for path in run.path.iterdir() if "partial" in path.name]
