"""Names of their own for what is named alike: runs in two folders, recipes beside a report."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path


def telling(names: Mapping[Path, str]) -> dict[Path, str]:
    """Each run's name; where several have one, the shortest end of its path that no other has: exp1/student.

    Args:
        names: by the resolved path of a run.
    """
    times = Counter(names.values())
    return {path: name if times[name] == 1 else _end(path, names) for path, name in names.items()}


def without_folders(names: Iterable[str]) -> list[str]:
    """Telling names without where anything lies, which no export says: student, student (2)."""
    return distinct(name.rpartition("/")[2] for name in names)


def distinct(names: Iterable[str], mark: str = " ({})") -> list[str]:
    """The names in their order, with a number after one that was there before."""
    found: list[str] = []
    for name in names:
        others = (name + mark.format(number) for number in itertools.count(2))
        found.append(next(one for one in itertools.chain([name], others) if one not in found))
    return found


def _end(path: Path, names: Mapping[Path, str]) -> str:
    others = {other: name for other, name in names.items() if other != path}
    for length in range(1, len(path.parts)):
        end = path.parts[-length:]
        alone = all(other.parts[-length:] != end for other in others)
        if alone and "/".join(end) not in others.values():
            return "/".join(end)
    return path.as_posix()
