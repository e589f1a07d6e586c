"""A record of training in MLflow, an extra."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from segdistill.errors import SegdistillError
from segdistill.publishable import flat, publishable
from segdistill.run import Run

AT_ONCE = 100  # parameters in one request; MLflow's limit
LONGEST = 500  # characters of a parameter; older servers take no more


class Tracking:
    """Writes the recipe, losses and validation figures of a run to MLflow, if that is wanted; a context.

    The experiment is called as the data set, the record as the run. A resumed run goes on with its record. What could
    name a patient or a place on this machine is not sent. A server that stops answering meanwhile is told once, and
    training goes on without it.

    Args:
        place: a folder or an address (`train.mlflow`); None: nothing is written.

    Raises:
        SegdistillError: it is wanted, and MLflow is not installed or nobody answers there.
    """

    def __init__(self, run: Run, place: str | None) -> None:
        self._run, self._client, self._id = run, None, ""
        if place is not None:
            try:
                self._client = client(place)
                self._id = self._begin(place)
            except SegdistillError:
                raise
            except Exception as error:  # MLflow's own kinds, and those of what it is made with
                raise SegdistillError(
                    f"train.mlflow: {place} cannot be written to ({_first_line(error)}); start the server, name "
                    "another folder, or leave train.mlflow out"
                ) from error

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
        self._try(lambda client: client.set_terminated(self._id, status))

    def write(
        self, epoch: int, losses: Mapping[str, float], scores: Mapping[str, float | None] | None
    ) -> None:
        """Add an epoch."""
        values = {f"loss/{name}": value for name, value in losses.items()}
        values |= {f"validation/{name}": value for name, value in (scores or {}).items() if value is not None}
        self._try(lambda client: client.log_batch(self._id, metrics=entries(values, epoch)))

    def _begin(self, place: str) -> str:
        """The record's id: that of an interrupted run, else a new one."""
        client: Any = self._client
        info = self._run.info
        known = info.get("mlflow") or {}
        if known.get("place") == place:
            client.set_terminated(known["run"], "RUNNING")
            return str(known["run"])
        name = (info.get("dataset") or {}).get("name") or "segdistill"
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name)
        tags = {"segdistill.kind": info.get("kind"), "segdistill.recipe": info.get("recipe")}
        tags |= {"segdistill.network": info.get("network")}
        tags |= {"segdistill.fingerprint": (info.get("dataset") or {}).get("fingerprint")}
        tags |= {"segdistill.version": (info.get("machine") or {}).get("segdistill")}
        made = client.create_run(
            number,
            run_name=self._run.path.name,
            tags={key: str(value) for key, value in tags.items() if value is not None},
        )
        identity = str(made.info.run_id)
        settings = list(parameters(self._run).items())
        for first in range(0, len(settings), AT_ONCE):
            client.log_batch(identity, params=[_param(*one) for one in settings[first : first + AT_ONCE]])
        self._run.update(mlflow={"place": place, "run": identity})
        return identity

    def _try(self, send: Callable[[Any], None]) -> None:
        if self._client is None:
            return
        try:
            send(self._client)
        except Exception as error:  # MLflow's own kinds, and those of what it is made with
            self._client = None
            self._run.warn(
                f"MLflow does not take what is logged any more, training goes on: {_first_line(error)}"
            )


def log_scores(run: Run) -> None:
    """Send the figures on whole images (metrics.json) to the record that training made; nothing where there is none.

    They are called `test/mean/dice` and, by class, `test/tumour/dice`; or as the split that was scored. A
    record that cannot be reached is told, not an error.
    """
    known = run.info.get("mlflow")
    if not known or not run.file("metrics.json").is_file():
        return
    content = run.read_json("metrics.json")
    summary = content.get("summary_without_leaks") or content.get("summary") or {}
    split = content.get("split", "test")
    values = {
        f"{split}/{name.replace('/', '_')}/{metric}": numbers.get("mean")
        for name, metrics in summary.items()
        for metric, numbers in metrics.items()
    }
    try:
        record = client(known["place"])
        there = record.get_run(known["run"]).data.metrics
        new = {name: value for name, value in values.items() if there.get(_name(name)) != value}
        record.log_batch(known["run"], metrics=entries(new, 0))
    except Exception as error:  # a missing extra, a server that is gone
        run.warn(f"MLflow was not told the figures: {_first_line(error)}")


def parameters(run: Run) -> dict[str, str]:
    """The recipe as MLflow's parameters: one level, without places and names of cases."""
    found = flat(publishable(run.recipe.model_dump(mode="json")))
    texts = {
        _name(key): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in found.items()
    }
    return {
        key: text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
        for key, text in texts.items()
        if text
    }


def entries(values: Mapping[str, float | None], step: int) -> list[Any]:
    """Numbers as MLflow's metrics; what is undefined is left out."""
    from mlflow.entities import Metric

    now = round(1000 * time.time())
    return [
        Metric(_name(name), float(value), now, step)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def client(place: str) -> Any:
    """A client of the record in a folder or at an address.

    Raises:
        SegdistillError: MLflow is not installed.
    """
    os.environ.setdefault(
        "MLFLOW_DISABLE_TELEMETRY", "true"
    )  # nobody is told what is done with patients' images
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # minutes for each epoch, otherwise
    if address(place).startswith("file:"):
        # Folders get no new features any more, but need neither a server nor a database.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise SegdistillError(
            "train.mlflow: MLflow is not installed; pip install 'segdistill[mlflow]'"
        ) from None
    return MlflowClient(tracking_uri=address(place))


def address(place: str) -> str:
    """A folder as an address; what is an address already stays."""
    return place if re.match(r"[a-z][a-z0-9+.-]*:|databricks$", place) else Path(place).absolute().as_uri()


def _param(name: str, value: str) -> Any:
    from mlflow.entities import Param

    return Param(name, value)


def _name(text: str) -> str:
    """A name that MLflow takes: letters of any script, so that classes written in them stay apart."""
    return re.sub(r"[^\w .:/-]", "_", text)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
