"""What a file holds, as digits."""

from __future__ import annotations

import hashlib
from pathlib import Path


def file_digest(path: Path) -> str:
    """32 hexadecimal digits of the contents of a file, wherever it lies.

    Files beside it that it names, as ONNX files do where the weights lie in a file of their own, are part of it.
    """
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16)
    for other in sorted(path.parent.iterdir()):
        name = other.name.encode()
        # Protobuf writes the length of a string before it: without it, short names would be found by chance.
        if other != path and other.is_file() and len(name) < 128 and bytes([len(name)]) + name in content:
            digest.update(name + _of(other))
    return digest.hexdigest()


def _of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
