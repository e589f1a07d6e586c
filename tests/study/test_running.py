"""Runs of a study are started when their teachers are done, gone on with, and told about."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from segdistill.errors import SegdistillError
from segdistill.study.definition import Study, to_yaml
from segdistill.study.expansion import Planned
from segdistill.study.folder import StudyFolder
from segdistill.study.hold import held, holding
from segdistill.study.local import Job, run_all
from segdistill.study.perform import perform
from segdistill.study.slurm import generations, write_arrays
from segdistill.study.watching import Watch, as_plain, share, table

Make = Callable[..., Study]
HOLD = (
    "import sys; from pathlib import Path; from segdistill.study.hold import holding\n"
    "with holding(Path(sys.argv[1])) as got: print(got, flush=True); sys.stdin.read()"
)
"""Holds a file in another process until its input ends."""


@dataclass
class MadeJob:
    """A run that is over after a few looks."""

    code: int
    looks: int = 2
    stopped: bool = False

    def poll(self) -> int | None:
        self.looks -= 1
        return self.code if self.looks < 0 else None

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Start:
    """Starts runs that do nothing but leave files, or fail."""

    failing: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    jobs: list[MadeJob] = field(default_factory=list)

    def __call__(self, folder: StudyFolder, planned: Planned, jobs: int) -> Job:
        self.started.append(planned.name)
        fails = planned.name in self.failing
        if not fails:
            path = folder.run(planned.name).path
            path.mkdir(parents=True, exist_ok=True)
            (path / "run.json").write_text('{"status": "finished"}')
            for name in ("metrics.json", "cost.json"):
                (path / name).write_text("{}")
        else:
            log = folder.file(f"logs/{planned.name}.log")
            log.parent.mkdir(exist_ok=True)
            log.write_text("epoch 1\nerror: too little memory\n")
        self.jobs.append(MadeJob(1 if fails else 0))
        return self.jobs[-1]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segdistill.study.local.LOOK", 0)


def test_teachers_first_and_everything_once(study: Make, tmp_path: Path) -> None:
    folder, start = StudyFolder.begin(tmp_path, study(seeds=[0, 1])), Start()
    with Watch(folder) as watch:
        run_all(folder, start=start, look=watch.look)
    assert start.started == ["teacher_seed0", "alone_seed0", "alone_seed1", "taught_seed0", "taught_seed1"]
    assert set(folder.statuses().values()) == {"done"} and share(folder) == 5
    again = Start()
    run_all(StudyFolder.open(tmp_path), start=again)
    assert again.started == []


def test_several_at_once(study: Make, tmp_path: Path) -> None:
    folder, start = StudyFolder.begin(tmp_path, study(seeds=[0, 1])), Start()
    most: list[int] = []
    run_all(
        folder, jobs=2, start=start, look=lambda _: most.append(sum(job.looks >= 0 for job in start.jobs))
    )
    assert max(most) == 2 and len(start.started) == 5


def test_a_failed_run_stops_nobody_but_its_students(
    study: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, start = StudyFolder.begin(tmp_path, study()), Start({"teacher_seed0"})
    with Watch(folder) as watch:
        run_all(folder, start=start, look=watch.look)
    assert folder.statuses() == {"teacher_seed0": "failed", "alone_seed0": "done", "taught_seed0": "waiting"}
    assert folder.why_failed("teacher_seed0") == (
        "ended with exit code 1; its last words: error: too little memory"
    )
    assert "its last words: error: too little memory" in capsys.readouterr().err
    left_alone = Start()
    run_all(folder, start=left_alone)
    assert left_alone.started == []
    again = Start()
    run_all(folder, retry=True, start=again)
    assert again.started == ["teacher_seed0", "taught_seed0"]
    told = as_plain(folder)
    assert told["counts"] == {"done": 3} and json.dumps(told)


def test_runs_at_work_are_stopped_when_the_study_is(study: Make, tmp_path: Path) -> None:
    folder, start = StudyFolder.begin(tmp_path, study()), Start()

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(folder, start=start, look=interrupted)
    assert [job.stopped for job in start.jobs] == [True]


def test_two_processes_do_not_run_one_study(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path, study())
    words = [sys.executable, "-c", HOLD, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline().strip() == b"True"
        assert held(tmp_path / ".lock")
        with pytest.raises(
            SegdistillError, match=r"is being run by another process; `segdistill study status"
        ):
            run_all(folder, start=Start())
        other.stdin.close()
    assert not held(tmp_path / ".lock") and not held(tmp_path / "nothing")
    with holding(tmp_path / ".lock") as got:
        assert got


def test_folders_that_are_something_else(study: Make, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(SegdistillError, match="is not the folder of a study; choose another --out"):
        StudyFolder.begin(tmp_path, study())
    with pytest.raises(SegdistillError, match=r"it has no study.yaml"):
        StudyFolder.open(tmp_path)
    other = tmp_path / "other"
    run_all(StudyFolder.begin(other, study()), start=Start())
    with pytest.raises(SegdistillError, match=r"runs that this study does not ask for \(alone_seed0"):
        StudyFolder.begin(other, study(seeds=[7]))
    more = StudyFolder.begin(other, study(seeds=[0, 7]))
    assert [name for name, status in more.statuses().items() if status == "waiting"] == [
        "alone_seed7",
        "taught_seed7",
    ]
    with pytest.raises(SegdistillError, match=r"study tiny names no data; say data.path=FOLDER"):
        StudyFolder.begin(tmp_path / "third", study(phantom=None))


def test_a_refused_start_changes_nothing(study: Make, tmp_path: Path) -> None:
    begun = StudyFolder.begin(tmp_path, study(), "segdistill study run first")
    before = begun.file("study.yaml").read_bytes()
    words = [sys.executable, "-c", HOLD, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdin is not None and other.stdout.readline()
        with pytest.raises(SegdistillError, match="is being run by another process"):
            StudyFolder.begin(tmp_path, study(seeds=[0, 1]), "segdistill study run second")
        other.stdin.close()
    assert begun.file("study.yaml").read_bytes() == before and begun.command == "segdistill study run first"


def test_runs_of_other_settings_are_not_told_as_this_study(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path, study())
    folder.make_data()
    perform(folder, "teacher_seed0")
    with pytest.raises(
        SegdistillError, match=r"other settings .*\(different: train.epochs\); choose another --out"
    ):
        StudyFolder.begin(tmp_path, study(settings={"train": {"epochs": 3}}))
    # More threads for reading, another place for images and another summary make no other run.
    StudyFolder.begin(
        tmp_path, study(settings={"data": {"workers": 1, "store": str(tmp_path / "s")}}, summary="x")
    )


def test_a_study_goes_on_where_it_was_moved_to_and_however_it_is_named(
    study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = StudyFolder.begin(tmp_path / "first", study())
    folder.make_data()
    for name in ("teacher_seed0", "taught_seed0"):
        perform(folder, name)
    for name in ("metrics.json", "cost.json"):
        folder.run("taught_seed0").file(name).unlink()
    (tmp_path / "first").rename(tmp_path / "second")
    monkeypatch.chdir(tmp_path / "second")
    moved = StudyFolder.begin(Path(), study())
    perform(moved, "taught_seed0")
    assert moved.statuses()["taught_seed0"] == "done"
    assert moved.run("taught_seed0").info["teachers"]["teacher"] == str(moved.run("teacher_seed0").path)


def test_a_run_that_fails_by_itself_says_why(
    study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a task of SLURM, which nobody watches."""
    folder = StudyFolder.begin(tmp_path, study())
    folder.make_data()

    def broken(*_: object, **__: object) -> None:
        raise MemoryError("no room [/data/x]")

    with monkeypatch.context() as patched:
        patched.setattr("segdistill.study.perform.train", broken)
        with pytest.raises(MemoryError):
            perform(folder, "alone_seed0")
    assert folder.statuses()["alone_seed0"] == "failed"
    assert folder.why_failed("alone_seed0") == "MemoryError: no room [/data/x]"
    console = Console(file=io.StringIO(), width=200)
    console.print(table(folder))
    assert "no room [/data/x]" in console.file.getvalue()  # type: ignore[attr-defined]
    perform(folder, "alone_seed0")
    assert folder.statuses()["alone_seed0"] == "done"


