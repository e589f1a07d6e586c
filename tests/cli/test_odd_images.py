"""Images that are odd, yet mean something: read for what they mean. The proof is the weights that training gives."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from segdistill.run import Run

Command = Callable[..., Any]
Write = Callable[..., Path]
Change = Callable[[Path], None]


def gzip_named_nii(folder: Path) -> None:
    for path in folder.glob("*Tr/*.nii.gz"):
        path.rename(path.with_suffix(""))
    file = folder / "dataset.json"
    file.write_text(file.read_text().replace(".nii.gz", ".nii"))


def labels_next_to_whole_numbers(folder: Path) -> None:
    for path in (folder / "labelsTr").iterdir():
        image = nibabel.load(path)
        almost = np.asarray(image.dataobj) * np.float32(0.9999) + np.float32(0.0002)
        nibabel.save(nibabel.Nifti1Image(almost, image.affine), path)


def other_headers_for_the_same_place(folder: Path) -> None:
    for number, path in enumerate(sorted((folder / "imagesTr").iterdir())):
        image = nibabel.load(path)
        affine = image.affine.copy()
        image.set_sform(affine, code=number % 3)
        image.set_qform(affine, code=(number + 1) % 3)
        nibabel.save(image, path)


def a_mark_before_the_json(folder: Path) -> None:
    file = folder / "dataset.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def mode(path: Path) -> str:
    with Image.open(path) as image:
        return image.mode


def pictures(folder: Path) -> list[tuple[Path, np.ndarray]]:
    return [(path, pixels(path)) for path in sorted((folder / "images").iterdir())]


def alpha(folder: Path) -> None:
    for number, (path, array) in enumerate(pictures(folder)):
        seen = np.random.default_rng(number).integers(0, 256, array.shape[:2], np.uint8)
        Image.fromarray(np.dstack([array, seen])).save(path)


def palettes(folder: Path) -> None:
    for path, array in pictures(folder):
        colours, index = np.unique(array.reshape(-1, 3), axis=0, return_inverse=True)
        image = Image.fromarray(index.reshape(array.shape[:2]).astype(np.uint8))
        image.putpalette(colours.astype(np.uint8).tobytes())
        image.save(path)
        assert mode(path) == "P"


def sixteen_bit(folder: Path) -> None:
    for path, array in pictures(folder):
        deep = SimpleITK.GetImageFromArray(array.astype(np.uint16) * 257, isVector=True)
        SimpleITK.WriteImage(deep, str(path))


def palette_masks(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        mask = Image.fromarray((pixels(path) > 0).astype(np.uint8))
        mask.putpalette([0, 0, 0, 255, 0, 0])
        mask.save(path)
        assert mode(path) == "P"


def masks_of_0_and_1(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        Image.fromarray((pixels(path) > 0).astype(np.uint8)).save(path)


def masks_of_one_bit(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        Image.fromarray(pixels(path)).convert("1").save(path)


def masks_with_three_equal_channels(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        Image.fromarray(pixels(path)).convert("RGB").save(path)


def clean_jpeg_masks(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        whole = Image.new("L", (16, 16), 255)  # no edge, so nothing for JPEG to smear
        whole.save(path)
        if path.stem in ("p1", "p2"):
            path.unlink()
            whole.save(path.with_suffix(".jpg"))


def gray_of_sixteen_bit(folder: Path) -> None:
    for path, array in pictures(folder):
        Image.fromarray(array[..., 0].astype(np.uint16) * 200).save(path)
        assert mode(path).startswith("I;16")


def gray_of_eight_bit(folder: Path) -> None:
    for path, array in pictures(folder):
        Image.fromarray(array[..., 0]).save(path)


def same(folder: Path) -> None:
    """As it was written."""


def trained(segdistill: Command, train: Command, folder: str, *words: str) -> dict[str, np.ndarray]:
    """The weights of a training on `folder`; the images were accepted without a complaint."""
    from safetensors.numpy import load_file

    out = Path("runs") / folder
    assert segdistill("data", "check", folder).code == 0
    answer = train(f"data.path={folder}", *words, "--out", out)
    assert answer.code == 0, answer
    return load_file(out / "checkpoints" / "best.safetensors")


@pytest.mark.parametrize(
    "change",
    [gzip_named_nii, labels_next_to_whole_numbers, other_headers_for_the_same_place, a_mark_before_the_json],
    ids=lambda change: change.__name__,
)
def test_volumes(change: Change, volumes: Write, segdistill: Command, train: Command) -> None:
    volumes()
    change(volumes("odd"))
    found, wanted = (trained(segdistill, train, folder) for folder in ("odd", "data"))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    ("change", "reference"),
    [
        (alpha, same),
        (palettes, same),
        (sixteen_bit, same),
        (palette_masks, same),
        (masks_of_0_and_1, same),
        (masks_of_one_bit, same),
        (masks_with_three_equal_channels, same),
        (gray_of_sixteen_bit, gray_of_eight_bit),
    ],
    ids=lambda change: change.__name__,
)
def test_photographs(
    change: Change, reference: Change, photographs: Write, segdistill: Command, train: Command
) -> None:
    reference(photographs())
    change(photographs("odd"))
    found, wanted = (
        trained(segdistill, train, folder, "data.patch_size=[8,8]") for folder in ("odd", "data")
    )
    for name in wanted:  # z-scores of gray differ in the last bits
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-6)


def test_jpeg_masks_that_lost_nothing(photographs: Write, segdistill: Command, train: Command) -> None:
    clean_jpeg_masks(photographs())
    trained(segdistill, train, "data", "data.patch_size=[8,8]")


def test_rounded_labels_are_noted(volumes: Write, segdistill: Command) -> None:
    labels_next_to_whole_numbers(volumes())
    found = json.loads(segdistill("data", "check", "data", "--json").out)
    assert {row["severity"] for row in found} == {"note"} and len(found) == 6
    assert "next to whole numbers" in found[0]["message"]


def test_names_with_spaces_and_letters_of_any_alphabet(
    volumes: Write, segdistill: Command, train: Command
) -> None:
    names = ["Fall 1 (übrig)", "Größe 2", "患者 3", "c d", "é", "50 % & mehr"]
    volumes("Daten für alle", names=names)
    assert train("data.path=Daten für alle", "--out", "runs/Lauf für alle").code == 0
    for subset in ("train", "validation", "test"):
        assert segdistill("evaluate", "runs/Lauf für alle", "--subset", subset).code == 0
    run = Run.open("runs/Lauf für alle")
    assert {path.name for path in run.file("predictions").iterdir()} == {f"{name}.nii.gz" for name in names}
    rows = run.read_json("metrics.json")["cases"]
    assert {row["case"] for row in rows} == set(run.splits.test)
    assert segdistill("report", "runs/Lauf für alle").code == 0


def test_a_patch_larger_than_the_image_is_padded_and_noted(
    volumes: Write, photographs: Write, segdistill: Command, train: Command
) -> None:
    photographs("pictures")
    volumes()
    for folder, size in (("data", [16, 8, 16]), ("pictures", [32, 16])):
        out = f"runs/{folder}"
        assert train(f"data.path={folder}", f"data.patch_size={size}", "--out", out).code == 0
        notes = [event["message"] for event in Run.open(out).events() if event["event"] == "note"]
        assert len(notes) == 1 and f"patches {size}" in notes[0] and "padded with 0" in notes[0]
        assert segdistill("evaluate", out).code == 0


def test_a_dataset_that_cannot_be_written_is_only_read(
    volumes: Write, segdistill: Command, train: Command
) -> None:
    folder = volumes()
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in everything}
    try:
        assert train("--out", "runs/new").code == 0
        assert segdistill("evaluate", "runs/new").code == 0
        assert segdistill("data", "check", "data").code == 0
        assert {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in everything} == before
        assert sorted([folder, *folder.rglob("*")]) == sorted(everything)
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
