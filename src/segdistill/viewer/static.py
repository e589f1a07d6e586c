"""The page as a folder: to open from a disk, or to put on a server of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from segdistill.atomic import new_folder
from segdistill.errors import SegdistillError
from segdistill.progress import track
from segdistill.viewer.page import NIIVUE, Files, pack

PAGE = "index.html"
MARKS = (PAGE, NIIVUE, "viewer.css")  # what tells such a folder from others, of whichever version


def must_suit(folder: Path, overwrite: bool) -> None:
    """Raise where a page cannot be written into a folder: it is there and not to be replaced, or no page.

    Raises:
        SegdistillError: so it is.
    """
    if folder.is_file():
        raise SegdistillError(f"{folder} is a file; choose another --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not all((folder / name).is_file() for name in MARKS):
        raise SegdistillError(
            f"{folder} holds something else than a page of segdistill view, so it is left alone; choose another --out"
        )
    if not overwrite:
        raise SegdistillError(f"{folder} exists: --overwrite replaces it, or choose another --out")


def write(files: Files, folder: Path, overwrite: bool = False) -> Path:
    """Write a page whose volumes are packed; the folder is wholly written, or as it was before.

    Returns:
        The page, index.html.

    Raises:
        SegdistillError: the folder is there, or cannot be written; or an image cannot be read.
    """
    must_suit(folder, overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SegdistillError(f"{folder} cannot be made ({error.strerror}); choose another --out") from None
    with new_folder(folder) as partial:
        (partial / "volumes").mkdir()
        (partial / PAGE).write_text(files.page, encoding="utf-8")
        for name, source in files.fixed.items():
            shutil.copyfile(source, partial / name)
        for name, read in track(files.volumes.items(), "Writing volumes", len(files.volumes)):
            (partial / name).write_bytes(pack(name, read()))
        if folder.exists():
            shutil.rmtree(folder)
    return folder / PAGE