def test_a_run_that_was_killed_says_by_what(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path, study())
    run_all(folder, start=lambda *_: MadeJob(-9))
    assert folder.why_failed("alone_seed0") == "ended by SIGKILL (often for want of memory)"


def test_slurm_arrays(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path / "a study", study(seeds=[0, 1]))
    assert [[one.name for one in each] for each in generations(folder.planned)] == [
        ["teacher_seed0", "alone_seed0", "alone_seed1"], ["taught_seed0", "taught_seed1"],
    ]  # fmt: skip
    scripts = write_arrays(folder, ["--time=1:00:00"], at_once=2)
    for script in scripts:
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    first = scripts[0].read_text()
    assert "#SBATCH --array=0-2%2\n" in first and "#SBATCH --time=1:00:00\n" in first
    # With a made sbatch and segdistill, what is submitted and what a task performs.
    for name, body in (("sbatch", 'echo "$@" >> "$LOG"; echo 42'), ("segdistill", 'echo "$3" "$4"')):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)
    log = tmp_path / "log"
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "LOG": str(log)}
    subprocess.run([scripts[-1]], check=True, env=env, capture_output=True)
    lines = log.read_text().splitlines()
    assert len(lines) == 2 and "--dependency=afterany:42" in lines[1] and "dependency" not in lines[0]
    task = subprocess.run(
        [scripts[1]], env=env | {"SLURM_ARRAY_TASK_ID": "1"}, capture_output=True, text=True, check=True
    )
    assert task.stdout.split()[-1] == "taught_seed1" and "a study" in task.stdout


