"""TorchScript files (`torch.jit.save`) as networks."""

from __future__ import annotations

import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.networks.stages import first_output
from segdistill.teachers.files.answer import Ending, FileAnswer
from segdistill.teachers.files.reason import reason

TOUCHES_FILES = re.compile(r"\b(save|from_file)\b")
"""The operators of TorchScript that write or map files; they may run as soon as an archive is loaded."""


@dataclass(frozen=True)
class TorchScript:
    """A network that was saved by `torch.jit.save`, traced or scripted.

    It sees what the student sees, and gives (batch, K, *space), or a list, tuple or dictionary that begins with it
    (`out`, `logits`). TorchScript runs no Python, so that nothing can look into it: its only stage is `logits`.

    Attributes:
        ending: what the network applies to its logits itself.
    """

    ending: Ending = "none"

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a file is a TorchScript archive, by the names inside; nothing is read by pickle."""
        if not path.is_file() or not zipfile.is_zipfile(path):
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                return _is_torchscript(archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return False

    def open(self, path: Path, *, trust: bool = False) -> nn.Module:
        """The network on the CPU, in eval mode: (batch, C, *space) -> (batch, K, *space) logits, float32.

        Args:
            trust: load it although its code has operators that touch files.

        Raises:
            SegdistillError: missing, damaged, no TorchScript (a pickle is refused, never loaded), or code that
                touches files.
        """
        _inspect(path, trust)
        try:
            with warnings.catch_warnings():
                # torch 2.13 calls torch.jit deprecated; files that were written with it are still there to be read.
                warnings.simplefilter("ignore", DeprecationWarning)
                script = torch.jit.load(str(path), map_location="cpu")
        except Exception as error:  # it raises almost anything on a damaged archive
            raise SegdistillError(
                f"{path} cannot be loaded as TorchScript ({reason(error)}); save it again with this or an "
                "older PyTorch"
            ) from error
        return ScriptNetwork(script, FileAnswer.of(path, self.ending)).eval()


class ScriptNetwork(nn.Module):
    """A loaded TorchScript network: a module that takes hooks, which a ScriptModule does not."""

    def __init__(self, script: nn.Module, answer: FileAnswer) -> None:
        super().__init__()
        self.script = script
        self.answer = answer

    def extra_repr(self) -> str:
        """The file's digest, so that networks of other files have another text."""
        return self.answer.describe()

    def forward(self, image: Tensor) -> Tensor:
        """(batch, C, *space) -> (batch, K, *space) logits."""
        try:
            output = self.script(image)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # torch.jit.Error, or the operator's own
            raise SegdistillError(
                f"{self.answer.path} does not take images of shape {tuple(image.shape)} ({reason(error)}); "
                "check the channels and the patch size that it was made for"
            ) from error
        try:
            first = first_output(output)
        except ValueError as error:
            raise SegdistillError(f"{self.answer.path}: {error}") from error
        return self.answer.logits(first, image)


def _inspect(path: Path, trust: bool) -> None:
    if not path.is_file():
        raise SegdistillError(f"{path}: no such file; name a TorchScript file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            code = [name for name in names if "/code/" in name and not name.endswith(".debug_pkl")]
            found = [match for name in code if (match := TOUCHES_FILES.search(_text(archive, name)))]
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        if _is_pickle(path):
            raise SegdistillError(
                f"{path} is a pickle, which can run code when it is read; it was not read. Save the network "
                "with torch.jit.save, or name it by its class and its weights"
            ) from None
        raise SegdistillError(f"{path} is damaged or no TorchScript file ({error}); copy it again") from None
    if not _is_torchscript(names):
        pickled = any(name.endswith("/data.pkl") for name in names)
        raise SegdistillError(
            f"{path} is no TorchScript file"
            + (
                ", but one of torch.save, a pickle, which can run code when it is read; it was not read"
                * pickled
            )
            + ". Save the network with torch.jit.save(torch.jit.trace(network, example), path)"
        )
    if found and not trust:
        raise SegdistillError(
            f"{path} has code that calls {found[0].group()!r}, which can write or read files when it is loaded; it "
            "was not loaded. If you know who wrote it, give `--trust`"
        )


def _is_torchscript(names: list[str]) -> bool:
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _text(archive: zipfile.ZipFile, name: str) -> str:
    return archive.read(name).decode("utf-8", errors="replace")
