"""TorchScript files (`torch.jit.save`) as networks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.networks.stages import first_output
from segdistill.teachers.files.answer import Ending, FileAnswer
from segdistill.teachers.files.reason import reason
from segdistill.teachers.files.torchscript_archive import inspect, is_torchscript


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
        return is_torchscript(path)

    def open(self, path: Path, *, trust: bool = False) -> nn.Module:
        """The network on the CPU, in eval mode: (batch, C, *space) -> (batch, K, *space) logits, float32.

        Args:
            trust: load it although its code has operators that touch files, or ones that are not PyTorch's own.

        Raises:
            SegdistillError: missing, damaged, no TorchScript (a pickle is refused, never loaded), two files of one name
                inside, or code that is not trusted.
        """
        inspect(path, trust)
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
