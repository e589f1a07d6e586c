from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from segdistill.cli.study.running import run_command
from segdistill.errors import SegdistillError
from segdistill.study.definition import Study, to_yaml
from segdistill.study.folder import StudyFolder
from segdistill.study.local import run_all
from segdistill.study.on_ray import OnRay

MEETS = """
import sys, time
from pathlib import Path
place, name = Path({place!r}), sys.argv[1]
(place / name).write_text("")
until = time.monotonic() + 60
while len(list(place.iterdir())) < {number}:
    assert time.monotonic() < until, "nobody else is at work"
    time.sleep(0.1)
"""
"""A run that ends when others are at work at the same time; else it fails."""


@pytest.fixture
def ray() -> Iterator[Any]:
    """Ray with two workers and two made GPUs on this machine; where it is not installed the test is skipped."""
    found = pytest.importorskip("ray", reason="needs Ray: pip install 'segdistill[ray]'")
    found.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    yield found
    found.shutdown()


@pytest.mark.slow
def test_runs_of_a_study_are_tasks(study: Callable[..., Study], tmp_path: Path, ray: Any) -> None:
    """One that cannot be trained fails, and its log says why."""
    bad = {
        "recipe": "student_alone",
        "settings": {"data": {"patch_size": [9, 9, 9]}, "student": {"preset": "t1"}},
    }
    folder = StudyFolder.begin(tmp_path, study(groups={"bad": bad}))
    run_all(folder, jobs=None, start=OnRay())
    statuses = folder.statuses()
    assert statuses.pop("bad_seed0") == "failed" and set(statuses.values()) == {"done"}
    assert "got 9 x 9 x 9" in folder.why_failed("bad_seed0")


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "together"), [(None, 2), (1, 1)])
def test_runs_that_are_ready_go_on_at_once(
    study: Callable[..., Study], tmp_path: Path, ray: Any, monkeypatch: pytest.MonkeyPatch,
    jobs: int | None, together: int,
) -> None:  # fmt: skip
    """As many as the cluster has room for, or as were asked for: each ends when so many have begun."""
    (tmp_path / "met").mkdir()
    program = MEETS.format(place=str(tmp_path / "met"), number=together)
    monkeypatch.setattr(
        "segdistill.study.on_ray.command", lambda _, name: [sys.executable, "-c", program, name]
    )
    folder = StudyFolder.begin(tmp_path / "out", study(groups={"taught": None}))
    run_all(folder, jobs=jobs, start=OnRay())
    told = {name: folder.why_failed(name) for name in folder.statuses()}
    assert set(told.values()) == {"ended with exit code 0"}, "they left no figures, but each met the other"


@pytest.mark.slow
def test_a_run_sees_the_gpus_that_it_takes(
    study: Callable[..., Study], tmp_path: Path, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "import os; print('GPUs:', os.environ.get('CUDA_VISIBLE_DEVICES'))"
    monkeypatch.setattr("segdistill.study.on_ray.command", lambda *_: [sys.executable, "-c", says])
    folder = StudyFolder.begin(tmp_path, study(groups={"taught": None}))
    run_all(folder, jobs=None, start=OnRay(gpus=1))
    logs = {folder.file(f"logs/{name}.log").read_text().strip() for name in folder.statuses()}
    assert logs <= {"GPUs: 0", "GPUs: 1"}, "one of the two that the cluster has"
    with pytest.raises(SegdistillError, match=r"--ray-gpus 3: this machine has 2 for Ray; ask for fewer"):
        OnRay(gpus=3)
    with pytest.raises(SegdistillError, match=r"--ray-gpus 1.5: Ray gives a part of one, or whole ones"):
        OnRay(gpus=1.5)


@pytest.mark.parametrize("option", ["--ray-cpus", "--ray-gpus"])
def test_what_a_run_takes_is_for_ray(
    study: Callable[..., Study], tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(to_yaml(study()))
    app = typer.Typer()
    app.command()(run_command)
    found = CliRunner().invoke(app, ["mine.yaml", option, "1"])
    assert isinstance(found.exception, SegdistillError) and "say --ray ADDRESS, too" in str(found.exception)
    assert not Path("studies").exists()


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], {"jobs": 1, "ray": None}),
        (["--jobs", "3"], {"jobs": 3, "ray": None}),
        (["--ray", "local"], {"jobs": None, "ray": (None, 1, 0)}),
        (
            ["--ray", "head:6379", "--jobs", "4", "--ray-cpus", "2", "--ray-gpus", "0.5"],
            {"jobs": 4, "ray": ("head:6379", 2, 0.5)},
        ),
    ],
)
def test_what_the_command_line_asks_of_ray(
    study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], asked: dict[str, Any],
) -> None:  # fmt: skip
    """Without --jobs all runs that are ready, which Ray puts in a queue."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(to_yaml(study()))
    found: dict[str, Any] = {"ray": None}

    def on_ray(address: str | None, *, cpus: float, gpus: float) -> None:
        found["ray"] = (address, cpus, gpus)

    monkeypatch.setattr("segdistill.study.on_ray.OnRay", on_ray)
    monkeypatch.setattr("segdistill.study.local.run_all", lambda _, *, jobs, **__: found.update(jobs=jobs))
    app = typer.Typer()
    app.command()(run_command)
    assert CliRunner().invoke(app, ["mine.yaml", *words]).exit_code == 1, "nothing was run"
    assert found == asked


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SegdistillError, match=r"pip install 'segdistill\[ray\]'"):
        OnRay()
