"""`segdistill cache build`, `info` and `prune`."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def words(trained: Any) -> tuple[str, ...]:
    """A recipe that is taught by `runs/teacher`, with a store of the test's own."""
    own = (f"data.path={trained.data}", "data.store=store", f"teachers.teacher.run={trained.run}")
    return ("hinton", *trained.words[4:-1], *own)


def built(segdistill: Command, words: Any, *more: str) -> Any:
    answer = segdistill("cache", "build", *words, *more, "--json")
    assert answer.code == 0, answer
    return json.loads(answer.out)


def test_building_asks_once_and_distilling_uses_it(
    segdistill: Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = segdistill("cache", "build", *words)
    assert answer.code == 0 and answer.out == ""
    assert "note: teachers.teacher is asked once about 3 of 3 cases; its answers take" in answer.err
    assert "kB in store/" in answer.err, "the size is told before"
    (entry,) = Path("store").glob("*/knowledge/teacher-*")
    assert len(list((entry / "cases").iterdir())) == 3
    again = segdistill("cache", "build", *words)
    assert again.code == 0 and "is asked once" not in again.err
    assert f"teachers.teacher was asked once about each case; its answers are in {entry}" in again.err
    assert segdistill("distill", *words, "--out", "runs/new", "--no-report").code == 0
    log = [json.loads(line) for line in Path("runs/new/log.jsonl").read_text().splitlines()]
    assert any(str(entry) in event.get("message", "") for event in log)
    assert json.loads(Path("runs/new/run.json").read_text())["knowledge"] == {
        "teacher": {"cached": str(entry)}
    }


def test_as_json(segdistill: Command, words: tuple[str, ...]) -> None:
    told = built(segdistill, words)
    assert set(told) == {"entries", "notes"} and Path(told["entries"]["teacher"], "entry.json").is_file()
    online = built(segdistill, words, "knowledge=online")
    assert online == {"entries": {}, "notes": [
        "teachers.teacher answers in every step for terms.response: knowledge is online",
    ]}  # fmt: skip


def test_it_asks_nobody_who_is_not_there(refused: Refused, words: tuple[str, ...], trained: Any) -> None:
    told = [
        "teachers.teacher.run:",
        "runs/gone is not a finished run",
        "train it first",
        "segdistill distill",
    ]
    refused("cache", "build", *words, "teachers.teacher.run=runs/gone", told=told)
    shutil.rmtree(trained.run)
    refused("cache", "build", *words, "teachers.teacher.network=null", told=["is not a finished run"])


def test_what_cannot_be_cached(segdistill: Command, words: tuple[str, ...]) -> None:
    answer = segdistill("cache", "build", *words, "knowledge={type: cached, disk: 1k}")
    assert answer.code == 2
    assert "error: knowledge: teachers.teacher cannot be cached: its answers for 3 cases take" in answer.err


def test_a_full_disk(segdistill: Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    save, saved = np.save, []

    def full(file: Any, values: Any) -> None:
        if "knowledge" in str(file.name):
            saved.append(values)
        if len(saved) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(file, values)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        answer = segdistill("cache", "build", *words)
    assert answer.code == 2
    line = answer.err.splitlines()[-1]
    assert line.startswith("error: store/") and "could not be written (No space left on device)" in line
    assert "finished cases are kept: free some disk space and run again" in line
    (entry,) = Path("store").glob("*/knowledge/teacher-*")
    assert len([each for each in (entry / "cases").iterdir() if each.is_dir()]) == 1
    again = segdistill("cache", "build", *words)
    assert again.code == 0 and "is asked once about 2 of 3 cases" in again.err


def info(segdistill: Command, *more: object) -> list[dict[str, Any]]:
    answer = segdistill("cache", "info", *more, "--json")
    assert answer.code == 0, answer
    return json.loads(answer.out)  # type: ignore[no-any-return]


def test_info(segdistill: Command, words: tuple[str, ...], trained: Any) -> None:
    exact = built(segdistill, words)["entries"]["teacher"]
    small = built(segdistill, words, "knowledge.logits=uint8")["entries"]["teacher"]
    rows = {row["path"]: row for row in info(segdistill, "store")}
    assert set(rows) == {exact, small}
    assert rows[exact]["teacher"] == "teacher" and rows[exact]["source"] == str(trained.run.resolve())
    assert (
        rows[exact]["cases"] == 3
        and rows[exact]["problem"] is None
        and set(rows[exact]["maps"]) == {"logits"}
    )
    assert rows[exact]["logits"] == "float16" and rows[exact]["largest_error"] is None
    assert rows[small]["logits"] == "uint8" and 0 < rows[small]["largest_error"] < 0.1
    assert rows[small]["bytes"] < rows[exact]["bytes"]
    table = segdistill("cache", "info", "store").out
    assert Path(exact).name in table and "logits" in table and "2 entries" in table
    assert f"8-bit logits, off by {rows[small]['largest_error']:.3g} at most" in table
    store = Path(exact).parents[1]
    assert {row["path"] for row in info(segdistill, store)} == {exact, small}


def test_info_where_nothing_is(
    segdistill: Command, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused("cache", "info", told=["runs/preprocessed: no such folder", "data.store", "$SEGDISTILL_STORE"])
    refused("cache", "prune", "nowhere", told=["nowhere: no such folder"])
    Path("empty").mkdir()
    assert info(segdistill, "empty") == [] and "0 entries" in segdistill("cache", "info", "empty").out
    monkeypatch.setenv("SEGDISTILL_STORE", "empty")
    assert info(segdistill) == []


@pytest.fixture
def several(segdistill: Command, words: tuple[str, ...]) -> dict[str, Path]:
    """Four entries: one as it is, one of another version, one that is damaged, one that is old."""
    found = {}
    for name, overlap in (("good", 0.5), ("version", 0.4), ("damaged", 0.3), ("old", 0.2)):
        found[name] = Path(built(segdistill, words, f"knowledge.overlap={overlap}")["entries"]["teacher"])
    file = found["version"] / "entry.json"
    file.write_text(file.read_text().replace('"version": 1', '"version": 0'))
    (found["damaged"] / "entry.json").write_text('{"version": 1, "maps": 3}')
    for each in found["old"].rglob("*"):
        os.utime(each, (1e9, 1e9))
    return found


def test_info_of_what_cannot_be_used(segdistill: Command, several: dict[str, Path]) -> None:
    problems = {Path(row["path"]): row["problem"] for row in info(segdistill, "store")}
    assert problems[several["good"]] is None and problems[several["old"]] is None
    assert problems[several["version"]] == "version 0 of the cache"
    assert "entry.json is damaged" in problems[several["damaged"]]
    assert "version 0 of the cache" in segdistill("cache", "info", "store").out


@pytest.mark.parametrize(
    ("options", "goes"),
    [
        ([], {"version", "damaged"}),
        (["--older-than", "1000"], {"version", "damaged", "old"}),
        (["--all"], {"version", "damaged", "old", "good"}),
    ],
)
def test_prune(options: list[str], goes: set[str], segdistill: Command, several: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("store").rglob("*")}
    listed = segdistill("cache", "prune", "store", *options)
    assert listed.code == 0 and f"{len(goes)} entries" in listed.err and "--yes removes them" in listed.err
    assert all((str(path) in listed.err) == (name in goes) for name, path in several.items())
    told = json.loads(segdistill("cache", "prune", "store", *options, "--json").out)
    assert told["removed"] is False and {Path(row["path"]) for row in told["entries"]} == {
        several[name] for name in goes
    }
    assert before == {path: path.stat().st_mtime_ns for path in Path("store").rglob("*")}, "listed only"

    done = segdistill("cache", "prune", "store", *options, "--yes")
    assert done.code == 0 and f"{len(goes)} entries removed" in done.err
    assert {name for name, path in several.items() if not path.exists()} == goes
    assert not list(Path("store").rglob("*.gone"))
    assert json.loads(segdistill("cache", "prune", "store", "--yes", "--json").out)["entries"] == []


def test_what_was_pruned_is_made_again(segdistill: Command, words: tuple[str, ...]) -> None:
    entry = Path(built(segdistill, words)["entries"]["teacher"])
    before = {path.name: (path / "logits.npy").read_bytes() for path in (entry / "cases").iterdir()}
    assert segdistill("cache", "prune", "store", "--all", "--yes").code == 0 and not entry.exists()
    assert Path(built(segdistill, words)["entries"]["teacher"]) == entry
    assert before == {path.name: (path / "logits.npy").read_bytes() for path in (entry / "cases").iterdir()}


def test_a_damaged_answer_is_told_and_made_again(segdistill: Command, words: tuple[str, ...]) -> None:
    entry = Path(built(segdistill, words)["entries"]["teacher"])
    for case in (entry / "cases").iterdir():
        (case / "logits.npy").write_bytes(b"")
    answer = segdistill("distill", *words, "--out", "runs/new", "--no-report")
    assert answer.code == 2 and "is missing or damaged" in answer.err.splitlines()[-1]
    assert "remove it and run again" in answer.err
    for case in list((entry / "cases").iterdir()):
        shutil.rmtree(case)
    assert segdistill("distill", *words, "--out", "runs/new", "--no-report", "--resume").code == 0


def test_a_damaged_description_is_told(segdistill: Command, words: tuple[str, ...]) -> None:
    entry = Path(built(segdistill, words)["entries"]["teacher"])
    (entry / "entry.json").write_text("{")
    answer = segdistill("distill", *words, "--out", "runs/new", "--no-report")
    assert answer.code == 2 and f"{entry} is no entry of the knowledge cache" in answer.err
    assert not Path("runs/new").exists()
    assert segdistill("cache", "prune", "store", "--yes").code == 0
    assert segdistill("distill", *words, "--out", "runs/new", "--no-report").code == 0
