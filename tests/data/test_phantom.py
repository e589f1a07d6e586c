from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segdistill.data.phantom import make_phantom
from segdistill.data.phantom.scanner import draw_site
from segdistill.data.phantom.space import Space, ellipsoid, smooth_noise, tube
from segdistill.errors import SegdistillError

SMALL = (32, 32, 24)


def load(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def case_of(folder: Path, name: str, channels: int = 3) -> tuple[list[np.ndarray], np.ndarray]:
    images = [load(folder / "imagesTr" / f"{name}_{channel:04d}.nii.gz") for channel in range(channels)]
    return images, load(folder / "labelsTr" / f"{name}.nii.gz")


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "phantom.json").read_text()))


def dice(answer: np.ndarray, label: np.ndarray) -> float:
    return float(2 * (answer & label).sum() / (answer.sum() + label.sum()))


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantom(
        tmp_path_factory.mktemp("phantom") / "Dataset900_Phantom", patients=4, sites=2, seed=4
    )


def test_layout_is_nnunet_raw(phantom: Path) -> None:
    about = json.loads((phantom / "dataset.json").read_text())
    assert about["channel_names"] == {"0": "CT", "1": "PET_SUV", "2": "MR_T1"}
    assert about["labels"] == {"background": 0, "tumour": 1}
    assert about["numTraining"] == 4 and about["file_ending"] == ".nii.gz"
    labels = sorted(path.name for path in (phantom / "labelsTr").iterdir())
    assert labels == [f"{name}.nii.gz" for name in ("S1_P000", "S1_P002", "S2_P001", "S2_P003")]
    assert len(list((phantom / "imagesTr").iterdir())) == 12


def test_files_of_a_case_share_one_grid_and_sites_differ(phantom: Path) -> None:
    for name in told(phantom)["cases"]:
        paths = [*sorted((phantom / "imagesTr").glob(f"{name}_*")), phantom / "labelsTr" / f"{name}.nii.gz"]
        affines = [nib.load(path).affine for path in paths]
        assert len(paths) == 4 and all((affine == affines[0]).all() for affine in affines)
        assert len({nib.load(path).shape for path in paths}) == 1
        assert nib.aff2axcodes(affines[0]) == ("R", "A", "S")
    first, second = (nib.load(phantom / "labelsTr" / f"S{n + 1}_P00{n}.nii.gz") for n in range(2))
    assert first.shape == (64, 64, 48)
    assert first.header.get_zooms() == (6.25, 6.25, 10.0)
    assert second.header.get_zooms() != first.header.get_zooms()
    extents = [np.multiply(image.shape, image.header.get_zooms()) for image in (first, second)]
    assert np.allclose(*extents, rtol=0.03)


def test_every_patient_has_a_tumour_inside_the_body(phantom: Path) -> None:
    for name, about in told(phantom)["cases"].items():
        (ct, _, _), label = case_of(phantom, name)
        assert set(np.unique(label)) == {0, 1}
        assert 0.0001 < label.mean() < 0.05
        assert about["tumours"][0]["visible"] == ["CT", "PET", "MR"]
        assert (ct[label > 0] > -400).mean() > 0.9  # no tumour in air; some voxels are half lung


def test_values_are_those_of_the_scanners(phantom: Path) -> None:
    for name in told(phantom)["cases"]:
        (ct, pet, mr), _ = case_of(phantom, name)
        assert ct.min() >= -1024 and np.median(ct[0]) < -950
        assert (ct > 350).mean() > 0.005  # bone
        assert ((ct > -900) & (ct < -650)).mean() > 0.02  # lungs
        body = ct > -200
        assert 0.1 < body.mean() < 0.5
        assert pet.dtype == np.float32 and pet.min() >= 0 and pet[body].mean() > 5 * pet[~body].mean()
        assert 4 < pet.max() < 60
        assert mr.min() >= 0 and mr[body].mean() > 3 * mr[ct < -950].mean()


def test_same_arguments_same_bytes_and_another_seed_another_patient(tmp_path: Path) -> None:
    def make(name: str, seed: int) -> dict[str, bytes]:
        folder = make_phantom(tmp_path / name, patients=2, size=SMALL, seed=seed)
        paths = sorted([*folder.glob("*/*"), folder / "phantom.json"])
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    first = make("a", 1)
    assert make("b", 1) == first
    other = make("c", 2)
    assert other.keys() == first.keys()
    assert not any(other[path] == first[path] for path in first)


def test_more_patients_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    few = make_phantom(tmp_path / "few", patients=1, size=SMALL)
    many = make_phantom(tmp_path / "many", patients=2, size=SMALL)
    path = "imagesTr/S1_P000_0001.nii.gz"
    assert (few / path).read_bytes() == (many / path).read_bytes()


@pytest.mark.parametrize("modalities", [("CT",), ("PET", "CT")])
def test_channels_are_the_modalities_asked_for(tmp_path: Path, modalities: tuple[str, ...]) -> None:
    folder = make_phantom(tmp_path / "p", patients=1, size=SMALL, modalities=modalities, spacing=(12, 12, 20))
    names = json.loads((folder / "dataset.json").read_text())["channel_names"]
    assert list(names.values()) == [{"CT": "CT", "PET": "PET_SUV"}[m] for m in modalities]
    images, _ = case_of(folder, "S1_P000", channels=len(modalities))
    assert images[modalities.index("CT")].min() < -900


