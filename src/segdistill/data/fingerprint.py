"""A name for the contents of files, so that a store made from other files is never taken for this one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

from segdistill.atomic import write_json
from segdistill.data.dataset import Dataset
from segdistill.data.plan import Plan
from segdistill.digests import of_file
from segdistill.errors import SegdistillError

DIGESTS = "digests.json"


def fingerprint(dataset: Dataset, plan: Plan, root: Path) -> str:
    """16 hexadecimal digits of the plan and each case's id and file contents, wherever the files lie.

    Contents are read once: `root`/digests.json remembers them by path, size and time of change.
    """
    paths = [path for case in dataset.cases for path in (*case.images, *([case.label] if case.label else []))]
    digests = file_digests(paths, root)
    cases = sorted(
        (case.id, [digests[path] for path in case.images], digests[case.label] if case.label else None)
        for case in dataset.cases
    )
    return blake2b(json.dumps([plan.fingerprint, cases]).encode(), digest_size=8).hexdigest()


def file_digests(paths: Iterable[Path], root: Path) -> dict[Path, str]:
    """BLAKE2b of each file's contents, remembered in `root`/digests.json."""
    paths = list(dict.fromkeys(paths))
    memory = Path(root) / DIGESTS
    known = _remembered(memory)
    stamps = {path: _stamp(path) for path in paths}
    digests = {path: known[stamps[path]] for path in paths if stamps[path] in known}
    unknown = [path for path in paths if path not in digests]
    if unknown:
        with ThreadPoolExecutor(4) as pool:  # hashing and reading leave the interpreter free
            digests.update(zip(unknown, pool.map(of_file, unknown), strict=True))
        # Read again: another process may have added to it. What is lost in a race is only computed once more.
        write_json(memory, {**_remembered(memory), **{stamps[path]: digests[path] for path in unknown}})
    return digests


def _remembered(memory: Path) -> dict[str, str]:
    try:
        values = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise SegdistillError(
            f"{path} cannot be read ({error.strerror}); check the dataset with `data check`"
        ) from error
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
