"""A tiny distilled student with its teacher and the student alone, their masks, and a browser to look at them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel
import numpy as np
import pytest

from segdistill.viewer import page

TESTS = Path(__file__).parents[1]
NASTY = """x<img src=x onerror=document.title='hit'>&"quoted" {{ 7 * 7 }}"""
"""A name of a case that would do harm wherever it was not escaped."""
NAMES = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", NASTY)
PATIENT = "DOE^JANE 1970-01-01"
"""What a header may say, and no page does."""


def module(path: str) -> ModuleType:
    """Another file of the tests, which makes what is needed here too."""
    name = "viewer_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = util.spec_from_file_location(name, TESTS / path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@dataclass(frozen=True)
class Home:
    """A folder with `data`, `runs/teacher`, `runs/hinton` and `runs/hinton_alone`."""

    path: Path

    @property
    def run(self) -> Path:
        return self.path / "runs" / "hinton"

    @property
    def cases(self) -> list[str]:
        """The cases with a mask."""
        return sorted(each.name.removesuffix(".nii.gz") for each in (self.run / "predictions").iterdir())

    def reference(self, case: str) -> np.ndarray:
        return np.asarray(nibabel.load(self.path / "data" / "labelsTr" / f"{case}.nii.gz").dataobj)

    def mask(self, case: str, run: str = "hinton") -> np.ndarray:
        return np.asarray(nibabel.load(self.path / "runs" / run / "predictions" / f"{case}.nii.gz").dataobj)


def sign(image: Path) -> None:
    """Write the name of a patient everywhere into a header where one has been seen."""
    found = nibabel.load(image)
    signed = nibabel.Nifti1Image(np.asarray(found.dataobj), found.affine, found.header)
    signed.header["descrip"] = PATIENT.encode()
    signed.header["aux_file"] = PATIENT.encode()
    signed.header["db_name"] = PATIENT[:18].encode()
    signed.header["intent_name"] = PATIENT[:16].encode()
    signed.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", PATIENT.encode()))
    nibabel.save(signed, image)


def spoil(mask: Path, reference: np.ndarray, step: int) -> None:
    """Make a mask that is a reference with a slice cut off at one side and one more at the other."""
    spoilt = np.zeros_like(reference)
    spoilt[2 + step : 7, 3:6, 2:5] = 1
    like = nibabel.load(mask)
    nibabel.save(nibabel.Nifti1Image(spoilt, like.affine, like.header), mask)


@pytest.fixture(scope="session")
def command() -> Callable[..., Any]:
    """Run `segdistill WORDS` in this process."""
    return module("cli/conftest.py").command  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def kept_home(command: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Made once; nobody writes into it."""
    cli, home = module("cli/conftest.py"), Home(tmp_path_factory.mktemp("viewer"))
    cli.write_volumes(home.path / "data", names=NAMES, affine=np.diag([1.5, 1.5, 3.0, 1.0]))
    for image in (home.path / "data" / "imagesTr").iterdir():
        sign(image)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home.path)
        patch.delenv("SEGDISTILL_STORE", raising=False)
        words = ("data.path=data", *cli.TINY, "data.splits.test=0.5", "--no-report")
        for asked in (
            ("train", "student_alone", *words, "--out", "runs/teacher"),
            ("train", "student_alone", *words, "train.seed=1", "--out", "runs/hinton_alone"),
            ("distill", "hinton", *words, "teachers.teacher.run=runs/teacher", "--out", "runs/hinton"),
        ):
            answer = command(*asked)
            assert answer.code == 0, answer
        for run in ("teacher", "hinton_alone", "hinton"):
            assert command("evaluate", f"runs/{run}").code == 0
    for number, case in enumerate(home.cases):
        for step, run in enumerate(("teacher", "hinton", "hinton_alone")):
            mask = home.path / "runs" / run / "predictions" / f"{case}.nii.gz"
            spoil(mask, home.reference(case), step)
        remark(home.run / "metrics.json", case, 0.9 - 0.1 * number)
    return home


def remark(metrics: Path, case: str, dice: float) -> None:
    """Write another Dice of a case."""
    told = json.loads(metrics.read_text())
    for row in told["cases"]:
        if row["case"] == case:
            row["dice"] = dice
    metrics.write_text(json.dumps(told))


@pytest.fixture
def home(kept_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of one's own, which is the current folder."""
    shutil.copytree(kept_home.path, tmp_path / "home")
    for told in (tmp_path / "home" / "runs").glob("*/run.json"):  # which says where its teachers lie
        told.write_text(told.read_text().replace(str(kept_home.path), str(tmp_path / "home")))
    monkeypatch.chdir(tmp_path / "home")
    return Home(tmp_path / "home")


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for NiiVue, for what is tested without a browser."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    for name in page.VENDORED:
        (folder / name).write_text(f"// {name}\n")
    monkeypatch.setattr(page, "VENDOR", folder)
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium; without it, its driver or NiiVue the test is skipped."""
    made = module("viewer/browser.py")
    if made.CHROMIUM is None or made.DRIVER is None:
        pytest.skip("needs Chromium and its driver (on Debian: apt install chromium chromium-driver)")
    if not (page.VENDOR / page.NIIVUE).is_file():
        pytest.skip("needs NiiVue: make viewer")
    with made.chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
