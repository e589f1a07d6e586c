"""What is kept of a study makes its report again, tells nothing of the machine, and can be reused by another study."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from segdistill.composition import merge
from segdistill.errors import SegdistillError
from segdistill.report.shown import Shown
from segdistill.run import Run
from segdistill.study.definition import Study
from segdistill.study.folder import StudyFolder
from segdistill.study.keep import keep
from segdistill.study.perform import perform
from segdistill.study.report import report
from segdistill.study.reuse import reuse

Make = Callable[..., Study]


@pytest.fixture(scope="module")
def done(study: Make, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of four runs, the last of which is not done."""
    groups = {"late": {"recipe": "student_alone", "settings": {"student": {"channels": [2, 6]}}}}
    asked = study(groups=groups, summary="two <students>", reference="Table 9")
    folder = StudyFolder.begin(tmp_path_factory.mktemp("studies") / "first", asked)
    folder.make_data()
    return performed(folder)


def performed(folder: StudyFolder) -> StudyFolder:
    """The folder with three of its runs done."""
    for name in ("teacher_seed0", "alone_seed0", "taught_seed0"):
        perform(folder, name)
    return folder


def test_the_report_says_what_the_study_is_and_what_is_missing(done: StudyFolder, tmp_path: Path) -> None:
    text = report(done, tmp_path).page.with_name("report.md").read_text()
    assert text.startswith("# Two \\<students\\>: ") and "Study: tiny" in text and "Follows: Table 9" in text
    assert "Partial study" in text and "1 of the 4 runs" in text and "1 waiting (late\\_seed0)" in text


def test_folders_that_only_the_runs_or_the_command_name_are_left_out(
    done: StudyFolder, tmp_path: Path
) -> None:
    shutil.copytree(done.path, tmp_path / "study")
    run = tmp_path / "study" / "runs" / "taught_seed0"
    recording = "/elsewhere/of/mine/images-1/knowledge/teacher-2"
    info = json.loads((run / "run.json").read_text()) | {"knowledge": {"teacher": {"cached": recording}}}
    (run / "run.json").write_text(json.dumps(info))
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"event": "note", "message": f"its answers are in {recording}"}) + "\n")
    command = "segdistill study run /elsewhere/mine.yaml --reuse /elsewhere/studies/first --out STUDY"
    (tmp_path / "study" / "command.txt").write_text(command)
    files = keep(StudyFolder.open(tmp_path / "study"), tmp_path / "kept")
    kept = "".join(file.read_text() for file in files if file.suffix not in (".png", ".svg"))
    assert "study run study.yaml --out STUDY" in kept and "--reuse" not in kept
    assert "elsewhere" not in kept and "STORE/images-1/knowledge/teacher-2" in kept


def test_no_place_of_this_machine_is_left_anywhere(done: StudyFolder, tmp_path: Path) -> None:
    """A study that was moved, whose settings, runs and command name all kinds of places; one run is not there."""
    study = tmp_path / "o'hara & co"
    shutil.copytree(done.path, study)
    shutil.rmtree(study / "runs" / "alone_seed0")  # so that the report says how to make it
    places = {
        "data": {"splits": {"file": "/home/alice/private/splits.json"}, "unlabelled": {"path": "/home/alice/more"}},
        "train": {"mlflow": "file:///home/alice/mlruns"},
    }  # fmt: skip
    foreign = {"teacher": {"run": None, "path": "/home/alice/nnUNet_results/Dataset1"}}
    content = yaml.safe_load((study / "study.yaml").read_text())
    content["settings"] = merge(content["settings"], places)
    content["groups"]["foreign"] = {"recipe": "hinton", "settings": {"teachers": foreign}}
    (study / "study.yaml").write_text(yaml.safe_dump(content))
    for file in study.glob("runs/*/recipe.yaml"):
        file.write_text(yaml.safe_dump(merge(yaml.safe_load(file.read_text()), places)))
    for file in (each for name in ("recipe.yaml", "*.json*") for each in study.glob(f"runs/*/{name}")):
        file.write_text(file.read_text().replace(str(done.path), "/home/alice/studies/first"))
    words = "data.splits.file=/home/alice/private/splits.json train.mlflow=file:///home/alice/mlruns"
    command = f"segdistill study run /home/alice/mine.yaml {words} {shlex.quote(f'--out={study}')}"
    (study / "command.txt").write_text(command)
    files = keep(StudyFolder.open(study), tmp_path / "kept")
    texts = {file: file.read_text() for file in files if file.suffix != ".png"}
    for place in ("alice", "hara", tempfile.gettempdir(), ".keeping"):
        assert not [file for file, text in texts.items() if place in text], place
    assert "segdistill train report/taught_alone.yaml" in texts[tmp_path / "kept" / "report" / "report.md"]
    taught = yaml.safe_load(texts[tmp_path / "kept" / "runs" / "taught_seed0" / "recipe.yaml"])
    assert taught["data"]["splits"]["file"] == "SPLITS/splits.json" and taught["train"]["mlflow"] == "MLFLOW"
    assert taught["teachers"]["teacher"]["run"] == "STUDY/runs/teacher_seed0"
    kept = StudyFolder.open(tmp_path / "kept")
    (one,) = [each for each in kept.planned if each.group == "foreign"]
    assert one.recipe.teachers["teacher"].path == "TEACHERS/Dataset1"
    assert report(kept, tmp_path / "again").verdict


