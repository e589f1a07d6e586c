"""What files hold, as digits: BLAKE2b, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from segdistill.errors import SegdistillError


def of_file(path: Path) -> str:
    """32 hexadecimal digits of the contents of a file.

    Raises:
        SegdistillError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise SegdistillError(f"{path} cannot be read ({error.strerror})") from error


def of_files(files: Mapping[str, Path]) -> str:
    """32 hexadecimal digits of the contents of several files and of the names that they go by.

    Raises:
        SegdistillError: one cannot be read.
    """
    told = json.dumps([(name, of_file(path)) for name, path in sorted(files.items())])
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
