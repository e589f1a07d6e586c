from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from segdistill.atomic import replacing, write_json, write_text
from segdistill.errors import SegdistillError


def test_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "Größe.json"
    write_json(path, {"name": "Größe", "values": [1, None, 0.5]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Größe", "values": [1, None, 0.5]}
    assert list(path.parent.iterdir()) == [path]


def test_old_content_stays_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("interruption", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failed_write_changes_nothing(tmp_path: Path, interruption: BaseException) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(type(interruption)), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise interruption
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_text("old")
    with pytest.raises(SegdistillError, match=r"weights\.safetensors.*No space left on device"):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder is needed")
    with pytest.raises(SegdistillError, match="runs"):
        write_text(tmp_path / "runs" / "run.json", "{}")


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"empty\.txt"), replacing(tmp_path / "empty.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["case.nii.gz", "mask.png", "Fall 1 (übrig).nii"])
def test_temporary_name_keeps_what_writers_look_at(tmp_path: Path, name: str) -> None:
    """nibabel, Pillow and others choose the format by the end of the name."""
    with replacing(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(name)
        temporary.write_bytes(b"x")
    assert (tmp_path / name).read_bytes() == b"x"


def test_nan_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"dice": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"dice": float("nan")})
    assert json.loads(path.read_text()) == {"dice": 0.5}