def test_a_place_that_would_be_left_is_an_error_that_names_it(done: StudyFolder, tmp_path: Path) -> None:
    shutil.copytree(done.path, tmp_path / "study")
    with (tmp_path / "study" / "runs" / "alone_seed0" / "log.jsonl").open("a") as log:
        log.write(json.dumps({"event": "note", "message": f"see {Path.home()}/notes/mine.txt"}) + "\n")
    wrong = (
        rf"alone_seed0/log\.jsonl would say {re.escape(str(Path.home()))}/notes/mine\.txt, a place on this"
    )
    with pytest.raises(SegdistillError, match=wrong):
        keep(StudyFolder.open(tmp_path / "study"), tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_kept_files_are_small_and_make_the_report_again(done: StudyFolder, tmp_path: Path) -> None:
    out = tmp_path / "kept"
    (out / "notes").mkdir(parents=True)
    files = keep(done, out)
    assert {file.name for file in files if file.parent.name == "taught_seed0"} == {
        "recipe.yaml", "run.json", "splits.json", "log.jsonl", "metrics.json", "cost.json",
    }  # fmt: skip
    assert not any(file.suffix in (".ckpt", ".safetensors", ".pt") for file in files)
    for file in files:
        if file.suffix in (".json", ".jsonl", ".yaml", ".md", ".html"):
            assert str(tmp_path.parent) not in file.read_text(), file
    again = report(StudyFolder.open(out), tmp_path / "again")
    assert again.verdict in (out / "report" / "report.md").read_text().replace("\\", "")
    with pytest.raises(SegdistillError, match=r"holds study.yaml, runs, report already; say --overwrite"):
        keep(done, out)
    keep(done, out, overwrite=True)
    assert (out / "notes").is_dir(), "what is not a study's stays"
    for itself in (done.path, done.path.parent / "way" / ".." / done.path.name):
        (done.path.parent / "way").mkdir(exist_ok=True)
        with pytest.raises(SegdistillError, match="is the study itself"):
            keep(done, itself, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(SegdistillError, match="is a file; choose a folder"):
        keep(done, tmp_path / "file", overwrite=True)


def test_a_study_is_kept_from_inside_its_folder_and_of_a_short_name(
    done: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that are short, or a dot, stand in many texts for something else."""
    shutil.copytree(done.path, tmp_path / "t")
    monkeypatch.chdir(tmp_path / "t")
    keep(StudyFolder.open(Path()), tmp_path / "kept")
    kept = StudyFolder.open(tmp_path / "kept")
    assert kept.study == done.study and set(kept.statuses().values()) == {"done", "waiting"}
    assert report(kept, tmp_path / "again").verdict


def test_pictures_of_cases_are_left_out(done: StudyFolder, tmp_path: Path) -> None:
    with_them, without = keep(done, tmp_path / "with"), keep(done, tmp_path / "without", pictures=False)
    assert any("overlay" in file.name for file in with_them)
    assert not any("overlay" in file.name for file in without)
    assert "data:image/png" not in (tmp_path / "without" / "report" / "report.html").read_text()


def test_where_the_networks_look_is_shown_on_request(done: StudyFolder, tmp_path: Path) -> None:
    text = report(done, tmp_path / "with", shown=Shown(grad_cam=True)).page.read_text()
    assert "Where the networks look" in text and (tmp_path / "with" / "figures" / "grad-cam.png").is_file()
    assert "Where the networks look" not in report(done, tmp_path / "without").page.read_text()
    keep(done, tmp_path / "kept")
    text = report(
        StudyFolder.open(tmp_path / "kept"), tmp_path / "again", shown=Shown(grad_cam=True)
    ).page.read_text()
    assert "Grad-CAM" in text and "left out" in text, "kept runs have no checkpoints"


def test_runs_on_named_images_are_taken_over_with_their_teachers(
    done: StudyFolder, study: Make, tmp_path: Path
) -> None:
    data = {"data": {"path": str(done.path / "data" / "Dataset900_Phantom")}}
    first = performed(StudyFolder.begin(tmp_path / "first", study(settings=data)))
    groups = {"again": {"recipe": "hinton", "teachers": {"teacher": "teacher"}}, "taught": None}
    second = StudyFolder.begin(tmp_path / "second", study(settings=data, groups=groups, seeds=[0, 1]))
    assert reuse(second, first) == ["teacher_seed0", "alone_seed0", "again_seed0"]
    taken, given = second.run("again_seed0"), first.run("taught_seed0")
    assert Run.open(taken.path).info["teachers"]["teacher"] == str(second.run("teacher_seed0").path)
    assert Run.open(given.path).info["teachers"]["teacher"] == str(first.run("teacher_seed0").path), (
        "left alone"
    )
    assert second.statuses()["again_seed1"] == "waiting" and reuse(second, first) == []
    assert taken.file("metrics.json").read_bytes() == given.file("metrics.json").read_bytes()
