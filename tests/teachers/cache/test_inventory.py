"""What lies in a cache is told, whatever state it is in; what is removed is gone at once."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.errors import SegdistillError
from segdistill.teachers.cache import inventory
from segdistill.teachers.cache.entry import Entry, Spec
from segdistill.teachers.cache.inventory import Shelf, remove, shelves

Make = Callable[..., Spec]
Answers = Callable[[str], Any]


def filled(store: Path, name: str, spec: Spec, answer: Answers, cases: str = "ab") -> Entry:
    store.mkdir(exist_ok=True)
    (store / "store.json").write_text("{}")  # of the preprocessed images
    entry = Entry.at(store, name, spec).begin(name, f"runs/{name}")
    for case in cases:
        entry.add(case, {stage: each.numpy() for stage, each in answer(case).items()})
    return entry


def only(root: Path) -> Shelf:
    (found,) = shelves(root)
    return found


def test_an_entry_is_found_in_its_store_and_in_the_folder_of_stores(
    tmp_path: Path, spec: Make, answer: Answers
) -> None:
    entry = filled(tmp_path / "store", "t", spec(), answer)
    (tmp_path / "store" / "knowledge" / "shapes.json").write_text("{}")
    (tmp_path / "store" / "cases").mkdir()
    assert only(tmp_path) == only(tmp_path / "store")
    shelf = only(tmp_path)
    assert (shelf.path, shelf.store, shelf.cases, shelf.problem) == (entry.path, tmp_path / "store", 2, "")
    assert shelf.error is None and shelf.told["teacher"] == "t" and shelf.told["source"] == "runs/t"
    assert shelf.bytes == sum(file.stat().st_size for file in entry.path.rglob("*") if file.is_file())
    assert 0 <= shelf.days < 0.01
    assert shelves(tmp_path / "store" / "cases") == []
    with pytest.raises(SegdistillError, match=r"nowhere: no such folder.*data\.store"):
        shelves(tmp_path / "nowhere")


def test_the_error_of_8_bit_logits_is_the_largest_of_all_cases(
    tmp_path: Path, spec: Make, answer: Answers
) -> None:
    entry = filled(tmp_path, "t", spec(logits="uint8"), answer)
    errors = [entry.maps(case)["logits"].steps.error for case in "ab"]  # type: ignore[union-attr]
    assert only(tmp_path).error == max(errors) > 0
    assert filled(tmp_path / "new", "t", spec(logits="uint8"), answer, "").path.exists()
    assert only(tmp_path / "new").error is None


def version(entry: Entry) -> str:
    file = entry.path / "entry.json"
    file.write_text(file.read_text().replace('"version": 1', '"version": 99'))
    return "version 99 of the cache"


def no_json(entry: Entry) -> str:
    (entry.path / "entry.json").write_text("{")
    return "no entry of the knowledge cache"


def gone(entry: Entry) -> str:
    (entry.path / "entry.json").unlink()
    return "no entry of the knowledge cache"


def half(entry: Entry) -> str:
    (entry.path / "entry.json").write_text('{"version": 1, "maps": 5}')
    return "is damaged"


def another(entry: Entry) -> str:
    file = entry.path / "entry.json"
    file.write_text(file.read_text().replace('"who"', '"somebody"'))
    return "does not describe what the folder's name says"


def steps(entry: Entry) -> str:
    (entry.folder("b") / "steps.json").write_text("{}")
    return "steps.json is damaged"


@pytest.mark.parametrize(
    "damage", [version, no_json, gone, half, another, steps], ids=lambda each: each.__name__
)
def test_what_this_version_cannot_use_is_told(
    damage: Callable[[Entry], str], tmp_path: Path, spec: Make, answer: Answers
) -> None:
    told = damage(filled(tmp_path, "t", spec(logits="uint8"), answer))
    assert told in only(tmp_path).problem and only(tmp_path).cases == 2


def test_a_process_at_work_does_not_disturb(
    tmp_path: Path, spec: Make, answer: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a case does not count, and files may go while they are counted."""
    entry = filled(tmp_path, "t", spec(), answer)
    partial = entry.path / "cases" / ".partial-host-1-2"
    partial.mkdir()
    (partial / "logits.npy").write_bytes(b"12345")
    assert only(tmp_path).cases == 2
    stat = Path.stat

    def vanishing(path: Path, **options: Any) -> os.stat_result:
        if path.parent == partial and path.exists():
            path.unlink()
        return stat(path, **options)

    monkeypatch.setattr(Path, "exists", lambda path: os.path.exists(path))  # noqa: PTH110
    monkeypatch.setattr(Path, "stat", vanishing)
    assert only(tmp_path).cases == 2


def test_age_is_that_of_the_newest_file(tmp_path: Path, spec: Make, answer: Answers) -> None:
    entry = filled(tmp_path, "t", spec(), answer)
    old = time.time() - 10 * 86400
    for file in entry.path.rglob("*"):
        os.utime(file, (old, old))
    assert only(tmp_path).days == pytest.approx(10, abs=0.01)
    os.utime(entry.folder("a") / "logits.npy", (old + 86400 * 7,) * 2)
    assert only(tmp_path).days == pytest.approx(3, abs=0.01)


def test_removing(tmp_path: Path, spec: Make, answer: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        filled(tmp_path, name, spec(identity=name), answer)
    first, second = shelves(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", interrupted)
        remove(first)
    assert not first.path.exists() and [each.path for each in shelves(tmp_path)] == [second.path]
    inventory.remove(second)
    assert list((tmp_path / "knowledge").iterdir()) == [], "nor what the interrupted one had left"


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_is_not_ours_is_left_alone(tmp_path: Path, spec: Make, answer: Answers) -> None:
    entry = filled(tmp_path / "store", "t", spec(), answer)
    others = [
        tmp_path / "store" / "knowledge" / "papers",
        tmp_path / "notes" / "knowledge" / f"t-{entry.spec.key}",  # no preprocessed images beside it
    ]
    for folder in others:
        folder.mkdir(parents=True)
        (folder / "thesis.txt").write_text("years of work")
    (tmp_path / "store" / "knowledge" / ".holiday.gone").mkdir()
    assert [each.path for each in shelves(tmp_path)] == [entry.path]
    remove(only(tmp_path))
    assert all((folder / "thesis.txt").is_file() for folder in others)
    assert (tmp_path / "store" / "knowledge" / ".holiday.gone").is_dir()
