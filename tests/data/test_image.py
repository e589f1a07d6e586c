"""Reading and writing files: geometry, channels, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segdistill.data.image import read_geometry, read_header, read_image, read_label, write_label
from segdistill.errors import SegdistillError


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix


affines = st.builds(
    lambda angles, spacing, flips, origin: np.block(
        [
            [rotation(angles) @ np.diag(np.array(spacing) * flips), np.array(origin)[:, None]],
            [np.zeros((1, 3)), np.ones((1, 1))],
        ]
    ),
    st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    st.tuples(*[st.floats(0.2, 8)] * 3),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    st.tuples(*[st.floats(-500, 500)] * 3),
)
shapes = st.tuples(*[st.integers(1, 7)] * 3)
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def nifti(
    path: Path, array: np.ndarray, affine: np.ndarray | None = None, codes: tuple[int, int] = (1, 1)
) -> Path:
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    image.set_sform(image.affine, code=codes[0])
    image.set_qform(image.affine, code=codes[1])
    nibabel.save(image, path)
    return path


def some_label(shape: tuple[int, ...]) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 3).reshape(shape)


@quick
@given(
    shape=shapes, affine=affines, channels=st.integers(0, 3), codes=st.sampled_from([(1, 1), (2, 0), (0, 1)])
)
def test_nifti_label_keeps_the_grid_of_its_image(
    tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray, channels: int, codes: tuple[int, int]
) -> None:
    image = np.zeros(shape + ((channels,) if channels else ()), np.float32)
    like = nifti(tmp_path / "image.nii.gz", image, affine, codes)
    label = some_label(shape)
    write_label(tmp_path / "label.nii.gz", label, like)
    written, source = nibabel.load(tmp_path / "label.nii.gz"), nibabel.load(like)
    assert np.array_equal(written.affine, source.affine)
    assert written.shape == shape
    assert written.header["sform_code"] == codes[0] and written.header["qform_code"] == codes[1]
    assert written.header.get_xyzt_units()[0] == source.header.get_xyzt_units()[0]
    assert written.get_data_dtype() == np.uint8
    back, geometry = read_label(tmp_path / "label.nii.gz")
    assert np.array_equal(back, label) and back.dtype == np.int32
    assert geometry.same_grid(read_geometry(like))
    assert np.allclose(geometry.spacing, np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-4)


@quick
@given(shape=shapes, affine=affines, source=st.sampled_from([".nii.gz", ".mha", ".nrrd"]))
@pytest.mark.parametrize("target", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_label_keeps_the_grid_across_formats(
    tmp_path: Path, shape: tuple[int, ...], affine: np.ndarray, source: str, target: str
) -> None:
    first = nifti(tmp_path / "first.nii.gz", np.zeros(shape, np.uint8), affine, (1, 0))
    like = tmp_path / f"image{source}"
    write_label(like, np.zeros(shape, int), first)
    label = some_label(shape)
    write_label(tmp_path / f"label{target}", label, like)
    back, geometry = read_label(tmp_path / f"label{target}")
    assert np.array_equal(back, label)
    assert np.allclose(geometry.affine, affine, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_simpleitk_and_nibabel_agree_on_where_voxels_are(tmp_path: Path, suffix: str) -> None:
    array = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)  # z, y, x
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    for name in (f"a{suffix}", "a.nii.gz"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    ours, ours_grid = read_image([tmp_path / f"a{suffix}"])
    theirs, theirs_grid = read_image([tmp_path / "a.nii.gz"])
    assert ours.shape == (1, 6, 5, 4) and np.array_equal(ours, theirs)
    assert ours_grid.same_grid(theirs_grid)
    label = some_label((6, 5, 4))
    write_label(tmp_path / f"label{suffix}", label, tmp_path / f"a{suffix}")
    written = SimpleITK.ReadImage(str(tmp_path / f"label{suffix}"))
    assert written.GetOrigin() == image.GetOrigin() and written.GetSpacing() == image.GetSpacing()
    assert written.GetDirection() == image.GetDirection()


def test_4d_and_vector_files_are_channels(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(5, 6, 7, 3)).astype(np.float32)
    nifti(tmp_path / "4d.nii.gz", array)
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0, 3)), isVector=True),
        str(tmp_path / "vector.mha"),
    )
    SimpleITK.WriteImage(
        SimpleITK.JoinSeries(
            [SimpleITK.GetImageFromArray(np.ascontiguousarray(array[..., c].T)) for c in range(3)]
        ),
        str(tmp_path / "series.mha"),
    )
    for name in ("4d.nii.gz", "vector.mha", "series.mha"):
        image, geometry = read_image([tmp_path / name])
        assert np.array_equal(image, np.moveaxis(array, -1, 0)), name
        assert geometry.shape == (5, 6, 7) and read_header(tmp_path / name)[0] == 3
        write_label(tmp_path / f"label_{name}", some_label((5, 6, 7)), tmp_path / name)
        assert read_label(tmp_path / f"label_{name}")[1].same_grid(geometry)


def test_files_of_one_case_are_stacked(tmp_path: Path) -> None:
    paths = [nifti(tmp_path / f"c{i}.nii.gz", np.full((3, 4, 5), i, np.int16)) for i in range(3)]
    image, _ = read_image(paths)
    assert image.dtype == np.float32 and image[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_channels_on_different_grids_are_refused(tmp_path: Path) -> None:
    shifted = np.eye(4)
    shifted[0, 3] = 1
    paths = [
        nifti(tmp_path / "a.nii.gz", np.zeros((8, 8, 8), np.int16)),
        nifti(tmp_path / "b.nii.gz", np.zeros((8, 8, 8), np.int16), shifted),
    ]
    with pytest.raises(SegdistillError, match="another grid"):
        read_image(paths)


def test_rounded_headers_are_the_same_grid(tmp_path: Path) -> None:
    affine = np.diag([0.48828125, 0.48828125, 3.0, 1.0])
    rounded = np.diag([0.488281, 0.488281, 3.0, 1.0])
    for name, given_affine in (("a", affine), ("b", rounded)):
        nifti(tmp_path / f"{name}.nii", np.zeros((512, 512, 2), np.uint8), given_affine)
    assert read_geometry(tmp_path / "a.nii").same_grid(read_geometry(tmp_path / "b.nii"))


def test_nii_that_is_gzip_is_read(tmp_path: Path) -> None:
    plain = nifti(tmp_path / "plain.nii", some_label((4, 5, 6)).astype(np.uint8))
    zipped = tmp_path / "zipped.nii"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    assert np.array_equal(read_label(zipped)[0], read_label(plain)[0])
    write_label(tmp_path / "out.nii", some_label((4, 5, 6)), zipped)
    assert np.array_equal(nibabel.load(tmp_path / "out.nii").get_fdata(), some_label((4, 5, 6)))


@pytest.mark.parametrize("keep", [0, 1, 20, 200, 0.5, 0.95])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a.nrrd", "a.png", "a.jpg", "a.tif"])
def test_truncated_files_are_named(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    if name.endswith(("png", "jpg", "tif")):
        Image.fromarray(noise).save(path)
    elif ".nii" in name:
        nifti(path, np.repeat(noise[..., None], 4, -1))
    else:
        SimpleITK.WriteImage(
            SimpleITK.GetImageFromArray(np.repeat(noise[..., None], 4, -1)), str(path), name == "a.nrrd"
        )
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(SegdistillError, match=f"{name} is (truncated|no NIfTI)"):
        read_image([path])


def test_damage_in_the_middle_of_a_gzip_is_seen(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 16), dtype=np.uint8)
    path = nifti(tmp_path / "a.nii.gz", noise)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(SegdistillError, match="damaged"):
        read_image([path])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_nan_and_infinity_are_refused(tmp_path: Path, bad: float) -> None:
    array = np.zeros((4, 4, 4))
    array[1, 2, 3] = bad
    with pytest.raises(SegdistillError, match=r"a\.nii\.gz holds NaN or infinity in 1 of 64"):
        read_image([nifti(tmp_path / "a.nii.gz", array)])


def test_sform_and_qform_that_disagree_are_refused(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4))
    image.set_sform(np.diag([-1, 1, 1, 1]), code=1)
    image.set_qform(np.eye(4), code=1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    with pytest.raises(SegdistillError, match="sform and qform disagree by 14 mm"):
        read_image([tmp_path / "a.nii.gz"])
    image.set_qform(np.eye(4), code=0)
    nibabel.save(image, tmp_path / "b.nii.gz")
    assert read_geometry(tmp_path / "b.nii.gz").affine[0, 0] == -1


def test_labels_near_whole_numbers_are_rounded_others_refused(tmp_path: Path) -> None:
    near = nifti(tmp_path / "near.nii.gz", np.full((3, 3, 3), 0.9999, np.float32))
    assert (read_label(near)[0] == 1).all()
    half = np.zeros((3, 3, 3), np.float32)
    half[0, 0, 0] = 0.5
    with pytest.raises(SegdistillError, match="no whole numbers"):
        read_label(nifti(tmp_path / "half.nii.gz", half))
    for bad in (np.nan, np.inf, 1e12):
        half[0, 0, 0] = bad
        with pytest.raises(SegdistillError, match="no whole numbers"):
            read_label(nifti(tmp_path / "bad.nii.gz", half))


def test_scaled_niftis_are_read_scaled(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(2, -10)
    nibabel.save(image, tmp_path / "a.nii.gz")
    stored = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    assert np.allclose(read_image([tmp_path / "a.nii.gz"])[0][0], stored)
    write_label(tmp_path / "l.nii.gz", np.ones((2, 2, 2), int), tmp_path / "a.nii.gz")
    assert (nibabel.load(tmp_path / "l.nii.gz").get_fdata() == 1).all()


def test_pictures_of_every_mode(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([rgb, rng.integers(0, 255, (6, 9), dtype=np.uint8)])).save(
        tmp_path / "rgba.png"
    )
    palette = Image.fromarray(rgb).quantize(256)
    palette.save(tmp_path / "palette.png")
    deep = rng.integers(0, 2**16, (6, 9), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    deep_rgb = rng.integers(0, 2**16, (6, 9, 3), dtype=np.uint16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(deep_rgb, isVector=True), str(tmp_path / "deep_rgb.png"))
    Image.fromarray(rgb[..., 0]).convert("LA").save(tmp_path / "gray_alpha.png")
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    Image.fromarray(rgb).save(tmp_path / "lzw.tiff", compression="tiff_lzw")
    expected = {
        "rgb.png": rgb, "rgba.png": rgb, "palette.png": np.asarray(palette.convert("RGB")),
        "deep.png": deep[..., None], "deep_rgb.png": deep_rgb, "gray_alpha.png": rgb[..., :1],
        "rgb.tif": rgb, "lzw.tiff": rgb,
    }  # fmt: skip
    for name, values in expected.items():
        image, geometry = read_image([tmp_path / name])
        assert np.array_equal(image, np.moveaxis(values, -1, 0)), name
        assert geometry.shape == (6, 9) and geometry.spacing == (1, 1)
        channels, from_header = read_header(tmp_path / name)
        assert (channels, from_header.shape) == (len(image), (6, 9)), name


def test_masks_of_every_mode(tmp_path: Path) -> None:
    mask = some_label((6, 9)).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "gray.png")
    colours = Image.fromarray(mask)
    colours.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    colours.save(tmp_path / "palette.png")
    Image.fromarray(np.dstack([mask] * 3)).save(tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "gray.tif", mask)
    for name in ("gray.png", "palette.png", "rgb.png", "gray.tif"):
        assert np.array_equal(read_label(tmp_path / name)[0], mask), name
    Image.fromarray(mask > 0).save(tmp_path / "bits.png")
    assert np.array_equal(read_label(tmp_path / "bits.png")[0], mask > 0)
    Image.fromarray(np.dstack([mask, mask, mask * 0])).save(tmp_path / "colour.png")
    with pytest.raises(SegdistillError, match="mask in colours"):
        read_label(tmp_path / "colour.png")


def test_jpeg_masks_with_shades_are_refused(tmp_path: Path) -> None:
    disc = (np.hypot(*(np.mgrid[:64, :64] - 32)) < 20).astype(np.uint8) * 255
    Image.fromarray(disc).save(tmp_path / "mask.jpg", quality=75)
    with pytest.raises(SegdistillError, match=r"JPEG mask .* PNG"):
        read_label(tmp_path / "mask.jpg")


@pytest.mark.parametrize(("name", "values"), [("m.png", [0, 255]), ("m.png", [0, 300]), ("m.tif", [0, 1, 2])])
def test_masks_are_written_as_they_are(tmp_path: Path, name: str, values: list[int]) -> None:
    Image.new("RGB", (9, 6)).save(tmp_path / "photo é 1.jpg")
    label = np.random.default_rng(0).choice(values, (6, 9))
    write_label(tmp_path / name, label, tmp_path / "photo é 1.jpg")
    assert np.array_equal(read_label(tmp_path / name)[0], label)


def test_masks_are_not_written_where_they_do_not_fit(tmp_path: Path) -> None:
    Image.new("L", (9, 6)).save(tmp_path / "a.png")
    with pytest.raises(SegdistillError, match="JPEG"):
        write_label(tmp_path / "m.jpg", np.zeros((6, 9), int), tmp_path / "a.png")
    with pytest.raises(ValueError, match="does not fit"):
        write_label(tmp_path / "m.png", np.zeros((9, 6), int), tmp_path / "a.png")
    volume = nifti(tmp_path / "v.nii.gz", np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(SegdistillError, match="cannot be written"):
        write_label(tmp_path / "v.png", np.zeros((3, 4, 5), int), volume)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "v.nii.gz"]


def test_tiff_stacks_are_volumes_with_the_spacing_beside_them(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (4, 5, 6), dtype=np.uint8)  # z, y, x
    tifffile.imwrite(tmp_path / "a b_0000.tif", stack, photometric="minisblack")
    (tmp_path / "a b.json").write_text(json.dumps({"spacing": [3, 2, 1]}))
    image, geometry = read_image([tmp_path / "a b_0000.tif"])
    assert np.array_equal(image[0], stack.T) and geometry.spacing == (1, 2, 3)
    out = tmp_path / "out"
    out.mkdir()
    write_label(out / "a b.tif", some_label((6, 5, 4)), tmp_path / "a b_0000.tif")
    label, grid = read_label(out / "a b.tif")
    assert np.array_equal(label, some_label((6, 5, 4))) and grid.same_grid(geometry)
    (tmp_path / "a b.json").write_text("{}")
    with pytest.raises(SegdistillError, match="spacing"):
        read_geometry(tmp_path / "a b_0000.tif")


def test_missing_and_unknown_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"nowhere\.nii\.gz does not exist"):
        read_image([tmp_path / "nowhere.nii.gz"])
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(SegdistillError, match="format not known"):
        read_image([tmp_path / "a.xyz"])
    (tmp_path / "text.nii").write_text("hello")
    with pytest.raises(SegdistillError, match="no NIfTI"):
        read_image([tmp_path / "text.nii"])


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 7, 1), (5, 6, 7, 1, 3)])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_niftis_of_every_number_of_axes(tmp_path: Path, shape: tuple[int, ...], kind: type) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nibabel.save(kind(array, np.diag([2, 3, 4, 1])), tmp_path / "a.nii.gz")
    image, geometry = read_image([tmp_path / "a.nii.gz"])
    assert geometry.shape == shape[:3] and image.shape == (shape[4] if len(shape) == 5 else 1, *shape[:3])
    assert np.array_equal(image[-1].ravel(), array.reshape(*shape[:3], -1)[..., -1].ravel())
    write_label(tmp_path / "l.nii.gz", some_label(shape[:3]), tmp_path / "a.nii.gz")
    label, grid = read_label(tmp_path / "l.nii.gz")
    assert np.array_equal(label, some_label(shape[:3])) and np.array_equal(grid.affine, geometry.affine)
    assert isinstance(nibabel.load(tmp_path / "l.nii.gz"), kind)


def test_rgb_niftis_are_three_channels(tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    array["G"] = 7
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    image, _ = read_image([tmp_path / "a.nii.gz"])
    assert image.shape == (3, 4, 5, 6) and image[:, 0, 0, 0].tolist() == [0, 7, 0]
    assert read_header(tmp_path / "a.nii.gz")[0] == 3


def test_a_header_without_any_orientation_is_kept(tmp_path: Path) -> None:
    like = nifti(tmp_path / "a.nii.gz", np.zeros((4, 5, 6), np.uint8), np.diag([2, 3, 4, 1]), (0, 0))
    write_label(tmp_path / "l.nii.gz", some_label((4, 5, 6)), like)
    assert np.array_equal(nibabel.load(tmp_path / "l.nii.gz").affine, nibabel.load(like).affine)


def test_headers_that_place_no_voxels_are_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", np.zeros((4, 5, 6), np.uint8), codes=(1, 0))
    content = bytearray(path.read_bytes())
    content[312:328] = bytes(16)  # srow_z
    path.write_bytes(content)
    with pytest.raises(SegdistillError, match="places no voxels"):
        read_geometry(path)


def test_metaimage_header_with_its_data_beside(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(some_label((4, 5, 6)).astype(np.uint8))
    SimpleITK.WriteImage(image, str(tmp_path / "a.mhd"))
    assert read_label(tmp_path / "a.mhd")[0].shape == (6, 5, 4)
    with pytest.raises(SegdistillError, match=r"ask for \.mha"):
        write_label(tmp_path / "l.mhd", np.zeros((6, 5, 4), int), tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(SegdistillError, match="damaged"):
        read_label(tmp_path / "a.mhd")