def test_a_narrow_field_of_view_still_holds_tumour(tmp_path: Path) -> None:
    folder = make_phantom(tmp_path / "p", patients=3, size=(32, 32, 16), spacing=(3.0, 3.0, 3.0))
    for name in told(folder)["cases"]:
        assert case_of(folder, name)[1].any()


def test_difficulty_makes_a_threshold_on_pet_worse(tmp_path: Path) -> None:
    fixed, best = [], []
    for difficulty in (0.0, 0.5, 1.0):
        folder = make_phantom(
            tmp_path / str(difficulty), patients=6, size=(48, 48, 36), difficulty=difficulty
        )
        pairs = [case_of(folder, name) for name in told(folder)["cases"]]
        fixed.append(np.mean([dice(i[1] > 0.4 * i[1].max(), label > 0) for i, label in pairs]))
        cuts = np.linspace(0.5, 12, 24)
        best.append(np.mean([max(dice(i[1] > cut, label > 0) for cut in cuts) for i, label in pairs]))
    assert fixed[0] > fixed[1] + 0.1 and fixed[1] > fixed[2] + 0.05
    assert best[0] > best[1] + 0.1 and best[1] > best[2] + 0.05


def test_some_tumours_show_in_one_modality_only(tmp_path: Path) -> None:
    folder = make_phantom(tmp_path / "p", patients=12, size=SMALL, difficulty=1.0)
    tumours = [tumour for case in told(folder)["cases"].values() for tumour in case["tumours"]]
    single = [tumour for tumour in tumours if len(tumour["visible"]) == 1]
    assert 0.1 < len(single) / len(tumours) < 0.7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"difficulty": 1.5}, "difficulty 1.5"),
        ({"modalities": ("CT", "US")}, "CT, PET, MR"),
        ({"size": (64, 64)}, "three numbers"),
        ({"spacing": (1.0, 0.0, 1.0)}, "above 0"),
        ({"patients": 0}, "at least 1"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(SegdistillError, match=message):
        make_phantom(tmp_path / "p", **wrong)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    folder = make_phantom(tmp_path / "p", patients=2, size=SMALL)
    with pytest.raises(SegdistillError, match="exists"):
        make_phantom(folder, patients=1, size=SMALL)
    assert len(told(folder)["cases"]) == 2
    make_phantom(folder, patients=1, size=SMALL, overwrite=True)
    assert len(list((folder / "labelsTr").iterdir())) == 1
    stranger = tmp_path / "holiday"
    stranger.mkdir()
    with pytest.raises(SegdistillError, match="no dataset"):
        make_phantom(stranger, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday", "p"]


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    folder = make_phantom(tmp_path / "p", patients=1, size=SMALL)
    before = (folder / "phantom.json").read_bytes()
    monkeypatch.setattr("segdistill.data.phantom.write.scan_pet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_phantom(folder, patients=1, size=SMALL, seed=9, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert (folder / "phantom.json").read_bytes() == before


def plain_space(count: int) -> Space:
    axis = np.arange(count) - (count - 1) / 2
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return Space((axis, axis, axis), x, y, z, step=1.0, margin=0.0)


def test_solids_have_the_volume_of_their_formula() -> None:
    space = plain_space(48)
    ball = space.filled(ellipsoid(space, (1, 2, -3), (12, 15, 9), tilt=30)).sum()
    assert abs(ball / (4 / 3 * np.pi * 12 * 15 * 9) - 1) < 0.03
    rod = space.filled(tube(space, [(-10, 0, 0), (10, 0, 0)], 6)).sum()
    assert abs(rod / (np.pi * 36 * 20 + 4 / 3 * np.pi * 216) - 1) < 0.03


def test_the_part_of_space_near_a_solid_holds_all_of_it() -> None:
    space = plain_space(40)
    cut = space.near((-8, -3, 2), (5, 6, 9))
    whole = space.filled(ellipsoid(space, (-1.5, 1.5, 5.5), (6.5, 4.5, 3.5)))
    assert whole[cut].sum() == whole.sum() > 0


def test_noise_is_smooth_of_unit_size_and_the_same_at_any_resolution() -> None:
    def make(step: float) -> np.ndarray:
        axes = [np.arange(-120, 120 + step / 2, step)] * 3
        return smooth_noise(np.random.default_rng(0), axes, 20.0)

    fine, coarse = make(4.0), make(8.0)
    assert np.allclose(fine[::2, ::2, ::2], coarse, atol=1e-4)
    assert abs(fine.mean()) < 0.15 and 0.85 < fine.std() < 1.15
    assert np.diff(fine, axis=0).std() < 0.4


def test_first_site_keeps_the_voxels_asked_for() -> None:
    sites = [draw_site(np.random.default_rng(n), first=n == 0) for n in range(4)]
    assert sites[0].stretch == (1.0, 1.0, 1.0)
    assert all(site.stretch != (1.0, 1.0, 1.0) for site in sites[1:])
    assert len({site.mr_scale for site in sites}) == 4
