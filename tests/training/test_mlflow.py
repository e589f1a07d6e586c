"""What MLflow is told of a run. Tests that need it are skipped where the extra is not installed."""

from __future__ import annotations

import json
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training.mlflow import Tracking, address, client, log_scores, parameters
from segdistill.training.train import train

needs_mlflow = pytest.mark.skipif(
    util.find_spec("mlflow") is None, reason="MLflow is not installed: pip install 'segdistill[mlflow]'"
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has hardly begun."""
    return begun(tmp_path)


def begun(folder: Path, **train: Any) -> Run:
    recipe = Recipe.load(
        "hinton",
        name="mine",
        data={"path": "/scratch/anna", "splits": {"test": ["Anna_Smith"], "validation": ["Bob"]}},
        teachers={"t": {"run": "runs/secret"}},
        train={"seed": 7, **train},
    )
    run = Run.create(folder / "runs" / "mine", recipe, kind="distilled")
    run.update(dataset={"name": "Dataset101", "fingerprint": "0123"}, network="unet")
    return run


def kept(run: Run, place: str) -> Any:
    """What MLflow has of a run."""
    return client(place).get_run(run.info["mlflow"]["run"])


def test_not_wanted_is_not_imported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with Tracking(run, None) as tracking:
        tracking.write(0, {"total": 1.0}, None)
    log_scores(run)
    assert "mlflow" not in run.info


def test_a_missing_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(SegdistillError, match=r"pip install 'segdistill\[mlflow\]'"):
        Tracking(run, "mlruns")


def test_parameters_are_the_recipe_without_places_and_cases(run: Run) -> None:
    told = parameters(run)
    assert told["train.seed"] == "7" and told["terms.response.loss.type"] == "kl" and told["name"] == "mine"
    assert told["train.optimizer.betas"] == "[0.9, 0.999]"
    everything = json.dumps(told)
    for word in ("anna", "Smith", "Bob", "secret"):
        assert word not in everything
    assert max(map(len, told.values())) <= 500


@pytest.mark.parametrize("place", ["http://name:word@host:5000", "https://name@host/path"])
def test_a_recipe_keeps_no_password(place: str) -> None:
    with pytest.raises(SegdistillError, match="MLFLOW_TRACKING_PASSWORD"):
        Recipe.load({"train": {"mlflow": place}})


@pytest.mark.parametrize(
    "place", ["http://host:5000", "sqlite:///a.db", "file:///a/b", "databricks", "https://host/a@b"]
)
def test_an_address_stays(place: str) -> None:
    assert Recipe.load({"train": {"mlflow": place}}).train.mlflow == place
    assert address(place) == place


def test_a_folder_becomes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address("a folder/mlruns") == (tmp_path / "a%20folder" / "mlruns").as_uri().replace("%25", "%")


def test_where_a_run_is_logged_can_change_when_it_goes_on(tmp_path: Path) -> None:
    run = begun(tmp_path)
    data = run.recipe.model_dump(mode="json")
    data["train"]["mlflow"] = "elsewhere"
    assert Run.create(run.path, Recipe.check(data), kind="distilled", if_exists="resume").path == run.path


@needs_mlflow
def test_a_training_in_a_folder(tiny: dict[str, Any], tmp_path: Path) -> None:
    place = str(tmp_path / "mlruns")
    run = train(Recipe.load("student_alone", tiny, train={"epochs": 2, "mlflow": place}), tmp_path / "first")
    record, record_of = kept(run, place), client(place)
    assert (record.info.status, record.info.run_name) == ("FINISHED", "first")
    assert record_of.get_experiment(record.info.experiment_id).name == "data"  # as the data set
    assert record.data.params["train.epochs"] == "2" and "data.path" not in record.data.params
    logged = [event for event in run.events() if event["event"] == "epoch"]
    told = record_of.get_metric_history(record.info.run_id, "loss/total")
    assert [(one.step, one.value) for one in told] == [(e["epoch"], e["loss"]["total"]) for e in logged]
    assert record.data.metrics["validation/dice"] == logged[-1]["validation"]["dice"]
    assert str(tmp_path) not in json.dumps([record.data.params, record.data.tags])


@needs_mlflow
def test_no_file_there_names_a_case(tiny: dict[str, Any], tmp_path: Path) -> None:
    run = train(
        Recipe.load("student_alone", tiny, train={"epochs": 1, "mlflow": str(tmp_path / "mlruns")}),
        tmp_path / "run",
    )
    cases = {case for names in run.read_json("splits.json").values() for case in names}
    texts = [path.read_text() for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert texts and cases and not [case for case in cases if any(case in text for text in texts)]


@needs_mlflow
def test_a_resumed_run_goes_on_with_its_record(run: Run, tmp_path: Path) -> None:
    place = str(tmp_path / "mlruns")
    with pytest.raises(KeyboardInterrupt), Tracking(run, place) as tracking:
        tracking.write(0, {"total": 2.0}, {"dice": None})
        raise KeyboardInterrupt
    first = kept(run, place)
    assert first.info.status == "KILLED" and "validation/dice" not in first.data.metrics
    with Tracking(run, place) as tracking:
        assert kept(run, place).info.status == "RUNNING"
        tracking.write(1, {"total": 1.0, "peer friend (näher)": 3.0}, {"dice": 0.5})
    second = kept(run, place)
    assert second.info.run_id == first.info.run_id and second.info.status == "FINISHED"
    assert second.data.metrics["loss/total"] == 1.0 and second.data.metrics["validation/dice"] == 0.5


@needs_mlflow
def test_a_failure_is_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Tracking(run, str(tmp_path / "mlruns")):
        raise RuntimeError
    assert kept(run, str(tmp_path / "mlruns")).info.status == "FAILED"


@needs_mlflow
def test_a_server_that_stops_answering_does_not_stop_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tracking(run, str(tmp_path / "mlruns")) as tracking:

        def gone(*_: object, **__: object) -> None:
            raise ConnectionError("nobody there\nand more")

        monkeypatch.setattr(tracking._client, "log_batch", gone)
        tracking.write(0, {"total": 1.0}, None)
        tracking.write(1, {"total": 1.0}, None)
    warnings = [event["message"] for event in run.events() if event["event"] == "warning"]
    assert len(warnings) == 1 and "training goes on: nobody there" in warnings[0]


@needs_mlflow
def test_a_place_that_cannot_be_written_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SegdistillError, match=r"train\.mlflow: .*cannot be written to"):
        Tracking(run, str(tmp_path / "file"))


@needs_mlflow
def test_figures_on_whole_images_follow(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "mlruns")
    with Tracking(run, place):
        pass
    log_scores(run)  # not scored yet
    summary = {"mean": {"dice": {"mean": 0.6}, "hd95": {"mean": None}}, "tumour": {"dice": {"mean": 0.7}}}
    run.file("metrics.json").write_text(json.dumps({"split": "test", "summary": summary}))
    for _ in range(2):
        log_scores(run)
    record = kept(run, place)
    assert record.data.metrics == {"test/mean/dice": 0.6, "test/tumour/dice": 0.7}
    assert len(client(place).get_metric_history(record.info.run_id, "test/mean/dice")) == 1
    (tmp_path / "mlruns").rename(tmp_path / "gone")
    log_scores(run)
    assert "MLflow was not told the figures" in capsys.readouterr().err


@needs_mlflow
def test_classes_named_in_other_scripts_stay_apart(run: Run, tmp_path: Path) -> None:
    place = str(tmp_path / "mlruns")
    with Tracking(run, place):
        pass
    summary = {name: {"dice": {"mean": dice}} for name, dice in (("肝", 0.6), ("脾", 0.7))}
    run.file("metrics.json").write_text(json.dumps({"split": "test", "summary": summary}))
    log_scores(run)
    assert kept(run, place).data.metrics == {"test/肝/dice": 0.6, "test/脾/dice": 0.7}
