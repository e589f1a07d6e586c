"""The papers' protocols on small folders of the same layout, shrunk by overrides: what they promise is what runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from torch import nn

from segdistill.composition import shipped
from segdistill.data.dataset import Case, Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.grid import plan_grid, to_grid
from segdistill.data.phantom import make_phantom
from segdistill.errors import SegdistillError
from segdistill.evaluation.predict import decide
from segdistill.model import load_network
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.training.prepare import prepare, split

PROTOCOLS = [name for name in shipped() if name.startswith("protocol_")]
KITS_AXES = [[0, 0, -2, 0], [0, -2, 0, 0], [-5, 0, 0, 0], [0, 0, 0, 1]]  # stored as slices, rows, columns
RAS_AXES = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]]


@dataclass(frozen=True)
class Printed:
    """What a protocol's paper or code prints: patients, how many of them are the test, and the network's patch."""

    patients: int
    test: int
    patch: tuple[int, ...]
    epochs: int
    batch: int


PRINTED = {
    "protocol_hecktor21": Printed(224, 44, (144, 144, 144), 100, 2),
    "protocol_picai22": Printed(220, 40, (384, 384), 100, 16),
    "protocol_kits": Printed(210, 42, (384, 384), 120, 8),
    "protocol_lits": Printed(131, 26, (384, 384), 120, 8),
}
# What makes the images and the patches small; all else is the protocol's own.
IN_PLANE = ["data.crop=[[2, 34], [4, 36], null]", "data.patch_size=[32, 32]", "train.precision=32-true"]
SHRUNK = {
    "protocol_hecktor21": [
        "data.spacing=[12.5, 12.5, 15]",
        "data.crop=[32, 32, 32]",
        "data.patch_size=[32, 32, 32]",
    ],
    "protocol_picai22": ["data.spacing=[10, 10, 60]", "data.crop=[32, 32, 6]", "data.patch_size=[32, 32]"],
    "protocol_kits": IN_PLANE,
    "protocol_lits": IN_PLANE,
}
Trained = Callable[[str], Run]


def ct_with_organ_and_tumour(folder: Path, affine: Sequence[Sequence[float]], patients: int = 7) -> list[str]:
    """CT with an organ (1) in all slices but the first, and a tumour (2) in two of them; the names."""
    names = [f"case_{number:05d}" for number in range(patients)]
    rng = np.random.default_rng(0)
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    in_plane, axis = ([1, 2], 0) if affine is KITS_AXES else ([0, 1], 2)
    for number, name in enumerate(names):
        label = np.zeros((40, 40, 5 + number % 2), np.uint8)
        label[12:28, 10:26, 1:] = 1
        label[15:22, 14:20, 2:4] = 2
        image = rng.normal(-50, 20, label.shape) + 80 * (label == 1) + 150 * (label == 2)
        stored = [np.moveaxis(array, 2, axis) for array in (image.astype(np.float32), label)]
        steps = np.array(affine, dtype=float)
        steps[:3] *= np.where(np.isin(range(4), in_plane), 1, 1 + number % 2 / 2)  # slices 5 or 7.5 mm apart
        nibabel.save(nibabel.Nifti1Image(stored[0], steps), folder / "imagesTr" / f"{name}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(stored[1], steps), folder / "labelsTr" / f"{name}.nii.gz")
    return names


def kits(folder: Path) -> Path:
    names = ct_with_organ_and_tumour(folder, KITS_AXES)
    labels = {"background": 0, "kidney": 1, "tumour": 2}
    return described(
        folder, channel_names={"0": "CT"}, labels=labels, numTraining=len(names), file_ending=".nii.gz"
    )


def lits(folder: Path) -> Path:
    """The Decathlon's layout, as its Task03_Liver."""
    names = ct_with_organ_and_tumour(folder, RAS_AXES)
    training = [{"image": f"./imagesTr/{n}_0000.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names]
    labels = {"0": "background", "1": "liver", "2": "cancer"}
    return described(folder, modality={"0": "CT"}, labels=labels, numTraining=len(names), training=training)


def hecktor(folder: Path) -> Path:
    make_phantom(folder, patients=7, size=(32, 32, 32), modalities=("CT", "PET"))
    return described(folder, channel_names={"0": "CT", "1": "PET"})


def picai(folder: Path) -> Path:
    make_phantom(folder, patients=7, size=(40, 40, 8), modalities=("MR", "PET", "CT"), sites=2)
    return described(folder, channel_names={"0": "T2W", "1": "HBV", "2": "ADC"})


FOLDERS = {
    "protocol_hecktor21": hecktor,
    "protocol_picai22": picai,
    "protocol_kits": kits,
    "protocol_lits": lits,
}


def described(folder: Path, **entries: Any) -> Path:
    """Write entries into the folder's dataset.json."""
    file = folder / "dataset.json"
    told = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(told | entries))
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny network trained for two steps by a protocol, and evaluated: the run."""
    from typer.testing import CliRunner

    from segdistill.cli import app

    root = tmp_path_factory.mktemp("protocols")
    runs: dict[str, Run] = {}

    def run(name: str) -> Run:
        if name not in runs:
            data = FOLDERS[name](root / name)
            words = [
                "student_alone", name, f"data.path={data}", f"data.store={root / 'store'}", "data.workers=0",
                "data.batch_size=2", "student.channels=[2, 4]", "train.epochs=1", "train.iterations=2", *SHRUNK[name],
            ]  # fmt: skip
            out = str(root / f"{name}_run")
            for command in (["train", *words, "--out", out, "--no-report"], ["evaluate", out]):
                result = CliRunner().invoke(app, command)
                assert result.exception is None, result.exception
            runs[name] = Run.open(out)
        return runs[name]

    return run


def test_all_are_looked_at() -> None:
    assert set(PROTOCOLS) == set(PRINTED) == set(SHRUNK) == set(FOLDERS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_holds_what_is_printed(name: str) -> None:
    recipe, printed = Recipe.load("teach_former", name), PRINTED[name]
    assert tuple(recipe.data.patch_size or ()) == printed.patch
    assert (recipe.train.epochs, recipe.data.batch_size) == (printed.epochs, printed.batch)
    assert recipe.train.optimizer["type"] == "adam" and recipe.train.gradient_clip is None
    cases = tuple(Case(f"patient_{number:03d}", (), Path("label")) for number in range(printed.patients))
    dataset = Dataset("set", Path(), "nnunet_raw", ("CT",), {"tumour": 1}, None, False, cases, 3)
    found = [split(Recipe.load(name, data={"splits": {"fold": fold}}), dataset) for fold in range(5)]
    assert {len(splits.test) for splits in found} == {printed.test}
    assert len({case for splits in found for case in splits.validation}) == printed.patients - printed.test


def test_hlfd_trains_with_its_rates() -> None:
    train = Recipe.load("protocol_kits").train
    assert train.optimizer["lr"] == 1e-2 and train.schedule["type"] == "cosine"
    assert train.optimizer["lr"] * train.schedule["floor"] == pytest.approx(1e-6)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_method_keeps_its_name(name: str) -> None:
    method, both = Recipe.load("teach_former"), Recipe.load("teach_former", name)
    for key in (
        "name",
        "kind",
        "status",
        "reference",
        "summary",
        "student",
        "teachers",
        "terms",
        "segmentation",
    ):
        assert getattr(both, key) == getattr(method, key)
    assert both.data == Recipe.load(name).data and both.train == Recipe.load(name).train


@pytest.mark.parametrize("name", PROTOCOLS)
def test_trains_and_predicts_volumes_on_their_own_grids(name: str, trained: Trained) -> None:
    run = trained(name)
    dims = len(PRINTED[name].patch)
    facts = run.info["architecture"]["facts"]
    assert facts["spatial_dims"] == dims and facts["image_size"] == [32] * dims
    kinds = {type(module) for module in load_network(run).modules()}
    assert ({nn.Conv2d, nn.Conv3d} & kinds) == {nn.Conv2d if dims == 2 else nn.Conv3d}
    assert [event["step"] for event in run.events() if event["event"] == "epoch"] == [2]

    metrics = run.read_json("metrics.json")
    assert len(metrics["classes"]) == 1
    assert sorted(row["case"] for row in metrics["cases"]) == sorted(run.splits.test)  # one row a volume
    folder = Path(run.recipe.data.path or "")
    for row in metrics["cases"]:
        (answer,) = (run.path / "predictions").glob(f"{row['case']}.nii*")
        label = folder / "labelsTr" / f"{row['case'].removesuffix('_0000')}.nii.gz"
        predicted, reference = nibabel.load(answer), nibabel.load(label)
        assert predicted.shape == reference.shape
        np.testing.assert_allclose(predicted.affine, reference.affine)
        tumour = 2 if run.recipe.data.labels else 1
        assert row["reference_voxels"] == np.sum(np.asarray(reference.dataobj) == tumour)
        assert row["prediction_voxels"] == np.sum(np.asarray(predicted.dataobj) == tumour)
        assert set(np.unique(predicted.dataobj)) <= {0, tumour}


@pytest.mark.parametrize("name", ["protocol_kits", "protocol_lits"])
def test_trains_on_windowed_slices_with_tumour_only(name: str, trained: Trained) -> None:
    data = prepare(trained(name).recipe)
    patches, inside = data.patches(), []
    for number in range(20):
        sample = patches[number]
        assert sample["image"].shape == (1, 32, 32) and sample["label"].shape == (1, 32, 32)
        assert np.abs(sample["image"]).max() <= 1
        inside.append(sample["label"].any())
    assert all(inside)
    case = data.store.case(data.splits.train[0])
    assert case.label is not None and set(np.unique(case.label)) == {0, 1}
    assert case.image.shape[:3] == (1, 32, 32) and case.image.shape[3] in (5, 6)


@pytest.mark.parametrize(
    ("name", "affine", "cut"),
    [
        # KiTS: slices, rows to the back, columns to the left; arrays run to the right, the front and the head.
        (
            "protocol_kits",
            KITS_AXES,
            lambda stored: stored[::-1, 50:434, 60:444][:, ::-1, ::-1].transpose(2, 1, 0),
        ),
        ("protocol_lits", RAS_AXES, lambda stored: stored[50:434, 60:444]),
    ],
)
def test_cuts_the_rows_and_columns_of_the_code(
    name: str, affine: list[list[float]], cut: Callable[[np.ndarray], np.ndarray]
) -> None:
    shape = (3, 512, 512) if affine is KITS_AXES else (512, 512, 3)
    stored = np.random.default_rng(0).random(shape, dtype=np.float32)
    crop = Recipe.load(name).data.crop
    assert crop is not None
    grid = plan_grid(Geometry(shape, np.array(affine, float)), None, 3, tuple(crop))
    np.testing.assert_array_equal(to_grid(stored[None], grid, "cubic")[0], cut(stored))


def test_slices_keep_their_distance_and_an_epoch_shows_each_once(tmp_path: Path) -> None:
    settings = {"path": str(kits(tmp_path / "kits")), "store": str(tmp_path / "store"), "workers": 0}
    settings |= {"slices": {"axis": 2}}
    for keep, count in (("all", None), ("foreground", 2)):
        recipe = Recipe.load("student_alone", data=settings | {"labels": {"tumour": 2}})
        assert recipe.data.slices is not None
        recipe.data.slices.keep = keep  # type: ignore[assignment]
        data = prepare(recipe)
        assert data.plan.spacing == (2, 2, None)
        depths = [data.store.case(name).image.shape[3] for name in data.splits.train]
        assert set(depths) == {5, 6}
        seen = sum(depths) if count is None else count * len(depths)
        assert data.recipe.train.iterations == seen // recipe.data.batch_size
        assert data.patches().places.spacing == (2, 2)  # small rotations stay rigid in the plane
    given = Recipe.load("student_alone", data=settings | {"spacing": [2, 2, 5]})
    assert prepare(given).plan.spacing == (2, 2, 5)


def three_classes(**settings: Any) -> Dataset:
    labels = {"organ": 1, "tumour": 2, "cyst": 3}
    return Dataset("set", Path("set"), "nnunet_raw", ("CT",), labels, 9, False, (), 3, **settings)


def test_selected_classes_leave_the_rest_to_the_background() -> None:
    values = np.array([[0, 1, 2, 3, 9]])
    tumour = three_classes().select({"tumour": 2})
    assert tumour.encode(values).tolist() == [[[0, 0, 1, 0, -1]]]
    assert tumour.decode(np.array([[[0, 1, -1]]])).tolist() == [[0, 2, 9]]
    assert tumour.out_channels == 2 and tumour.values == (0, 1, 2, 3, 9)
    joined = three_classes().select({"cyst": 3, "kidney": [1, 2]})
    assert joined.encode(values).tolist() == [[[0, 2, 2, 1, -1]]]
    assert joined.decode(np.array([[[0, 1, 2]]])).tolist() == [[0, 3, 1]]
    with pytest.raises(SegdistillError, match="not declared"):
        tumour.encode(np.array([[4]]))


@pytest.mark.parametrize(
    "wrong", [{}, {"tumour": []}, {"tumour": 7}, {"all": 0}, {"tumour": 9}, {"a": 2, "b": [1, 2]}]
)
def test_a_selection_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SegdistillError, match=r"labels: .* values 1, 2, 3.* organ: 1, tumour: 2, cyst: 3"):
        three_classes().select(wrong)


def test_threshold_takes_what_is_likely_enough() -> None:
    probabilities = np.array([[0.55, 0.59, 0.2, 0], [0.45, 0.2, 0.3, 0], [0, 0.21, 0.5, 0]], np.float32)[
        :, None
    ]
    assert decide(probabilities, False).tolist() == [[[0, 0, 2, 0]]]
    assert decide(probabilities, False, 0.4).tolist() == [[[1, 0, 2, 0]]]
    assert decide(probabilities, True)[:, 0].tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert decide(probabilities, True, 0.25)[:, 0].tolist() == [[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]]
