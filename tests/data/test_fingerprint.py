"""Fingerprints: another content is another name, the same content the same."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segdistill.data import fingerprint as module
from segdistill.data.dataset import Case, Dataset
from segdistill.data.fingerprint import file_digests, fingerprint
from segdistill.data.plan import make_plan
from segdistill.errors import SegdistillError


def photographs(folder: Path) -> Dataset:
    cases = []
    for number in range(3):
        for kind in ("image", "label"):
            path = folder / f"{kind}{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((4, 4), number + 9 * (kind == "image"), np.uint8)).save(path)
        cases.append(
            Case(f"c{number}", (folder / f"image{number}.png",), folder / f"label{number}.png", None)
        )
    labels: dict[str, int | tuple[int, ...]] = {"a": 1, "b": 2}
    return Dataset("D", folder, "paired_folders", ("gray",), labels, None, False, tuple(cases), 2)


def test_it_follows_contents_and_not_places(tmp_path: Path) -> None:
    dataset = photographs(tmp_path / "a")
    plan = make_plan(dataset, statistics_cases=["c0"])
    first = fingerprint(dataset, plan, tmp_path)
    assert len(first) == 16 and first == fingerprint(dataset, plan, tmp_path)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert fingerprint(photographs(tmp_path / "b"), plan, tmp_path / "elsewhere") == first

    others = [
        fingerprint(replace(dataset, cases=dataset.cases[:2]), plan, tmp_path),
        fingerprint(dataset, make_plan(dataset, spacing=[2, 2], statistics_cases=["c0"]), tmp_path),
        fingerprint(
            replace(dataset, cases=(replace(dataset.cases[0], id="d"), *dataset.cases[1:])), plan, tmp_path
        ),
    ]
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(dataset.cases[1].images[0])
    others.append(fingerprint(dataset, plan, tmp_path))
    assert len({first, *others}) == 5


def test_a_file_is_read_once_and_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    digest = module.of_file
    monkeypatch.setattr(module, "of_file", lambda path: (read.append(path), digest(path))[1])
    file = tmp_path / "x"
    file.write_bytes(b"one")
    first = file_digests([file, file], tmp_path)
    assert file_digests([file], tmp_path) == first and read == [file]
    os.utime(file, ns=(1, 1))
    assert file_digests([file], tmp_path) == first and read == [file, file]
    file.write_bytes(b"two")
    assert file_digests([file], tmp_path) != first


def test_a_broken_memory_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"one")
    first = file_digests([file], tmp_path)
    (tmp_path / "digests.json").write_text("{")
    assert file_digests([file], tmp_path) == first


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"gone.png cannot be read"):
        file_digests([tmp_path / "gone.png"], tmp_path)
