"""What a file holds, as digits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


def file_digest(path: Path, others: Mapping[str, Path] | None = None) -> str:
    """32 hexadecimal digits of the contents of a file, wherever it lies.

    Args:
        others: files whose contents belong to it, by the names under which it knows them.
    """
    digest = _of(path)
    for name, other in sorted((others or {}).items()):
        digest.update(name.encode() + _of(other).digest())
    return digest.hexdigest()


def _of(path: Path) -> hashlib._Hash:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
