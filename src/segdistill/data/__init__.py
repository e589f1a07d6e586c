"""Images and labels: layouts of folders, formats of files, and what is made of them for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segdistill.data import decathlon, nnunet_raw, paired_folders
from segdistill.data.dataset import Case, Dataset
from segdistill.data.scan import Scan
from segdistill.errors import SegdistillError

__all__ = ["LAYOUTS", "Case", "Dataset", "Layout", "dataset_folder", "find_layout", "open_dataset"]


@dataclass(frozen=True)
class Layout:
    """A way of laying out a folder. `read` raises where `scan` returns findings."""

    matches: Callable[[Path], bool]
    read: Callable[[Path], Dataset]
    scan: Callable[[Path], Scan]
    summary: str
    reference: str


LAYOUTS: dict[str, Layout] = {
    "nnunet_raw": Layout(
        nnunet_raw.matches, nnunet_raw.read, nnunet_raw.scan,
        "nnU-Net v2 raw: dataset.json with channel_names, imagesTr/, labelsTr/",
        "Isensee et al., Nature Methods 2021",
    ),
    "decathlon": Layout(
        decathlon.matches, decathlon.read, decathlon.scan,
        "Medical Segmentation Decathlon: dataset.json with modality and a training list",
        "Antonelli et al., Nature Communications 2022",
    ),
    "paired_folders": Layout(
        paired_folders.matches, paired_folders.read, paired_folders.scan,
        "images/ beside labels/ or masks/, also inside train/, val/, test/",
        "",
    ),
}  # fmt: skip


def open_dataset(path: Path | str, layout: str | None = None) -> Dataset:
    """The dataset in the folder `path`; its layout is detected unless given.

    Raises:
        SegdistillError: no such folder, no layout fits, or its files do not agree with each other.
    """
    folder = dataset_folder(path)
    return LAYOUTS[find_layout(folder, layout)].read(folder)


def find_layout(path: Path | str, layout: str | None = None) -> str:
    """The name of the first layout that the folder looks like, or `layout` if that is one."""
    folder = dataset_folder(path)
    if layout is not None:
        if layout not in LAYOUTS:
            raise SegdistillError(f"there is no layout {layout!r}; layouts are {', '.join(LAYOUTS)}")
        return layout
    for name, row in LAYOUTS.items():
        if row.matches(folder):
            return name
    if (folder / "dataset.json").exists():
        return "nnunet_raw"  # whose reader says what is wrong with that file
    expected = "; ".join(f"{name} ({row.summary})" for name, row in LAYOUTS.items())
    raise SegdistillError(f"{folder} has none of the layouts known: {expected}")


def dataset_folder(path: Path | str) -> Path:
    """The folder that is meant, by its own name or by the dataset.json in it; SegdistillError where there is none."""
    folder = Path(path).expanduser()
    if folder.name == "dataset.json":
        folder = folder.parent
    if not folder.is_dir():
        here = "" if folder.is_absolute() else f", seen from {Path.cwd()}"
        raise SegdistillError(
            f"{folder} is not a folder{here}; data.path should name the folder of a dataset"
        )
    return folder
