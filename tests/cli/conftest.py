"""The command line in this process, on tiny images; and what it must leave alone."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.cli import main

TINY = (
    "data.patch_size=[8,8,8]", "data.batch_size=2", "data.workers=0", "data.splits.folds=3",
    "data.augmentation=null", "student.channels=[2,4]", "train.epochs=2", "train.iterations=1",
)  # fmt: skip
"""Overrides with which a training takes a tenth of a second."""
STORE = "runs/preprocessed"


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]
Refused = Callable[..., str]
Volumes = Callable[..., Path]


def command(*words: object) -> Answer:
    """Run `segdistill WORDS` in this process; anything but an orderly end is a failure of the test."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["segdistill", *map(str, words)])
        patch.setenv("COLUMNS", "500")  # so that no message is broken into lines
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
    assert "Traceback" not in err.getvalue()
    return Answer(code, out.getvalue(), err.getvalue())


def words_of_training(*words: object) -> tuple[object, ...]:
    """The words that train a tiny network alone on the folder `data`."""
    return "train", "student_alone", "data.path=data", *TINY, "--no-report", *words


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the store, which may only grow by what is whole."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and STORE not in str(path) and path.name != ".lock"
    }


@pytest.fixture
def segdistill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGDISTILL_STORE", raising=False)
    return command


@pytest.fixture
def refused(segdistill: Command, tmp_path: Path) -> Refused:
    """Runs a command that must be refused: exit code 2, one line that names all of `told`, no file changed."""

    def run(*words: object, told: Sequence[str]) -> str:
        before = contents(tmp_path)
        answer = segdistill(*words)
        assert answer.code == 2, answer
        assert contents(tmp_path) == before
        lines = [line for line in answer.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and answer.err.endswith(f"{lines[0]}\n"), answer.err
        missing = [name for name in told if name not in lines[0]]
        assert not missing, f"{missing} not in: {lines[0]}"
        return lines[0]

    return run


@pytest.fixture
def training() -> Callable[..., tuple[object, ...]]:
    """The words that train a tiny network alone on the folder `data`, and those given."""
    return words_of_training


@pytest.fixture
def train(segdistill: Command) -> Command:
    """Trains a tiny network alone on the folder `data`, in a tenth of a second; more words may be given."""
    return lambda *words: segdistill(*words_of_training(*words))


@pytest.fixture
def refused_training(refused: Refused) -> Refused:
    """Trains on the folder `data` into `runs/new`, which must be refused before there is a run."""

    def run(*words: object, told: Sequence[str]) -> str:
        line = refused(*words_of_training("--out", "runs/new", *words), told=told)
        assert not Path("runs/new").exists()
        return line

    return run


@pytest.fixture
def refused_distilling(refused: Refused, trained: Trained) -> Refused:
    """Distils the run `trained` on its own data into `runs/new`, which must be refused before there is a run."""

    def run(*words: object, told: Sequence[str]) -> str:
        own = (f"data.path={trained.data}", f"teachers.teacher.run={trained.run}")
        line = refused(
            "distill", "hinton", *TINY, *own, "--out", "runs/new", "--no-report", *words, told=told
        )
        assert not Path("runs/new").exists()
        return line

    return run


def write_volumes(
    folder: Path,
    *,
    names: Sequence[str] = ("c0", "c1", "c2", "c3", "c4", "c5"),
    channels: Sequence[str] = ("CT", "PET"),
    shape: tuple[int, ...] = (8, 8, 8),
    affine: np.ndarray | None = None,
) -> Path:
    """An nnU-Net raw folder of noise, with a tumour (1) that is by 100 brighter in all channels."""
    rng = np.random.default_rng(0)
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True)
    affine = np.eye(4) if affine is None else affine
    for name in names:
        label = np.zeros(shape, np.uint8)
        label[2:6, 3:6, 2:5] = 1
        for number in range(len(channels)):
            image = (100 * label + rng.normal(0, 1, shape)).astype(np.float32)
            nibabel.save(
                nibabel.Nifti1Image(image, affine), folder / "imagesTr" / f"{name}_{number:04d}.nii.gz"
            )
        nibabel.save(nibabel.Nifti1Image(label, affine), folder / "labelsTr" / f"{name}.nii.gz")
    described = {
        "channel_names": {str(number): channel for number, channel in enumerate(channels)},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": len(names),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    """Writes a small PET/CT dataset into the folder `data` of the test."""

    def write(folder: str = "data", **settings: Any) -> Path:
        return write_volumes(tmp_path / folder, **settings)

    return write


@pytest.fixture
def photographs(tmp_path: Path) -> Volumes:
    """Writes six colour photographs with 0/255 masks, as paired folders, into the folder `data` of the test."""

    def write(folder: str = "data") -> Path:
        rng = np.random.default_rng(0)
        for sub in ("images", "labels"):
            (tmp_path / folder / sub).mkdir(parents=True)
        for number in range(6):
            mask = np.zeros((16, 16), np.uint8)
            mask[4:10, 5:12] = 255
            picture = np.stack([mask // 2] * 3, axis=-1) + 40 * rng.integers(0, 3, (16, 16, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / "images" / f"p{number}.png")
            Image.fromarray(mask).save(tmp_path / folder / "labels" / f"p{number}.png")
        return tmp_path / folder

    return write


@dataclass(frozen=True)
class Trained:
    """A finished run, the dataset that it was trained on, and the words that trained it, but for --out."""

    run: Path
    data: Path

    @property
    def words(self) -> tuple[str, ...]:
        store = self.data.parent / "store"
        return "train", "student_alone", f"data.path={self.data}", f"data.store={store}", *TINY, "--no-report"

    def interrupt(self) -> None:
        """Make the run look as if it was killed before it ended."""
        file = self.run / "run.json"
        file.write_text(file.read_text().replace('"status": "finished"', '"status": "training"'))

    def images(self, case: str = "c0") -> list[Path]:
        return sorted((self.data / "imagesTr").glob(f"{case}_*"))


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained once; tests get copies."""
    home = tmp_path_factory.mktemp("kept")
    run = Trained(home / "run", write_volumes(home / "data"))
    answer = command(*run.words, "--out", run.run)
    assert answer.code == 0, answer
    return run


@pytest.fixture
def trained(kept: Trained, tmp_path: Path) -> Trained:
    """A finished run in `runs/teacher` of the test, and its dataset."""
    shutil.copytree(kept.run, tmp_path / "runs" / "teacher")
    return Trained(tmp_path / "runs" / "teacher", kept.data)
