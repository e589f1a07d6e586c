"""From files to arrays, one case or all of them, and through kills."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from segdistill.data import open_dataset
from segdistill.data.dataset import Case, Dataset
from segdistill.data.grid import from_grid
from segdistill.data.plan import make_plan
from segdistill.data.preprocessing import FOREGROUND_A_CLASS, foreground_voxels, preprocess, preprocess_case
from segdistill.data.splits import make_splits
from segdistill.data.store import Store
from segdistill.errors import SegdistillError

IDS = ["c0", "c1", "c2"]


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def test_one_case_is_turned_resampled_and_standardised(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, spacing=[1, 1, 1], statistics_cases=IDS)
    case = dataset.cases[1]  # 2 mm slices, x and y reversed
    image, label, grid = preprocess_case(case.images, case.label, plan)
    assert image.shape == (3, 8, 8, 12) and image.dtype == np.float32
    assert label is not None and label.shape == (1, 8, 8, 12) and label.dtype == np.int16
    rows = np.argwhere(label[0] == 1)
    assert rows.min(0).tolist() == [3, 2, 2] and rows.max(0).tolist() == [5, 4, 7]
    ct, _, mr = image
    assert ct[4, 3, 4] > ct[0, 0, 0] and abs(mr.mean()) < 0.2
    back = from_grid((label == 1).astype(np.float32), grid)[0] > 0.5
    np.testing.assert_array_equal(back, nibabel.load(case.label).get_fdata() == 1)


def test_padding_is_zero_and_does_not_count(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    case = dataset.cases[0]
    plan = make_plan(dataset, spacing=None, channels={"CT": {"type": "zscore"}}, statistics_cases=IDS)
    plain, _, _ = preprocess_case(case.images, case.label, plan)
    padded, label, grid = preprocess_case(case.images, case.label, replace(plan, crop=(12, 8, 4)))
    assert padded.shape == (3, 12, 8, 4) and label is not None and label.shape == (1, 12, 8, 4)
    assert not padded[:, :2].any() and not label[:, 10:].any()
    inside = padded[0][grid.inside]
    assert inside.mean() == pytest.approx(0, abs=1e-5) and inside.std() == pytest.approx(1, abs=1e-5)
    assert plain.shape[1:] == (8, 8, 6)


def head(n: int, spacing: float) -> np.ndarray:
    """(n, n, n) of an anatomy in mm: a bright, sharply bordered ball with a gradient, 0 around it."""
    x, y, z = (np.indices((n, n, n)) + 0.5) * spacing - 19
    return np.where(x**2 + y**2 + z**2 <= 121, 500 + 10 * x + 5 * y, 0).astype(np.float32)


@pytest.mark.parametrize("kind", [{"type": "mr"}, {"type": "zscore", "over": "nonzero"}])
def test_voxels_that_were_zero_do_not_count_however_the_case_is_resampled(
    tmp_path: Path, kind: dict[str, str]
) -> None:
    """38 mm at 1.0 and at 0.95 mm, both brought to 1.0 mm; the second one rings wherever a spline can reach."""
    cases = []
    for name, n, spacing in (("a", 38, 1.0), ("b", 40, 0.95)):
        image = save(tmp_path / f"{name}.nii.gz", head(n, spacing), np.diag([spacing] * 3 + [1]))
        cases.append(Case(name, (image,), None, None))
    dataset = Dataset("D", tmp_path, "nnunet_raw", ("MR",), {"a": 1}, None, False, tuple(cases), 3)
    plan = make_plan(dataset, spacing=[1, 1, 1], channels={"MR": kind}, statistics_cases=["a", "b"])
    whole, resampled = (preprocess_case(case.images, None, plan)[0][0] for case in cases)
    assert whole.shape == resampled.shape == (38, 38, 38)
    x, y, z = np.indices(whole.shape) + 0.5 - 19
    radius = np.sqrt(x**2 + y**2 + z**2)
    for sure in (radius < 7, radius > 13):  # away from the border, where the spline rings in the image too
        np.testing.assert_allclose(resampled[sure], whole[sure], rtol=0.02, atol=0.06)
    assert len(np.unique(resampled[radius > 13])) == 1
    before = preprocess_case(cases[1].images, None, replace(plan, mask_first=False))[0][0]
    assert abs(before - whole)[radius < 7].max() > 1  # what earlier runs saw, and go on to see
    unmoved = preprocess_case(cases[0].images, None, replace(plan, mask_first=False))[0][0]
    np.testing.assert_array_equal(unmoved, whole)


def test_interpolation_is_a_choice(small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    case = dataset.cases[1]
    plan = make_plan(dataset, spacing=[0.7, 0.7, 1], channels={"CT": {"type": "none"}}, statistics_cases=IDS)
    cubic, smooth, _ = preprocess_case(case.images, case.label, plan)
    linear, same, _ = preprocess_case(case.images, case.label, replace(plan, interpolation="linear"))
    raw = nibabel.load(case.images[0]).get_fdata()
    assert linear[0].max() <= raw.max() < cubic[0].max()
    np.testing.assert_array_equal(smooth, same)
    same, nearest, grid = preprocess_case(
        case.images, case.label, replace(plan, label_interpolation="nearest")
    )
    np.testing.assert_array_equal(cubic, same)
    stored = np.flip(nibabel.load(case.label).get_fdata(), (0, 1))
    index = [
        np.floor((np.arange(m) + 0.5) * n / m).astype(int)
        for n, m in zip(grid.oriented, grid.target, strict=True)
    ]
    assert nearest is not None
    np.testing.assert_array_equal(nearest[0], stored[np.ix_(*index)])


def test_a_4d_image_goes_the_same_way_as_files_by_channel(
    tmp_path: Path, small_dataset: Callable[..., Dataset]
) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    files = dataset.cases[2].images
    joined = np.stack([nibabel.load(file).get_fdata(dtype=np.float32) for file in files], axis=-1)
    one = save(tmp_path / "joined.nii.gz", joined, nibabel.load(files[0]).affine)
    np.testing.assert_array_equal(
        preprocess_case([one], None, plan)[0], preprocess_case(files, None, plan)[0]
    )


def test_what_does_not_fit_is_said(tmp_path: Path, small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    case = dataset.cases[0]
    with pytest.raises(
        SegdistillError, match=r"c0_0000.nii.gz: 1 channels where 3 are expected \(CT, PET_SUV, MR_T1\)"
    ):
        preprocess_case(case.images[:1], None, plan)
    with pytest.raises(SegdistillError, match=r"labelsTr/c1.nii.gz lies on another grid"):
        preprocess_case(case.images, dataset.cases[1].label, plan)
    wrong = save(tmp_path / "wrong.nii.gz", np.full((8, 8, 6), 7, np.uint8), np.diag([-1, -1, 1, 1]))
    with pytest.raises(SegdistillError, match=r"wrong.nii.gz: label values 7 are not declared"):
        preprocess_case(case.images, wrong, plan)


def test_foreground_rows_point_at_their_class() -> None:
    label = np.random.default_rng(0).integers(-1, 3, (1, 30, 30, 30)).astype(np.int16)
    rows = foreground_voxels(label, seed=0)
    assert rows.dtype == np.int32 and np.bincount(rows[:, 0]).tolist() == [
        0,
        FOREGROUND_A_CLASS,
        FOREGROUND_A_CLASS,
    ]
    np.testing.assert_array_equal(label[0][tuple(rows[:, 1:].T)], rows[:, 0])
    np.testing.assert_array_equal(rows, foreground_voxels(label, seed=0))
    regions = np.stack([label[0] >= 1, label[0] == 2]).astype(np.int16)
    rows = foreground_voxels(regions, seed=0)
    assert set(rows[:, 0]) == {1, 2} and (regions[(rows[:, 0] - 1, *rows[:, 1:].T)] == 1).all()
    assert foreground_voxels(np.zeros((1, 4, 4), np.int16), seed=0).shape == (0, 3)


def test_many_workers_make_the_store_of_one(tmp_path: Path, small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    one, two = preprocess(dataset, plan, tmp_path / "1"), preprocess(dataset, plan, tmp_path / "2", workers=2)
    assert one.path.name == two.path.name == f"Dataset001_Small-{one.fingerprint}"
    assert Store.open(two.path).ids == tuple(IDS)
    for id in IDS:
        a, b = one.case(id), two.case(id)
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.label, b.label)
        np.testing.assert_array_equal(a.foreground, b.foreground)
        assert a.grid == b.grid and a.image.shape[1:] == a.grid.target


def test_finished_cases_are_kept_and_other_files_make_another_store(
    tmp_path: Path, small_dataset: Callable[..., Dataset]
) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    store = preprocess(dataset, plan, tmp_path / "stores")
    stamp = (store.folder("c1") / "image.npy").stat().st_mtime_ns
    assert preprocess(dataset, plan, tmp_path / "stores") == store
    assert (store.folder("c1") / "image.npy").stat().st_mtime_ns == stamp
    changed = small_dataset(level=3)
    assert preprocess(changed, plan, tmp_path / "stores").path != store.path


def test_a_bad_case_is_named_and_the_others_stay(
    tmp_path: Path, small_dataset: Callable[..., Dataset]
) -> None:
    dataset = small_dataset()
    plan = make_plan(dataset, statistics_cases=IDS)
    broken = dataset.cases[2].images[1]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegdistillError, match=r"^case c2: .*c2_0001.nii.gz is truncated"):
        preprocess(dataset, plan, tmp_path / "stores", workers=2)
    broken.write_bytes(whole)
    assert preprocess(dataset, plan, tmp_path / "stores").case("c2").image.shape == (
        3,
        8,
        8,
        12,
    )


RUN = """
import sys
from pathlib import Path
from segdistill.data import open_dataset
from segdistill.data.plan import make_plan
from segdistill.data.preprocessing import preprocess

