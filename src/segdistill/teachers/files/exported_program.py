"""torch.export programs (`.pt2`) as networks, with their inner maps."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_unflatten

from segdistill.errors import SegdistillError
from segdistill.networks.stages import first_output
from segdistill.notes import note
from segdistill.teachers.files.answer import Ending, FileAnswer
from segdistill.teachers.files.exported_archive import inspected, is_program
from segdistill.teachers.files.input import FileInput
from segdistill.teachers.files.reason import reason


@dataclass(frozen=True)
class ExportedProgram:
    """A network that was saved by `torch.export.save`.

    It sees what the student sees, and gives (batch, K, *space), or a list, tuple or dictionary that begins with it.
    The submodules of the network that was exported are there again under `program`, so that their outputs can be
    named as stages (`name_stages(network, {"encoder/4": "program.encoder.2"})`). A fixed patch size is told as
    `image_size`, a fixed batch is run in portions.

    Attributes:
        ending: what the network applies to its logits itself.
    """

    ending: Ending = "none"

    @staticmethod
    def recognises(path: Path) -> bool:
        """Whether a file is an archive of torch.export, by the names inside; nothing is read by pickle."""
        return is_program(path)

    def open(self, path: Path, *, trust: bool = False) -> nn.Module:
        """The network on the CPU, in eval mode: (batch, C, *space) -> (batch, K, *space) logits, float32.

        Args:
            trust: needed. torch.export reads parts of the file by pickle, evaluates the expressions in it as Python
                and calls any function of torch that it names, so a file can run what its writer wanted.

        Raises:
            SegdistillError: missing, damaged, no such archive, not trusted, several inputs, or one that is no image.
        """
        content = inspected(path, trust)
        try:
            with _quiet():
                program = torch.export.load(io.BytesIO(content))
        except Exception as error:  # it raises almost anything
            raise SegdistillError(
                f"{path} cannot be loaded by torch {torch.__version__} ({reason(error)}); export the network again "
                "with this version, on a CPU"
            ) from error
        place, taken, kind = _read_input(path, program)
        return ProgramNetwork(
            _module(path, program), place, taken, kind, FileAnswer.of(path, self.ending)
        ).eval()


class ProgramNetwork(nn.Module):
    """A program with the sizes that it was exported for.

    Attributes:
        program: the network that was exported, as a module.
        image_size: the one patch size that it takes, or None.
        in_channels: image channels that it takes, or None where that is free.
        batch_size: the one batch size that it runs, in portions where more or fewer are given, or None.
    """

    def __init__(
        self, program: nn.Module, place: str | None, taken: FileInput, kind: torch.dtype, answer: FileAnswer
    ) -> None:
        super().__init__()
        self.program = program
        self.input, self.answer = taken, answer
        self._place, self._kind = place, kind
        self.image_size, self.in_channels, self.batch_size = taken.image_size, taken.channels, taken.batch

    def extra_repr(self) -> str:
        """The file's digest, so that networks of other files have another text."""
        return self.answer.describe()

    def forward(self, image: Tensor) -> Tensor:
        """(batch, C, *space) -> (batch, K, *space) logits."""
        self.input.check(image)
        batch = self.batch_size
        if batch not in (None, len(image)) and any(
            module._forward_hooks for module in self.program.modules()
        ):
            raise SegdistillError(  # a hook would see the maps of the last portion only
                f"{self.answer.path} was exported for batches of {batch}, and its inner maps are asked for "
                f"{len(image)} images; use that batch size, the stage `logits` alone, or export it with a dynamic batch"
            )
        return self.answer.logits(self.input.in_portions(self._run, image), image)

    def _run(self, images: Tensor) -> Tensor:
        images = images.to(self._kind)
        try:
            output = self.program(images) if self._place is None else self.program(**{self._place: images})
        except torch.OutOfMemoryError:
            raise
        except (
            RuntimeError,
            AssertionError,
        ) as error:  # a size against its guards, or an operator's own error
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise SegdistillError(
                f"{self.answer.path} does not take images of shape {tuple(images.shape)} ({told[0]}); check the sizes "
                "that it was exported for"
            ) from error
        try:
            return first_output(output)
        except ValueError as error:
            raise SegdistillError(f"{self.answer.path}: {error}") from error


def _read_input(path: Path, program: Any) -> tuple[str | None, FileInput, torch.dtype]:
    """The name of the keyword by which it takes the image (None: the first argument), its sizes and its type."""
    names = program.graph_signature.user_inputs
    values = [
        node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names
    ]
    told = ", ".join(f"{name} {list(value.shape)}" for name, value in zip(names, values, strict=False)
                     if isinstance(value, Tensor))  # fmt: skip
    if len(names) != 1 or len(values) != 1 or not isinstance(values[0], Tensor):
        raise SegdistillError(
            f"{path} has {len(names)} inputs ({told or 'none of them a tensor'}); a teacher takes one, the image"
        )
    if not values[0].is_floating_point():
        raise SegdistillError(f"{path}: its input is {values[0].dtype}; a teacher takes images as floats")
    arguments, keywords = tree_unflatten(list(names), program.call_spec.in_spec)
    sizes = tuple(size if isinstance(size, int) else None for size in values[0].shape)
    if arguments == (names[0],) and not keywords:
        return None, FileInput(path, sizes), values[0].dtype
    if not arguments and len(keywords) == 1 and isinstance(next(iter(keywords.values())), str):
        return next(iter(keywords)), FileInput(path, sizes), values[0].dtype
    raise SegdistillError(
        f"{path} takes its image inside a list or dictionary; export it with a plain tensor"
    )


def _module(path: Path, program: Any) -> nn.Module:
    """The program with its submodules, or flat where torch cannot bring them back."""
    try:
        with _quiet():
            return torch.export.unflatten(program)
    except Exception as error:  # it asserts a lot about how submodules were called
        note(
            f"{path}: only the stage `logits`, since its submodules cannot be brought back ({reason(error)})"
        )
        flat: nn.Module = program.module()
        for name in ("train", "eval"):  # these raise, although the mode of a program changes nothing
            flat.__dict__.pop(name, None)
        return flat


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about its own deprecated parts, and about files of older versions that it reads."""
    logger = logging.getLogger("torch.export")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
