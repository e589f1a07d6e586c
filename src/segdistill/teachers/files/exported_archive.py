"""The archive of `torch.export.save`, looked at without loading it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from segdistill.errors import SegdistillError

FORMAT = "archive_format"
OLD_FORMAT = "serialized_exported_program.json"  # torch 2.7 and before


def is_program(path: Path) -> bool:
    """Whether a file is such an archive, by the names inside; nothing is read by pickle."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _is_program(archive)
    except (OSError, zipfile.BadZipFile):
        return False


def inspected(path: Path, trust: bool) -> bytes:
    """The bytes of a file, once it is an archive of torch.export that may be loaded.

    Raises:
        SegdistillError: missing, damaged, of another kind, or not trusted.
    """
    if not path.is_file():
        raise SegdistillError(f"{path}: no such file; name a file of torch.export.save")
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            known, broken = _is_program(archive), archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise SegdistillError(
            f"{path} is damaged or no file of torch.export ({error}); copy it again"
        ) from None
    if not known:
        raise SegdistillError(
            f"{path} is no file of torch.export; it was not read. Save the network with "
            "torch.export.save(torch.export.export(network, (example,)), path)"
        )
    if broken:
        raise SegdistillError(f"{path} is damaged ({broken} has a wrong checksum); copy it again")
    if not trust:
        raise SegdistillError(
            f"{path} is a program of torch.export, which can run code when it is loaded; it was not loaded. If you "
            "know who wrote it, give `--trust`; an ONNX file needs no trust"
        )
    return content


def _is_program(archive: zipfile.ZipFile) -> bool:
    names = archive.namelist()
    if OLD_FORMAT in names:
        return True
    told = next((name for name in names if name.split("/")[-1] == FORMAT and name.count("/") <= 1), None)
    models = any("models/" in name and name.endswith(".json") for name in names)
    return told is not None and models and archive.read(told).strip() == b"pt2"
