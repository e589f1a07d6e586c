"""The store: finished cases are whole, unfinished ones are not there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segdistill.atomic import PARTIAL
from segdistill.data.dataset import Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.grid import Grid, plan_grid
from segdistill.data.intensity import RGB
from segdistill.data.plan import Channel, Plan
from segdistill.data.store import Store
from segdistill.errors import SegdistillError

DATASET = Dataset("D", Path(), "paired_folders", ("gray",), {"ulcer": 255}, None, False, (), 2)
PLAN = Plan(DATASET, (Channel("gray", RGB(), {}),), None, None, (4, 5))
GRID: Grid = plan_grid(Geometry((4, 5), np.eye(4)), None, 2)
IMAGE = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
LABEL = (IMAGE > 10).astype(np.int16)
ROWS = np.array([[1, 2, 3]], np.int32)


@pytest.mark.parametrize("id", ["a", "patient 1", "Müller/links", "..", ".hidden", "50%", 'a:b*c?"<>|\\d'])
def test_what_is_added_can_be_read(tmp_path: Path, id: str) -> None:
    store = Store.create(tmp_path / "D-12", PLAN, (id, "later"))
    assert not store.has(id)
    store.add(id, IMAGE, LABEL, ROWS, GRID)
    again = Store.open(tmp_path / "D-12")
    assert again == store and again.has(id) and not again.has("later")
    case = again.case(id)
    assert isinstance(case.image, np.memmap) and isinstance(case.label, np.memmap)
    np.testing.assert_array_equal(case.image, IMAGE)
    np.testing.assert_array_equal(case.label, LABEL)
    np.testing.assert_array_equal(case.foreground, ROWS)
    assert case.grid == GRID
    assert [path.name for path in (tmp_path / "D-12").iterdir() if path.name == "cases"] == ["cases"]
    assert len(list((tmp_path / "D-12" / "cases").iterdir())) == 1
    assert again.fingerprint == "12"


def test_a_case_without_label(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, ("a",))
    store.add("a", IMAGE, None, ROWS[:0], GRID)
    assert store.case("a").label is None and len(store.case("a").foreground) == 0


def test_the_first_of_two_writers_wins_and_nothing_is_left_over(tmp_path: Path) -> None:
    store = Store.create(tmp_path, PLAN, ("a",))
    store.add("a", IMAGE, LABEL, ROWS, GRID)
    store.add("a", IMAGE + 1, LABEL, ROWS, GRID)
    np.testing.assert_array_equal(store.case("a").image, IMAGE)
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["a"]


def test_leftovers_of_dead_processes_are_removed_and_of_living_ones_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    Store.create(tmp_path, PLAN, ("a",))
    dead, living = (
        tmp_path / "cases" / f"{PARTIAL}{socket.gethostname()}-{pid}-0" for pid in (ended.pid, os.getpid())
    )
    dead.mkdir()
    living.mkdir()
    Store.create(tmp_path, PLAN, ("a",))
    assert living.exists() and not dead.exists()


def test_a_full_disk_leaves_no_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(tmp_path, PLAN, ("a",))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segdistill.atomic.os.fsync", full)
    with pytest.raises(SegdistillError, match=r"No space left on device.*run again"):
        store.add("a", IMAGE, LABEL, ROWS, GRID)
    assert not store.has("a") and not list((tmp_path / "cases").iterdir())


def test_what_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match="not a folder of preprocessed cases"):
        Store.open(tmp_path)
    store = Store.create(tmp_path, PLAN, ("a",))
    with pytest.raises(SegdistillError, match="no preprocessed case 'a'"):
        store.case("a")
    store.add("a", IMAGE, LABEL, ROWS, GRID)
    (store.folder("a") / "image.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(SegdistillError, match=r"damaged.*delete it"):
        store.case("a")
