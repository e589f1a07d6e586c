"""The archive of `torch.jit.save`, looked at without loading it.

It is read by PyTorch's own reader of archives, whose names take no notice of capitals: another reader could be shown
other code than the code that runs.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import torch

from segdistill.errors import SegdistillError

TOUCHES_FILES = re.compile(
    r"""\b(?:save|from_file)\b           # the operators that write or map files
    |\btorch\.classes\b                # compiled classes
    |(?<!\.)\bops\b(?!\.(?:aten|prim)\.\w|\s*:)(?:\.\w+)*  # operators of others, or `ops` given a new name
    |\btorch\b(?!\.\w|\s*:)            # `torch` given a new name
    |\bgetattr\b                       # a name in pieces or escapes; plain ones were taken away before""",
    re.VERBOSE,
)
"""What code needs trust for; it may run as soon as an archive is loaded. An attribute may be called `ops: ...`."""
PLAIN_GETATTR = re.compile(r"""\bgetattr\(([^"'#(),\\\n]+), "([^"\\\n]*)"\)""")
"""How PyTorch itself writes an attribute whose name is a number."""


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, by the names inside; nothing is read by pickle."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        return _is_torchscript(_folded(torch._C.PyTorchFileReader(str(path)).get_all_records()))
    except RuntimeError:
        return False


def inspect(path: Path, trust: bool) -> None:
    """Whether a file is TorchScript that may be loaded.

    Raises:
        SegdistillError: missing, damaged, of another kind, two files of one name, or code that touches files and is
            not trusted.
    """
    if not path.is_file():
        raise SegdistillError(f"{path}: no such file; name a TorchScript file")
    try:
        reader = torch._C.PyTorchFileReader(str(path))
        names = reader.get_all_records()
        folded = _folded(names)
        code = [one for one, name in zip(names, folded, strict=True) if _is_code(name)]
        found = [
            told for one in code if (told := touches_files(reader.get_record(one).decode(errors="replace")))
        ]
    except RuntimeError as error:
        if _is_pickle(path):
            raise SegdistillError(
                f"{path} is a pickle, which can run code when it is read; it was not read. Save the network "
                "with torch.jit.save, or name it by its class and its weights"
            ) from None
        told = (str(error).splitlines() or [""])[0]
        raise SegdistillError(f"{path} is damaged or no TorchScript file ({told}); copy it again") from None
    if not _is_torchscript(folded):
        pickled = (
            ", but one of torch.save, a pickle, which can run code when it is read; it was not read"
            if "data.pkl" in folded
            else ""
        )
        raise SegdistillError(
            f"{path} is no TorchScript file{pickled}. Save the network with "
            "torch.jit.save(torch.jit.trace(network, example), path)"
        )
    if twice := [
        name for name, other in zip(sorted(folded), sorted(folded)[1:], strict=False) if name == other
    ]:
        raise SegdistillError(
            f"{path} holds two files of one name, {twice[0]}; it was not loaded. Save it again"
        )
    if found and not trust:
        raise SegdistillError(
            f"{path} has code that calls {found[0]!r}, which can write or read files, or is none of PyTorch's plain "
            "operators, and could run when it is loaded; it was not loaded. If you know who wrote it, give `--trust`"
        )


def touches_files(code: str) -> str | None:
    """The first words in the code of TorchScript that need trust."""
    plain, count = code, 1
    while count:  # they stand inside each other
        plain, count = PLAIN_GETATTR.subn(r"\1.\2", plain)
    found = TOUCHES_FILES.search(plain)
    return found.group() if found else None


def _folded(names: list[str]) -> list[str]:
    return [name.casefold() for name in names]


def _is_torchscript(folded: list[str]) -> bool:
    return "constants.pkl" in folded and any(_is_code(name) for name in folded)


def _is_code(folded: str) -> bool:
    return folded.startswith("code/") and not folded.endswith(".debug_pkl")


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"
