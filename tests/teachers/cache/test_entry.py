"""An entry: whole cases or none, another for whatever decides its contents, never read stale or damaged."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.teachers.cache import entry as module
from segdistill.teachers.cache.entry import Entry, MapSpec, Spec

Make = Callable[..., Spec]
Answers = Callable[[str], Any]
ODD = ["case 1", "a/b", ".hidden", "50%", "ä:ö", "x" * 100]


def added(entry: Entry, answer: Answers, *cases: str) -> None:
    for case in cases:
        entry.add(case, {name: each.numpy() for name, each in answer(case).items()})


def test_what_was_said_is_read_again(entry: Entry, answer: Answers) -> None:
    added(entry, answer, *ODD)
    for case in ODD:
        assert entry.has(case)
        maps = entry.maps(case)
        assert maps.keys() == {"logits", "encoder/4/stage"}
        for name, each in answer(case).items():
            assert isinstance(maps[name].values, np.memmap), "patches read what they touch"
            np.testing.assert_array_equal(
                maps[name].decoded(maps[name].values), each.numpy().astype(np.float16)
            )
    assert not entry.has("other")
    assert Entry.open(entry.path) == entry and entry.strides["encoder/4/stage"] == (2, 4, 4)


def test_8_bit_logits_beside_maps_in_half_precision(tmp_path: Path, spec: Make, answer: Answers) -> None:
    entry = Entry.at(tmp_path, "t", spec(logits="uint8")).begin("t", "")
    added(entry, answer, "a")
    maps = Entry.open(entry.path).maps("a")
    assert maps["logits"].values.dtype == np.uint8 and maps["encoder/4/stage"].values.dtype == np.float16
    said, steps = answer("a")["logits"].numpy(), maps["logits"].steps
    assert steps is not None
    piece = maps["logits"].decoded(maps["logits"].values[:, 1:3])
    assert piece.dtype == np.float16 and np.abs(piece - said[:, 1:3]).max() <= steps.error < 0.1


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*.npy"))


def test_disk(tmp_path: Path, spec: Make) -> None:
    """Logits of two classes take no more than an image of one channel, and half of that in 8 bit."""
    shape = (20, 30, 10)
    np.save(tmp_path / "image.npy", np.zeros((1, *shape), np.float32))
    image = (tmp_path / "image.npy").stat().st_size
    maps, sizes = {"logits": MapSpec(2, (1, 1, 1))}, {}
    for kind in ("float16", "uint8"):
        entry = Entry.at(tmp_path, kind, spec(maps=maps, logits=kind)).begin(kind, "")
        entry.add("a", {"logits": np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)})
        sizes[kind] = size_of(entry.path)
        assert 0 <= sizes[kind] - entry.spec.bytes_of(shape) <= 128, "what is told before is what it takes"
    assert sizes["float16"] <= image
    assert sizes["uint8"] <= sizes["float16"] / 2 + 128
    both = spec(logits="uint8")
    assert both.bytes_of((5, 6, 4)) == 2 * 120 + 2 * 3 * (3 * 2 * 1)


CHANGES: list[dict[str, Any]] = [
    {"identity": "other"},
    {"images": "other"},
    {"logits": "uint8"},
    {"asked": {"overlap": 0.25}},
    {"asked": {"overlap": 0.5, "mirror": True}},
    {"maps": {"logits": MapSpec(2, (1, 1, 1))}},
    {"maps": {"logits": MapSpec(3, (1, 1, 1)), "encoder/4/stage": MapSpec(3, (2, 4, 4))}},
    {"maps": {"logits": MapSpec(2, (1, 1, 1)), "encoder/4/stage": MapSpec(3, (4, 4, 4))}},
    {"maps": {"logits": MapSpec(2, (1, 1, 1)), "encoder/4/stage": MapSpec(3, (2, 4, 4), "linear")}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_whatever_decides_the_contents_is_another_entry(
    change: Any, entry: Entry, spec: Make, answer: Answers
) -> None:
    added(entry, answer, "a")
    other = Entry.at(entry.path.parents[1], "big one", spec(**change)).begin("big one", "")
    assert other.path != entry.path and not other.has("a")
    assert Entry.open(other.path).spec.key == other.spec.key != entry.spec.key


def test_the_same_decides_the_same_entry_whatever_it_is_called(
    entry: Entry, spec: Make, answer: Answers
) -> None:
    added(entry, answer, "a")
    again = Entry.at(entry.path.parents[1], "big one", spec()).begin("big one", "runs/moved")
    renamed = Entry.at(entry.path.parents[1], "teacher", spec()).begin("teacher", "elsewhere")
    assert again == renamed == entry and renamed.has("a")


def test_an_entry_of_another_version_is_never_read(
    entry: Entry, spec: Make, answer: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(entry, answer, "a")
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    newer = Entry.at(entry.path.parents[1], "big one", spec()).begin("big one", "")
    assert newer.path != entry.path and not newer.has("a")
    with pytest.raises(SegdistillError, match=r"is of version 1 of the knowledge cache.*cache prune"):
        Entry.open(entry.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"version": 1}', "\x00\xff"])
def test_a_damaged_description(text: str, entry: Entry, spec: Make) -> None:
    (entry.path / "entry.json").write_bytes(text.encode("latin1"))
    with pytest.raises(SegdistillError, match=entry.path.name):
        Entry.open(entry.path)
    with pytest.raises(SegdistillError, match=entry.path.name):
        Entry.at(entry.path.parents[1], "big one", spec()).begin("big one", "")


@pytest.mark.parametrize("part", ["maps", "identity", "logits", "asked"])
def test_a_description_that_lacks_something(part: str, entry: Entry) -> None:
    told = json.loads((entry.path / "entry.json").read_text())
    for value in (None, 5):
        broken = {key: each for key, each in told.items() if key != part}
        broken |= {} if value is None or part != "maps" else {part: value}
        (entry.path / "entry.json").write_text(json.dumps(broken))
        with pytest.raises(SegdistillError, match=r"entry\.json is damaged .*cache prune"):
            Entry.open(entry.path)


def test_a_description_of_something_else(entry: Entry, spec: Make) -> None:
    other = Entry.at(entry.path.parents[1], "other", spec(identity="x")).begin("other", "")
    (other.path / "entry.json").write_bytes((entry.path / "entry.json").read_bytes())
    with pytest.raises(SegdistillError, match=r"does not describe what the folder's name says.*cache prune"):
        Entry.at(entry.path.parents[1], "other", spec(identity="x")).begin("other", "")


@pytest.mark.parametrize("kind", ["float16", "uint8"])
@pytest.mark.parametrize("left", [0, 5, 60, 127, 140])
def test_a_file_that_was_cut_short(left: int, kind: str, tmp_path: Path, spec: Make, answer: Answers) -> None:
    entry = Entry.at(tmp_path, "t", spec(logits=kind)).begin("t", "")
    added(entry, answer, "a", "b")
    file = entry.folder("a") / "logits.npy"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(SegdistillError, match=r"cases/a is missing or damaged .*remove it and run again"):
        entry.maps("a")
    assert entry.maps("b")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"scale": 1, "offset": 2, "error": 3}'])
def test_steps_that_are_damaged(text: str, tmp_path: Path, spec: Make, answer: Answers) -> None:
    entry = Entry.at(tmp_path, "t", spec(logits="uint8")).begin("t", "")
    added(entry, answer, "a")
    (entry.folder("a") / "steps.json").write_text(text)
    with pytest.raises(SegdistillError, match="cases/a is missing or damaged"):
        entry.maps("a")


def test_a_case_that_is_not_there(entry: Entry) -> None:
    with pytest.raises(SegdistillError, match=r"cases/a is missing or damaged .*run again, it is made anew"):
        entry.maps("a")


@pytest.mark.parametrize("kind", ["float16", "uint8"])
def test_what_half_precision_does_not_hold(kind: str, tmp_path: Path, spec: Make, answer: Answers) -> None:
    entry = Entry.at(tmp_path, "t", spec(logits=kind)).begin("t", "")
    said = {name: each.numpy() * 1e6 for name, each in answer("a").items()}
    with pytest.raises(SegdistillError, match=r"case a: logits of t-.* holds .*knowledge=online"):
        entry.add("a", said)
    assert not entry.has("a") and not list((entry.path / "cases").iterdir())


def test_a_full_disk_leaves_nothing_half(
    entry: Entry, answer: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(entry, answer, "a")
    save, saved = np.save, []

    def full(file: Any, values: Any) -> None:
        saved.append(values)
        if len(saved) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(file, values)

    with monkeypatch.context() as patch, pytest.raises(SegdistillError) as error:
        patch.setattr(np, "save", full)
        added(entry, answer, "b")
    assert "cases/b could not be written (No space left on device)" in str(error.value)
    assert "finished cases are kept: free some disk space and run again" in str(error.value)
    assert [path.name for path in (entry.path / "cases").iterdir()] == ["a"]
    added(entry, answer, "b")
    assert entry.maps("b") and entry.maps("a")


def test_the_rest_of_a_killed_process_goes_when_the_next_begins(entry: Entry, spec: Make) -> None:
    import socket

    rest = entry.path / "cases" / f".partial-{socket.gethostname()}-999999999-0"
    living = entry.path / "cases" / f".partial-{socket.gethostname()}-{os.getpid()}-0"
    rest.mkdir(), living.mkdir()
    entry.begin("big one", "")
    assert not rest.exists() and living.exists()
