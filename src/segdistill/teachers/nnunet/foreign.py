"""A trained configuration that runs in nnU-Net's own environment, because it needs nnU-Net's code."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn

from segdistill.digests import of_file
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import LOGITS
from segdistill.networks.nnunet_plans import inherited_settings
from segdistill.teachers.nnunet import history
from segdistill.teachers.nnunet.configuration import Configuration
from segdistill.teachers.nnunet.identity import identity_of
from segdistill.teachers.nnunet.labels import Labels
from segdistill.teachers.nnunet.placement import Placement, Reading
from segdistill.teachers.nnunet.preprocessing import check
from segdistill.teachers.nnunet.results import Results
from segdistill.teachers.source import Answer, Asking, CaseImage

VARIABLE = "SEGDISTILL_NNUNET"
BESIDE = Path(".venv-nnunet") / "bin" / "python"
SCRIPT = Path(__file__).with_name("foreign_process.py")
CODE = Path(__file__).with_name("foreign_code.py")
PATIENCE = 300.0  # seconds for reading the sources of an environment, on a slow disk


def environment(reason: str) -> Path:
    """The Python of nnU-Net's environment: what SEGDISTILL_NNUNET names, or `.venv-nnunet` in the current folder.

    Raises:
        SegdistillError: neither is there; `reason` says why one is needed.
    """
    named = os.environ.get(VARIABLE)
    python = Path(named) if named else BESIDE
    if python.is_file():
        return python.absolute()  # not resolved: a virtual environment is known by its own link
    told = (
        f"{VARIABLE} is {named}, which is no file" if named else f"there is neither {VARIABLE} nor {BESIDE}"
    )
    raise SegdistillError(
        f"{reason}; only nnU-Net's own code can run it, and {told}. `make nnunet` makes such an environment here; "
        f"where the model came with code of its own, set {VARIABLE} to the python of the environment it was trained in"
    )


def code_of(python: Path, results: Results) -> str:
    """Version and digits of the code that would run: nnU-Net's, its trainers', the network's; and what is installed.

    Raises:
        SegdistillError: the environment has no nnU-Net, or does not tell.
    """
    architecture = inherited_settings(results.plans, results.configuration).get("architecture")
    network = architecture.get("network_class_name") if isinstance(architecture, Mapping) else None
    packages = [network.split(".")[0]] if isinstance(network, str) and "." in network else []
    place = f"{results.path}: {python}"
    try:
        done = subprocess.run(
            [str(python), str(CODE), *packages],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        told = (
            json.loads((done.stdout.strip().splitlines() or ["null"])[-1]) if done.returncode == 0 else None
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SegdistillError(f"{place} does not tell what code it has ({error})") from None
    if not isinstance(told, dict) or not {"version", "digest"} <= told.keys():
        last = " / ".join(done.stderr.strip().splitlines()[-3:]) or "it said nothing"
        raise SegdistillError(f"{place} does not tell what code of nnU-Net it has ({last})")
    return f"nnunetv2 {told['version']} {told['digest']}"


class Process:
    """nnU-Net at work in a process of its own, which lives as long as this does."""

    def __init__(self, python: Path, results: Results, device: str) -> None:
        self._name = str(results.path)
        self._folder = tempfile.TemporaryDirectory(prefix="segdistill-nnunet-")
        self._errors = Path(self._folder.name) / "errors.txt"
        words = [
            results.path.absolute(),
            results.configuration,
            results.checkpoint_name,
            device,
            *results.folds,
        ]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(word) for word in (python, SCRIPT, *words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "nnUNet_compile": "f"},
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        weakref.finalize(self, _end, self._process, self._input, self._output, self._folder)
        self._read()

    def ask(
        self, image: np.ndarray, spacing: Sequence[float], asking: Asking
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Logits of one image (C, z, y, x) on nnU-Net's grid, and where its crop lies."""
        files = {key: str(Path(self._folder.name) / f"{key}.npy") for key in ("image", "answer")}
        np.save(files["image"], np.ascontiguousarray(image, np.float32))
        settings = {"overlap": asking.overlap, "mirror": asking.mirror, "window_batch": asking.window_batch}
        try:
            self._input.write(json.dumps({**files, **settings, "spacing": list(spacing)}) + "\n")
            self._input.flush()
        except OSError:
            raise SegdistillError(self._ended()) from None
        told = self._read()
        return np.load(files["answer"]), told

    def _read(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line:
            raise SegdistillError(self._ended())
        told: Mapping[str, Any] = json.loads(line)
        if "error" in told:
            raise SegdistillError(f"{self._name}: nnU-Net's own code failed: {told['error']}")
        return dict(told)

    def _ended(self) -> str:
        last = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        return f"{self._name}: nnU-Net's process has ended ({' / '.join(last) or 'it said nothing'})"


class ForeignSource:
    """Answers of nnU-Net's own code; response only.

    Raises:
        SegdistillError: code of the folder is not trusted, or there is no environment for it.
    """

    def __init__(
        self, results: Results, labels: Labels, configuration: Configuration, reason: str, *, trust: bool
    ) -> None:
        reason = f"{results.path}: {reason}"
        if not trust:
            raise SegdistillError(
                f"{reason}. nnU-Net's own code may know it. That reads pickles and runs code that belongs to the "
                "model: if you know where it comes from, allow it with --trust"
            )
        self._python = environment(reason)
        self.channels: tuple[str, ...] | None = labels.channels
        self.classes: tuple[str, ...] | None = labels.classes
        self.regions = labels.regions
        self.network: nn.Module | None = None
        self.trained_on = history.trained_on(results)
        self.score = history.score(results)
        self.window: tuple[int, ...] | None = configuration.patch_size
        self._results, self._configuration, self._outputs = results, configuration, labels.outputs
        self._weights = [of_file(results.weights(fold)) for fold in results.folds]
        self._identity: str | None = None
        self._process: tuple[str, Process] | None = None

    def identity(self) -> str:
        """Hexadecimal digits of the folder's files and of the code that runs them; the environment is asked once.

        Raises:
            SegdistillError: the environment does not tell what code it has.
        """
        if self._identity is None:
            code = code_of(self._python, self._results)
            self._identity = identity_of(self._results, self._weights, of_file(SCRIPT), code)
        return self._identity

    def answer(self, case: CaseImage, stages: Sequence[str], asking: Asking) -> Answer:
        """What it says about one case, on nnU-Net's grid; started at the first.

        Raises:
            SegdistillError: stages are asked, the image does not fit, or nnU-Net's code failed.
        """
        if asked := [stage for stage in stages if stage != LOGITS]:
            raise SegdistillError(
                f"{self._results.path}: it runs in nnU-Net's own environment, which tells logits alone; asked for "
                f"{', '.join(asked)}"
            )
        check(case, self._configuration)
        reading = Reading.of(case.geometry, self._configuration.reader)
        logits, told = self._started(str(asking.device)).ask(
            reading.apply(case.image), reading.spacing, asking
        )
        if len(logits) != self._outputs:
            raise SegdistillError(
                f"{self._results.path}: nnU-Net's code told {len(logits)} maps, "
                f"dataset.json has {self._outputs} outputs"
            )
        placement = Placement(
            reading,
            self._configuration.transpose,
            tuple(told["offset"]),
            tuple(told["cropped"]),
            logits.shape[1:],
        )
        plane = case.image.ndim == 3
        found = torch.from_numpy(logits[:, 0] if plane else logits)
        return Answer({LOGITS: found}, {LOGITS: (1,) * (found.ndim - 1)}, placement.to_original())

    def _started(self, device: str) -> Process:
        if self._process is None or self._process[0] != device:
            self._process = (device, Process(self._python, self._results, device))
        return self._process[1]


def _end(
    process: subprocess.Popen[str], to: IO[str], back: IO[str], folder: tempfile.TemporaryDirectory[str]
) -> None:
    """Close its input, which ends it; kill it where it does not."""
    with contextlib.suppress(OSError):  # it had ended before
        to.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    back.close()
    folder.cleanup()
