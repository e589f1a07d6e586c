"""The files in which an ONNX file keeps its weights, where they lie outside of it."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from segdistill.errors import SegdistillError

VARINT = rb"([\x80-\xff]{0,4}[\x00-\x7f])"
LOCATION = re.compile(rb"j" + VARINT + rb"\n\x08location\x12" + VARINT)
"""`TensorProto.external_data`, field 13, as protobuf writes its entry `location`; each varint is a length."""


def onnx_weights(path: Path) -> dict[str, Path]:
    """The files of external data that an ONNX file names, by their names in it.

    Raises:
        SegdistillError: a name leads out of the folder of the file, or there is no such file.
    """
    content, found = path.read_bytes(), {}
    for match in LOCATION.finditer(content):
        length = _number(match[2])
        if _number(match[1]) != len(b"\n\x08location\x12") + len(match[2]) + length:
            continue  # these words inside other data
        name = content[match.end() : match.end() + length].decode(errors="replace")
        # By name, not by where links lead: stores of downloads keep all files behind links.
        outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
        if outside or ".." in PureWindowsPath(name).parts:
            raise SegdistillError(
                f"{path}: its weights are said to lie in {name}, outside of its folder; it was not used. Export it "
                "with external_data=False"
            )
        found[name] = path.parent / name
    for name, other in found.items():
        if not other.is_file():
            raise SegdistillError(
                f"{path}: its weights lie in {name}, which is not there; copy that file to {other}"
            )
    return found


def _number(varint: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint))
