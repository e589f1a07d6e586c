"""A study is read and gone on with from any folder, with recipes of one's own and images that were named shortly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segdistill.composition import merge
from segdistill.errors import SegdistillError
from segdistill.run import Run
from segdistill.study.definition import Study, load, to_yaml
from segdistill.study.expansion import expand
from segdistill.study.folder import StudyFolder
from segdistill.study.keep import keep
from segdistill.study.perform import perform
from segdistill.study.report import report
from segdistill.study.reuse import reuse

Make = Callable[..., Study]
Folders = tuple[Path, Path]
METHOD: dict[str, Any] = {"terms": {"soft": {"loss": {"type": "kl", "temperature": 2}, "weight": 0.5}}}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """The folder of a study's file, in which this process works, and another one."""
    for name in ("mine", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine", tmp_path / "elsewhere"


@pytest.fixture
def written(study: Make, folders: Folders) -> Callable[..., Path]:
    """Writes a study with a method of one's own, and its recipe beside it."""

    def write(**over: Any) -> Path:
        Path("method.yaml").write_text(yaml.safe_dump(METHOD | {"teachers": {"teacher": {"run": "x"}}}))
        plain = merge(study().model_dump(mode="json"), {"groups": {"taught": {"recipe": "method.yaml"}}})
        Path("study.yaml").write_text(yaml.safe_dump(merge(plain, over)))
        return Path("study.yaml").absolute()

    return write


def names(study: Study) -> dict[str, str]:
    """What the recipes of a study's runs are called."""
    return {one.group: one.recipe.name for one in expand(study, Path("out"))}


def test_a_recipe_lies_beside_the_study_first(
    written: Callable[..., Path], folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written()
    assert names(load(file))["taught"] == "method"
    monkeypatch.chdir(folders[1])
    Path("method.yaml").write_text("not: a recipe")
    assert names(load(file))["taught"] == "method"
    (folders[0] / "method.yaml").rename(Path("method.yaml"))
    assert names(load(file))["taught"] == "method", "else where one works"
    Path("method.yaml").unlink()
    with pytest.raises(SegdistillError, match=r"groups.taught .*: recipe 'method.yaml': no such file"):
        names(load(file))


def test_a_study_that_was_begun_needs_no_other_file(
    written: Callable[..., Path], folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its profiles neither; and the same command goes on with it."""
    small = {"groups": {"taught": {"recipe": "../mine/small.yaml"}}}
    Path("small.yaml").write_text(yaml.safe_dump(METHOD))
    file = written(profiles={"small": small})
    begun = StudyFolder.begin(Path("out"), load(file))
    assert StudyFolder.begin(Path("out"), load(file)).study == begun.study
    for one in ("method.yaml", "small.yaml"):
        Path(one).unlink()
    monkeypatch.chdir(folders[1])
    again = StudyFolder.open(folders[0] / "out")
    assert [one.recipe for one in again.planned] == [one.recipe for one in begun.planned]
    assert names(load(folders[0] / "out" / "study.yaml", profile="small"))["taught"] == "small"
    assert to_yaml(again.study) == begun.file("study.yaml").read_text()


def test_recipes_of_one_name_stay_apart(study: Make, folders: Folders) -> None:
    """One of them as a shipped one is called, which is the folder of a run."""
    places = ("a/method.yaml", "method.yaml", "b/hinton/recipe.yaml")
    for number, place in enumerate(places):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(yaml.safe_dump(METHOD | {"summary": str(number)}))
    taught = {"teachers": {"teacher": "teacher"}}
    named = {"first": "a/method.yaml", "second": "method.yaml", "third": "b/hinton", "fourth": "hinton"}
    asked = study(groups={name: taught | {"recipe": recipe} for name, recipe in named.items()})
    planned = {one.group: one.recipe.summary for one in expand(asked, Path("out"))}
    assert [planned[name] for name in named][:3] == ["0", "1", "2"] and len(planned["fourth"]) > 1


def test_a_study_may_bring_recipes(study: Make) -> None:
    asked = study(recipes={"mine": METHOD}, groups={"taught": {"recipe": "mine", "every": "terms"}})
    planned = [one for one in expand(asked, Path("out")) if one.group == "taught"]
    assert [(one.name, one.recipe.name) for one in planned] == [("taught_soft_seed0", "mine")]
    with pytest.raises(SegdistillError, match=r"recipes.mine"):
        study(recipes={"mine": "hinton"})


def test_places_are_told_from_the_root(
    study: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a task of SLURM needs it, which begins in another folder."""
    places: dict[str, Any] = {
        "data": {"path": "Images", "store": "store", "splits": {"file": "splits.json"}},
        "train": {"mlflow": "mlruns"},
    }
    foreign = {"teachers": {"teacher": {"run": None, "path": ["../a/fold_?", "b"]}}}
    groups = {"other": {"recipe": "hinton", "settings": foreign}}
    profiles = {"small": {"settings": {"data": {"path": "Few"}}}}
    begun = StudyFolder.begin(Path("out"), study(settings=places, groups=groups, profiles=profiles))
    monkeypatch.chdir(folders[1])
    recipe = StudyFolder.open(begun.path).one("other_seed0").recipe
    mine, root = str(folders[0]), str(folders[0].parent)
    assert (recipe.data.path, recipe.data.store) == (f"{mine}/Images", f"{mine}/store")
    assert recipe.data.splits.file == f"{mine}/splits.json" and recipe.train.mlflow == f"{mine}/mlruns"
    assert recipe.teachers["teacher"].path == [f"{root}/a/fold_?", f"{mine}/b"]
    small = load(begun.file("study.yaml"), profile="small")
    assert small.settings["data"]["path"] == f"{mine}/Few"
    server = study(settings=merge(places, {"train": {"mlflow": "http://localhost:5000"}}))
    begun = StudyFolder.begin(folders[1] / "out", server)
    assert begun.study.settings["train"]["mlflow"] == "http://localhost:5000"


def test_a_study_that_was_begun_with_short_names_goes_on(study: Make, folders: Folders) -> None:
    """By the version that left them as they were typed; its runs are taken over by new studies, too."""
    made = StudyFolder.begin(Path("first"), study())
    made.make_data()
    (made.path / "data" / "Dataset900_Phantom").rename("Images")
    asked = study(settings={"data": {"path": "Images"}})
    begun = StudyFolder.begin(Path("before"), asked)
    for name in ("teacher_seed0", "taught_seed0"):
        perform(begun, name)
        shorten(begun.run(name), folders[0])
    begun.file("study.yaml").write_text(to_yaml(asked))
    for name in ("metrics.json", "cost.json"):
        begun.run("taught_seed0").file(name).unlink()
    again = StudyFolder.begin(Path("before"), asked)
    perform(again, "taught_seed0")
    assert again.statuses()["taught_seed0"] == "done"
    for name in ("teacher_seed0", "taught_seed0"):
        shorten(begun.run(name), folders[0])
    assert reuse(StudyFolder.begin(Path("new"), asked), again) == ["teacher_seed0", "taught_seed0"]
    StudyFolder.begin(Path("new"), asked)


def shorten(run: Run, folder: Path) -> None:
    """Let a run's recipe say where its images lie as seen from a folder."""
    file = run.file("recipe.yaml")
    file.write_text(file.read_text().replace(f"path: {folder}/", "path: "))
    assert run.recipe.data.path == "Images"


def test_a_kept_study_makes_its_report_again_without_the_recipe(
    written: Callable[..., Path], folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = StudyFolder.begin(Path("out"), load(written()))
    begun.make_data()
    for name in begun.statuses():
        perform(begun, name)
    keep(begun, Path("kept"), pictures=False)
    Path("method.yaml").unlink()
    monkeypatch.chdir(folders[1])
    assert "Dice" in report(StudyFolder.open(folders[0] / "kept"), Path("again")).verdict
