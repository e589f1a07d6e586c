"""ONNX files as networks, run by onnxruntime."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.teachers.files.answer import Ending, FileAnswer
from segdistill.teachers.files.input import FileInput
from segdistill.teachers.files.onnx_weights import onnx_weights
from segdistill.teachers.files.reason import reason

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True)
class OnnxFile:
    """A network in ONNX, with one input of images and logits among its outputs.

    It sees what the student sees. Its only stage is `logits`. A fixed patch size is told as `image_size`, a fixed
    batch is run in portions. onnxruntime uses as many threads as PyTorch, or the GPU where its package has CUDA.

    Attributes:
        output: name of the output with the logits; the first where left out.
        ending: what the network applies to its logits itself.
        runs_on: `auto`: the GPU where onnxruntime finds one, else the CPU.
    """

    output: str | None = None
    ending: Ending = "none"
    runs_on: Literal["auto", "cpu", "cuda"] = "auto"

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a file is called `.onnx`."""
        return path.is_file() and path.suffix.lower() == ".onnx"

    def open(self, path: Path, *, trust: bool = False) -> nn.Module:
        """The network: (batch, C, *space) -> (batch, K, *space) logits, float32 on the device of the image.

        Args:
            trust: not needed; an ONNX file holds no Python.

        Raises:
            SegdistillError: missing or damaged, without its external data or with some outside of
                its folder, with several inputs, an input that is
                no image, or without the output that was named; onnxruntime is not installed.
        """
        return OnnxNetwork(path, self)


class OnnxNetwork(nn.Module):
    """A network that onnxruntime runs. Copies and pickles open the file again.

    Attributes:
        image_size: the one patch size that it takes, or None.
        in_channels: image channels that it takes, or None where that is free.
        batch_size: the one batch size that it runs, in portions where more or fewer are given, or None.
    """

    def __init__(self, path: Path, settings: OnnxFile) -> None:
        super().__init__()
        self.settings = settings
        self._session = _session(path, settings.runs_on)
        self.answer = FileAnswer.of(path, settings.ending, onnx_weights(path))
        self.input, self._input_name, self._type = _read_input(path, self._session)
        self._output_name = _output(path, self._session, settings.output)
        self.image_size, self.in_channels = self.input.image_size, self.input.channels
        self.batch_size = self.input.batch

    def extra_repr(self) -> str:
        """The file's digest, so that networks of other files have another text."""
        return f"{self.answer.describe()}, output={self._output_name}"

    def forward(self, image: Tensor) -> Tensor:
        """(batch, C, *space) -> (batch, K, *space) logits."""
        self.input.check(image)
        return self.answer.logits(self.input.in_portions(self._run, image), image)

    def _run(self, images: Tensor) -> Tensor:
        values = images.detach().cpu().numpy().astype(self._type)
        try:
            found = self._session.run([self._output_name], {self._input_name: np.ascontiguousarray(values)})
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise SegdistillError(
                f"{self.answer.path} does not take images of shape {tuple(images.shape)} ({reason(error)}); "
                "check the patch size that it was exported for"
            ) from error
        if not isinstance(found[0], np.ndarray):
            raise SegdistillError(f"{self.answer.path}: its output {self._output_name!r} is no array")
        return torch.from_numpy(found[0])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._session = _session(self.answer.path, self.settings.runs_on)


def _session(path: Path, runs_on: str) -> Any:
    if not path.is_file():
        raise SegdistillError(f"{path}: no such file; name an ONNX file")
    try:
        onnxruntime = importlib.import_module("onnxruntime")  # an extra, and slow to import
    except ImportError as error:
        raise SegdistillError(
            f"{path}: ONNX files need onnxruntime ({error}); pip install 'segdistill[export]'"
        ) from error
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if runs_on == "cuda" and not has_cuda:
        raise SegdistillError(
            f"{path}: this onnxruntime has no CUDA; pip install onnxruntime-gpu, or runs_on: cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    providers = ["CUDAExecutionProvider"] * (has_cuda and runs_on != "cpu") + ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no base of their own
        told = reason(error)
        if "external" in told.lower() or ".data" in told:
            raise SegdistillError(
                f"{path}: its weights lie in a file of their own that cannot be read ({told}); copy that file "
                "beside it, or export with external_data=False"
            ) from error
        raise SegdistillError(
            f"{path} is damaged or no ONNX file ({told}); copy or export it again"
        ) from error


def _read_input(path: Path, session: Any) -> tuple[FileInput, str, Any]:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        told = ", ".join(f"{one.name} {one.shape}" for one in inputs) or "none"
        raise SegdistillError(f"{path} has {len(inputs)} inputs ({told}); a teacher takes one, the image")
    only = inputs[0]
    if only.type not in TYPES:
        raise SegdistillError(
            f"{path}: its input {only.name!r} is {only.type}; a teacher takes images as {', '.join(TYPES)}"
        )
    sizes = tuple(size if isinstance(size, int) else None for size in only.shape)
    return FileInput(path, sizes), only.name, TYPES[only.type]


def _output(path: Path, session: Any, wanted: str | None) -> str:
    outputs = {one.name: one for one in session.get_outputs()}
    name = next(iter(outputs)) if wanted is None else wanted
    told = ", ".join(f"{one.name} {one.shape}" for one in outputs.values())
    if name not in outputs:
        raise SegdistillError(f"{path} has no output {name!r}; it has: {told}")
    shape = outputs[name].shape
    image = session.get_inputs()[0].shape
    fixed = [
        (a, b)
        for a, b in zip(shape[2:], image[2:], strict=False)
        if isinstance(a, int) and isinstance(b, int)
    ]
    known = bool(shape)  # else its shape is told by the first answer
    if known and (len(shape) != len(image) or any(a != b for a, b in fixed)):
        raise SegdistillError(
            f"{path}: its output {name!r} of shape {shape} is no map of its input's size, {image}; name one that is, "
            f"`output: NAME`, of: {told}"
        )
    return name