dataset = open_dataset(Path(sys.argv[1]))
preprocess(dataset, make_plan(dataset, statistics_cases=["c0", "c1", "c2"]), Path(sys.argv[2]))
"""

SLOW_WRITING = """
import time
import segdistill.data.store as store

write = store.write_synced

def slowly(path, writer):
    write(path, writer)
    if "label" in path.name:
        print("half", flush=True)
        time.sleep(60)

store.write_synced = slowly
"""


def test_a_half_written_case_is_not_there_after_a_kill(
    tmp_path: Path, small_dataset: Callable[..., Dataset]
) -> None:
    dataset = small_dataset()
    command = [sys.executable, "-c", SLOW_WRITING + RUN, str(dataset.path), str(tmp_path / "stores")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "half\n"
    run.kill()
    run.wait()
    run.stdout.close()
    (store,) = (path for path in (tmp_path / "stores").iterdir() if path.is_dir())
    assert [path.name.startswith(".") for path in (store / "cases").iterdir()] == [True]
    assert not Store.open(store).has("c0")
    done = preprocess(dataset, make_plan(dataset, statistics_cases=IDS), tmp_path / "stores")
    assert sorted(path.name for path in (done.path / "cases").iterdir()) == IDS


def test_two_runs_at_once_do_no_harm(tmp_path: Path, small_dataset: Callable[..., Dataset]) -> None:
    dataset = small_dataset(spacings=(1.0,) * 12)
    command = [sys.executable, "-c", RUN, str(dataset.path), str(tmp_path / "stores")]
    runs = [subprocess.Popen(command) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    store = preprocess(dataset, make_plan(dataset, statistics_cases=IDS), tmp_path / "stores")
    assert sorted(path.name for path in (store.path / "cases").iterdir()) == sorted(store.ids)
    assert all(store.case(id).image.shape == (3, 8, 8, 6) for id in store.ids)


def test_importing_it_does_not_import_torch() -> None:
    modules = "preprocessing plan store splits grid intensity fingerprint"
    code = f"import sys; [__import__('segdistill.data.' + m) for m in {modules!r}.split()]"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_real_hippocampi(real_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(real_data / "Task04_Hippocampus")
    splits = make_splits(dataset)
    dataset = replace(dataset, cases=dataset.cases[:4])
    plan = make_plan(dataset, spacing=[1.5, 1.5, 1.5], statistics_cases=[case.id for case in dataset.cases])
    assert len(splits.test) == 36
    store = preprocess(dataset, plan, tmp_path, workers=2)
    for case in dataset.cases:
        stored = store.case(case.id)
        assert case.label is not None and stored.label is not None
        original = nibabel.load(case.label).get_fdata()
        maps = np.stack([stored.label[0] == k for k in range(3)]).astype(np.float32)
        back = from_grid(maps, stored.grid).argmax(0)
        for k in (1, 2):
            assert (
                2 * ((back == k) & (original == k)).sum() / ((back == k).sum() + (original == k).sum()) > 0.85
            )
