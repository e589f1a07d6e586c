"""Which values the masks of a folder hold, and what classes they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from segdistill.data.dataset import values_in
from segdistill.data.image import read_label
from segdistill.errors import SegdistillError
from segdistill.progress import track

MOST_GRAYS = 8  # classes that somebody paints in shades of gray
MOST_CLASSES = 64  # more distinct values than that are shades of gray, not classes


def gather(masks: Sequence[Path]) -> tuple[set[int], dict[Path, str]]:
    """All values that occur, and for each mask that cannot be read why."""
    found: set[int] = set()
    broken: dict[Path, str] = {}
    with ThreadPoolExecutor(4) as pool:
        for mask, (values, problem) in zip(
            masks, track(pool.map(_values, masks), "Reading masks", len(masks)), strict=True
        ):
            found.update(values)
            if problem is not None:
                broken[mask] = problem
    return found, broken


def classes(values: Iterable[int], path: Path) -> dict[str, int]:
    """Name -> value for the values above 0 that occur in masks.

    Raises:
        SegdistillError: the values look like shades of gray, or 255 occurs beside 1, 2, ... so that it may
            mean either a class or `ignore`.
    """
    present = sorted(set(values) - {0})
    where = f"the masks of {path}"
    if not present:
        raise SegdistillError(f"{where} are all empty (0 everywhere); there is nothing to learn")
    if present[0] < 0:
        raise SegdistillError(
            f"{where} hold negative values ({present[0]}); name the classes in a dataset.json there"
        )
    if _shades(present) or len(present) > MOST_CLASSES:
        raise SegdistillError(
            f"{where} hold {len(present)} values besides 0 (such as {', '.join(map(str, present[:4]))}), "
            "shades as JPEG or smoothing leaves them; threshold them at 128 and save as PNG with 0 and 255, or, where "
            "they are classes, name them in a dataset.json there"
        )
    if 255 in present and 1 in present:
        raise SegdistillError(
            f"{where} hold {', '.join(map(str, present))}: 255 may be a class, or voxels to ignore, or some "
            "masks are 0/1 and others 0/255; make them alike, or put a dataset.json there: "
            '{"labels": {"background": 0, "a": 1, "ignore": 255}}'
        )
    if len(present) == 1:
        return {"foreground": present[0]}
    return {f"class_{value}": value for value in present}


def _shades(present: Sequence[int]) -> bool:
    """Whether values up to white look like what smoothing left, rather than like classes painted in gray."""
    near_both_ends = present[0] < 16 and any(239 < value < 255 for value in present)
    many = len(present) > MOST_GRAYS and any(128 <= value < 255 for value in present)
    return 255 in present and (near_both_ends or many)


def _values(mask: Path) -> tuple[tuple[int, ...], str | None]:
    try:
        status = mask.stat()
        return _remembered(mask, status.st_mtime_ns, status.st_size), None
    except (SegdistillError, OSError) as error:
        return (), str(error)


@lru_cache(maxsize=100_000)
def _remembered(mask: Path, modified: int, size: int) -> tuple[int, ...]:
    """Values of a mask; `modified` and `size` are there so that a changed file is read again."""
    return tuple(int(value) for value in values_in(read_label(mask)[0]))