def test_one_run_is_made_whole(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path, study())
    with pytest.raises(SegdistillError, match="taught_seed0 is taught by teacher_seed0, which is not done"):
        perform(folder, "taught_seed0")
    with pytest.raises(SegdistillError, match="run: 'other' is unknown"):
        perform(folder, "other")
    folder.make_data()
    perform(folder, "teacher_seed0")
    perform(folder, "taught_seed0")
    assert folder.statuses() == {"teacher_seed0": "done", "alone_seed0": "waiting", "taught_seed0": "done"}
    perform(folder, "alone_seed0")
    taught, alone = (folder.run(name).read_json("cost.json") for name in ("taught_seed0", "alone_seed0"))
    assert taught["latency_ms"] == alone["latency_ms"]


def test_a_run_that_was_scored_half_way_goes_on(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path, study())
    run_all(folder, start=Start())
    run = folder.run("alone_seed0")
    run.file("run.json").write_text('{"status": "training"}')  # and then `segdistill evaluate` and `cost`
    again = Start()
    run_all(folder, start=again)
    assert again.started == ["alone_seed0"]


def test_a_damaged_run_does_not_hide_the_others(study: Make, tmp_path: Path) -> None:
    folder = StudyFolder.begin(tmp_path, study())
    run_all(folder, start=Start())
    folder.run("alone_seed0").file("run.json").write_text("{cut sho")
    assert folder.statuses() == {"teacher_seed0": "done", "alone_seed0": "stopped", "taught_seed0": "done"}


@pytest.mark.slow
def test_a_study_from_a_file_by_the_command_line(study: Make, tmp_path: Path) -> None:
    """With a kill in between, two at once, and a report at the end."""
    file, out = tmp_path / "mine.yaml", tmp_path / "out"
    file.write_text(to_yaml(study(seeds=[0, 1])))
    words = [sys.executable, "-m", "segdistill", "study", "run", str(file), "--out", str(out), "--jobs", "2"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (out / "runs/teacher_seed0/run.json").exists():
            assert first.poll() is None
        first.terminate()
    status = [sys.executable, "-m", "segdistill", "study", "status", str(out), "--json"]
    told = json.loads(subprocess.run(status, capture_output=True, check=True, text=True).stdout)
    assert told["counts"].get("done", 0) < 5
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("report.html")
    page = (out / "report/report.md").read_text()
    assert "same student trained alone" in page
