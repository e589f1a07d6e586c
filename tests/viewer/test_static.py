"""The page as a folder: whole, replaced only on request, and nothing else is replaced."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.viewer import page, static
from segdistill.viewer.cases import gather


def test_the_folder_holds_all_that_the_page_needs(home: Any, drawing: Path) -> None:
    out = static.write(page.files_of(gather(home.run), packed=True), Path("some/page"))
    assert out == Path("some/page/index.html")
    text = out.read_text(encoding="utf-8")
    for target in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert target == "data:," or (out.parent / target).is_file(), target
    assert not list(Path("some").glob(".*")), "nothing temporary is left"


def test_volumes_are_scripts_of_the_same_voxels(home: Any, drawing: Path) -> None:
    gallery = gather(home.run)
    out = static.write(page.files_of(gallery, packed=True), Path("page"))
    for number, layer in enumerate(gallery.cases[0].layers):
        script = (out.parent / "volumes" / f"0-{number}.js").read_text()
        found = re.fullmatch(r'viewerVolume\("volumes/0-\d+\.js", "([A-Za-z0-9+/=]+)"\);\n', script)
        assert found is not None
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(found[1])))
        told = nibabel.Nifti1Image.from_bytes(gzip.decompress(layer.read()))
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(told.dataobj))


def test_a_page_that_is_there_is_replaced_on_request(home: Any, drawing: Path) -> None:
    files = page.files_of(gather(home.run, cases=home.cases[:2]), packed=True)
    static.write(files, Path("page"))
    with pytest.raises(SegdistillError, match="--overwrite replaces it"):
        static.write(files, Path("page"))
    static.write(page.files_of(gather(home.run, cases=home.cases[:1]), packed=True), Path("page"), True)
    assert {each.name.partition("-")[0] for each in Path("page/volumes").iterdir()} == {"0"}


def test_another_folder_is_left_alone(home: Any, drawing: Path) -> None:
    files = page.files_of(gather(home.run), packed=True)
    for place in ("data", "runs/hinton"):
        with pytest.raises(SegdistillError, match="left alone"):
            static.write(files, Path(place), overwrite=True)
    Path("file").write_text("")
    with pytest.raises(SegdistillError, match="is a file"):
        static.write(files, Path("file"), overwrite=True)


def test_a_page_that_cannot_be_made_leaves_the_old_one(home: Any, drawing: Path) -> None:
    static.write(page.files_of(gather(home.run), packed=True), Path("page"))
    files = page.files_of(gather(home.run), packed=True)
    before = sorted(Path("page").rglob("*"))
    for image in (home.path / "data" / "imagesTr").iterdir():
        image.unlink()
    with pytest.raises(SegdistillError, match="does not exist"):
        static.write(files, Path("page"), overwrite=True)
    assert sorted(Path("page").rglob("*")) == before
    assert not list(Path().glob(".partial*"))


def test_an_empty_folder_is_filled(home: Any, drawing: Path) -> None:
    Path("page").mkdir()
    assert static.write(page.files_of(gather(home.run), packed=True), Path("page")).is_file()
