"""Sources of teachers: found out by their files, opened, or refused with the place in the recipe."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segdistill.errors import SegdistillError
from segdistill.teachers.sources import SOURCES, kind_of, opened, spread_out


def run(path: Path) -> None:
    path.mkdir()
    (path / "run.json").write_text("{}")


def nnunet(path: Path) -> None:
    (path / "fold_0").mkdir(parents=True)
    (path / "plans.json").write_text("{}")
    (path / "dataset.json").write_text("{}")
    (path / "fold_0" / "checkpoint_final.pth").write_bytes(b"")


def monai_bundle(path: Path) -> None:
    for folder in ("configs", "models"):
        (path / folder).mkdir(parents=True)
    (path / "configs" / "metadata.json").write_text("{}")
    (path / "configs" / "inference.json").write_text("{}")
    (path / "models" / "model.pt").write_bytes(b"")


def torchscript(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated; files of it are not
        torch.jit.trace(nn.Conv2d(1, 2, 1), torch.zeros(1, 1, 4, 4)).save(str(path))


def exported_program(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own parts
        torch.export.save(torch.export.export(nn.Conv2d(1, 2, 1), (torch.zeros(1, 1, 4, 4),)), path)


def onnx(path: Path) -> None:
    path.write_bytes(b"")


def soft_predictions(path: Path) -> None:
    path.mkdir()
    np.save(path / "a.npy", np.zeros((2, 4, 4), np.float32))


MADE = {
    "run": (run, "made"), "nnunet": (nnunet, "made"), "monai_bundle": (monai_bundle, "made"),
    "torchscript": (torchscript, "made.pt"), "exported_program": (exported_program, "made.pt2"),
    "onnx": (onnx, "made.onnx"), "soft_predictions": (soft_predictions, "made"),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_each_row_recognises_its_own_alone(name: str, tmp_path: Path) -> None:
    assert SOURCES[name].summary and callable(SOURCES[name].part.open)
    make, called = MADE[name]
    make(tmp_path / called)
    assert kind_of(tmp_path / called, "here") == name
    assert [kind for kind, row in SOURCES.items() if row.part.recognises(tmp_path / called)] == [name]
    assert not SOURCES[name].part.recognises(tmp_path / "nothing")


def test_nothing_that_is_known(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a")
    (tmp_path / "empty").mkdir()
    for found in ("notes.txt", "empty"):
        with pytest.raises(
            SegdistillError, match=rf"^teachers\.t\.path: .*{found} is no teacher.*source: \{{type"
        ):
            kind_of(tmp_path / found, "teachers.t.path")
    with pytest.raises(SegdistillError, match=r"^teachers\.t\.path: .*gone: no such file or folder"):
        kind_of(tmp_path / "gone", "teachers.t.path")


def test_opening_tells_the_place(tmp_path: Path) -> None:
    torchscript(tmp_path / "net.pt")
    for part in (None, {"type": "torchscript"}):
        assert isinstance(opened(tmp_path / "net.pt", part, "teachers.t.path"), nn.Module)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text(json.dumps({}))
    with pytest.raises(SegdistillError, match=r"^teachers\.t\.path: .*broken is not a run"):
        opened(tmp_path / "broken", None, "teachers.t.path")
    with pytest.raises(SegdistillError, match=r"teachers\.t\.path: .*gone"):
        opened(tmp_path / "gone", {"type": "run"}, "teachers.t.path")


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fold_1", "fold_0", "fold_10", "other", "odd[1]"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert spread_out(["runs/fold_?"], "p") == [Path("runs/fold_0"), Path("runs/fold_1")]
    absolute = spread_out([f"{tmp_path}/runs/fold_*"], "p")
    assert absolute == [tmp_path / "runs" / name for name in ("fold_0", "fold_1", "fold_10")]
    assert spread_out(["runs/other", "runs/fold_[01]"], "p")[0] == Path("runs/other")
    assert spread_out(["runs/odd[1]"], "p") == [Path("runs/odd[1]")], "a name that is there is no pattern"
    assert spread_out(["runs/gone"], "p") == [Path("runs/gone")], (
        "whether it is there is asked when it is opened"
    )
    with pytest.raises(SegdistillError, match=r"^teachers\.t\.path: runs/f\*g fits no file or folder"):
        spread_out(["runs/f*g"], "teachers.t.path")
