"""Bundles as MONAI's model zoo has them, small; the oracle is MONAI's own loading, transforms and sliding window."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.unet import UNet
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Resized,
    ScaleIntensityd,
    ScaleIntensityRanged,
    Spacingd,
)
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from segdistill.data.geometry import Geometry
from segdistill.errors import SegdistillError
from segdistill.networks.stages import stage_names
from segdistill.parts import complete
from segdistill.teachers.monai_bundle import MonaiBundle
from segdistill.teachers.source import Asking, CaseImage, Source

UNET = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
SEGRESNET = {"in_channels": 4, "out_channels": 3, "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}
SPLEEN = [
    {"_target_": "LoadImaged", "keys": "@image_key"},
    {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
    {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
    {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164, "b_min": 0, "b_max": 1,
     "clip": True},
    {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
]  # fmt: skip
SPLEEN_NETWORK = {"_target_": "UNet", **UNET}


def oblique(flip: tuple[int, int, int] = (1, 1, 1)) -> np.ndarray:
    """An affine that is rotated a little, anisotropic, with an offset."""
    turn = np.linalg.qr(np.array([[1, 0.15, 0.1], [-0.1, 1, 0.05], [-0.05, -0.1, 1]]))[0]
    turn *= np.sign(np.diag(turn))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.array(flip) * [1.1, 1.7, 2.6])
    affine[:3, 3] = 12, -31, 7
    return affine


def make_bundle(
    folder: Path,
    network: nn.Module,
    definition: dict[str, Any],
    transforms: list[dict[str, Any]],
    roi: Any = (16, 16, 16),
    channels: dict[str, str] | None = None,
    classes: dict[str, str] | None = None,
    **more: Any,
) -> Path:
    """A bundle with the weights of `network`."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    channels, classes = channels or {"0": "image"}, classes or {"0": "background", "1": "spleen"}
    layout = {
        "inputs": {
            "image": {
                "num_channels": len(channels),
                "spatial_shape": ["8*n", "8*n", "8*n"],
                "channel_def": channels,
            }
        },
        "outputs": {"pred": {"num_channels": len(classes), "channel_def": classes}},
    }
    (folder / "configs/metadata.json").write_text(
        json.dumps({"monai_version": "1.4.0", "network_data_format": layout})
    )
    config = {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$1 / 0",  # nothing but the network and the transforms is to be made
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": definition,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": roi, "overlap": 0.5},
        "initialize": ["$1 / 0"],
        **more,
    }
    (folder / "configs/inference.json").write_text(json.dumps(config))
    torch.save(network.state_dict(), folder / "models/model.pt")
    return folder


def spleen(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "network": UNet(**UNET),
        "definition": SPLEEN_NETWORK,
        "transforms": SPLEEN,
        **changes,
    }
    return make_bundle(folder, **given)


def case_of(path: Path) -> CaseImage:
    """What a loader of the project hands on of a NIfTI file."""
    file = nibabel.load(path)
    array = np.asarray(file.dataobj, dtype=np.float32)
    image = array[None] if array.ndim == 3 else np.moveaxis(array, -1, 0)
    return CaseImage("p1", image, Geometry(image.shape[1:], np.array(file.affine)))


def nifti(
    path: Path, affine: np.ndarray, channels: int = 0, size: tuple[int, ...] = (26, 20, 15)
) -> CaseImage:
    array = np.random.default_rng(1).normal(40, 90, size + (channels,) * bool(channels))
    array[:3] = array[:, -2:] = 0
    nibabel.save(nibabel.Nifti1Image(array.astype(np.float32), affine), path)
    return case_of(path)


def by_monai(steps: list[Any], file: Path, network: nn.Module, roi: tuple[int, ...]) -> MetaTensor:
    """Logits (K, *space) by MONAI's own means from the file, with the affine of its grid."""
    image = Compose(steps)({"image": str(file)})["image"]
    inferer = SlidingWindowInferer(roi, 2, overlap=0.5, mode="gaussian")
    with torch.no_grad():
        logits = inferer(image.as_tensor()[None].float(), network.eval())[0]
    return MetaTensor(logits, affine=image.affine)


def refusal(path: Path, part: MonaiBundle | None = None, trust: bool = True) -> str:
    with pytest.raises(SegdistillError) as caught:
        (part or MonaiBundle()).open(path, trust=trust)
    return str(caught.value)


def opened(path: Path, **settings: Any) -> Source:
    return MonaiBundle(**settings).open(path, trust=True)


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)], ids=["RAS", "LPS", "RPI"])
def test_it_answers_as_monai_does_from_the_file(tmp_path: Path, flip: tuple[int, int, int]) -> None:
    source = opened(spleen(tmp_path / "b"))
    assert isinstance(source, Source) and source.network is not None
    case = nifti(tmp_path / "p1.nii.gz", oblique(flip))
    steps = [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        Spacingd("image", (1.5, 1.5, 2.0), mode="bilinear"),
        ScaleIntensityRanged("image", -57, 164, 0, 1, clip=True),
    ]
    truth = by_monai(steps, tmp_path / "p1.nii.gz", source.network, (16, 16, 16))
    answer = source.answer(case, (), Asking())
    torch.testing.assert_close(answer.maps["logits"], truth.as_tensor())
    np.testing.assert_allclose(case.geometry.affine @ answer.to_original, truth.affine.numpy(), atol=1e-4)
    assert answer.strides == {"logits": (1, 1, 1)}


def test_what_is_cropped_lies_where_it_was_in_the_file(tmp_path: Path) -> None:
    crop = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "k_divisible": 4}
    source = opened(spleen(tmp_path / "b", transforms=[*SPLEEN[:2], crop]))
    assert source.network is not None
    case = nifti(tmp_path / "p1.nii.gz", oblique((-1, -1, 1)))
    steps = [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        CropForegroundd("image", source_key="image", k_divisible=4),
    ]
    truth = by_monai(steps, tmp_path / "p1.nii.gz", source.network, (16, 16, 16))
    answer = source.answer(case, (), Asking())
    torch.testing.assert_close(answer.maps["logits"], truth.as_tensor())
    np.testing.assert_allclose(case.geometry.affine @ answer.to_original, truth.affine.numpy(), atol=1e-4)
    assert answer.to_original[0, 3] > 0  # the empty start of the file is gone
    np.testing.assert_allclose(answer.to_original[:3, :3], np.eye(3), atol=1e-6)


def test_regions_of_four_modalities(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = SegResNet(spatial_dims=3, **SEGRESNET)
    normalize = {
        "_target_": "NormalizeIntensityd",
        "keys": "image",
        "nonzero": True,
        "channel_wise": True,
    }
    source = opened(
        make_bundle(
            tmp_path / "b",
            network,
            {"_target_": "SegResNet", **SEGRESNET},
            [{"_target_": "LoadImaged", "keys": "image"}, normalize],
            channels={"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"},
            classes={"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"},
        )
    )
    assert source.channels == ("T1c", "T1", "T2", "FLAIR")
    assert source.classes == ("Tumor core", "Whole tumor", "Enhancing tumor") and source.regions
    case = nifti(tmp_path / "p1.nii.gz", oblique(), channels=4)
    steps = [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        NormalizeIntensityd("image", nonzero=True, channel_wise=True),
    ]
    truth = by_monai(steps, tmp_path / "p1.nii.gz", network, (16, 16, 16))
    answer = source.answer(case, (), Asking())
    torch.testing.assert_close(answer.maps["logits"], truth.as_tensor())
    np.testing.assert_allclose(answer.to_original, np.eye(4), atol=1e-9)


def test_photographs_have_the_axes_that_the_bundle_was_trained_on(tmp_path: Path) -> None:
    torch.manual_seed(2)
    settings = {
        "spatial_dims": 2,
        "in_channels": 3,
        "out_channels": 2,
        "channels": [4, 8],
        "strides": [2],
    }
    steps = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image", "channel_dim": -1},
        {"_target_": "Resized", "keys": ["image"], "spatial_size": [32, 16], "mode": ["bilinear"]},
        {"_target_": "ScaleIntensityd", "keys": ["image"]},
    ]
    source = opened(
        make_bundle(
            tmp_path / "b",
            UNet(**settings),
            {"_target_": "UNet", **settings},
            steps,
            roi=[32, 16],
            channels={"0": "R", "1": "G", "2": "B"},
            classes={"0": "background", "1": "tools"},
        )
    )
    assert source.network is not None and source.channels == ("R", "G", "B")
    pixels = np.random.default_rng(0).integers(0, 255, (20, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p1.png")
    by_hand = [
        LoadImaged("image"),
        EnsureChannelFirstd("image", channel_dim=-1),
        Resized("image", (32, 16), mode="bilinear"),
        ScaleIntensityd("image"),
    ]
    truth = by_monai(by_hand, tmp_path / "p1.png", source.network, (32, 16))
    case = CaseImage("p1", np.moveaxis(pixels, -1, 0).astype(np.float32), Geometry((20, 48), np.eye(4)))
    answer = source.answer(case, (), Asking())
    torch.testing.assert_close(answer.maps["logits"], truth.as_tensor())
    # 48 columns became 32 along the first axis, 20 rows 16 along the second
    np.testing.assert_allclose(answer.to_original @ [0, 0, 1], [0.125, 0.25, 1], atol=1e-6)
    np.testing.assert_allclose(answer.to_original @ [31, 15, 1], [19 - 0.125, 47 - 0.25, 1], atol=1e-6)


def test_stages_are_named_and_answered_on_the_same_grid(tmp_path: Path) -> None:
    source = opened(spleen(tmp_path / "b"))
    assert source.network is not None
    assert stage_names(source.network) == (
        "encoder/2/stage0", "encoder/2", "logits", "encoder/deepest",
    )  # fmt: skip
    case = nifti(tmp_path / "p1.nii.gz", oblique())
    answer = source.answer(case, ("encoder/deepest", "logits"), Asking())
    space = answer.maps["logits"].shape[1:]
    assert answer.strides == {"logits": (1, 1, 1), "encoder/deepest": (2, 2, 2)}
    assert answer.maps["encoder/deepest"].shape == (8, *[-(-n // 2) for n in space])
    again = source.answer(case, ("encoder/deepest",), Asking(mirror=True))
    torch.testing.assert_close(again.maps["encoder/deepest"], answer.maps["encoder/deepest"])
    assert not torch.equal(again.maps["logits"], answer.maps["logits"])
    with pytest.raises(SegdistillError, match=r"p1: .*no stage 'encoder/64'"):
        source.answer(case, ("encoder/64",), Asking())


def test_without_trust_nothing_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    folder = spleen(tmp_path / "b", evil=f"$open({str(ran)!r}, 'w')")
    (folder / "scripts").mkdir()
    (folder / "scripts/__init__.py").write_text(f"open({str(ran)!r}, 'w')")
    change(
        folder / "configs/inference.json",
        lambda c: c["imports"].insert(0, f"$open({str(ran)!r}, 'w') or 1"),
    )
    told = refusal(folder, trust=False)
    assert "--trust" in told and f"imports::0: $open({str(ran)!r}" in told and "Nothing was run" in told
    assert not ran.exists()


def test_with_trust_only_what_is_needed_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    opened(spleen(tmp_path / "b", evil=f"$open({str(ran)!r}, 'w')", handlers=[{"_target_": "NoSuchHandler"}]))
    assert not ran.exists()


def script(folder: Path, text: str) -> None:
    (folder / "scripts").mkdir()
    (folder / "scripts/__init__.py").write_text("")
    (folder / "scripts/steps.py").write_text(text)


def test_two_bundles_have_each_their_own_scripts(tmp_path: Path) -> None:
    case = nifti(tmp_path / "p1.nii.gz", oblique())
    own = {"_target_": "scripts.steps.Own"}
    answers = []
    path, modules = list(sys.path), set(sys.modules)
    for factor in (1, 2):
        folder = spleen(tmp_path / str(factor), transforms=[*SPLEEN[:2], own])
        text = (
            f"class Own:\n    def __call__(self, d):\n        return d | {{'image': d['image'] * {factor}}}\n"
        )
        script(folder, text)
        answers.append(opened(folder).answer(case, (), Asking()).maps["logits"])
    assert not torch.allclose(answers[0], answers[1])
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if name.split(".")[0] == "scripts"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("d['image'][:, 4:]", r"step 1 after loading, Own, moves or changes voxels .*up to 4 voxels"),
        ("d['image'].numpy()", r"step 1 after loading, Own, returned ndarray for the image"),
        ("d['image'][0]", r"made \(26, 20, 15\) of \(1, 26, 20, 15\); the image must keep its axes"),
        ("d['mask']", r"step 1 after loading, Own, needs 'mask', which a case does not have"),
        ("1 / 0", r"step 1 after loading, Own, failed on the image: division by zero"),
    ],
)
def test_a_place_that_is_not_known_is_refused(tmp_path: Path, body: str, message: str) -> None:
    folder = spleen(tmp_path / "b", transforms=[*SPLEEN[:2], {"_target_": "scripts.steps.Own"}])
    script(folder, f"class Own:\n    def __call__(self, d):\n        return d | {{'image': {body}}}\n")
    case = nifti(tmp_path / "p1.nii.gz", oblique())
    with pytest.raises(SegdistillError, match=message):
        opened(folder).answer(case, (), Asking())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"_target_": "Transposed", "keys": "image", "indices": [0, 2, 1, 3]}, "Transposed, moves or changes voxels"),
        ({"_target_": "Resized", "keys": "image", "spatial_size": [10, 8, 8], "mode": "nearest"}, "Resized, moves"),
        ({"_target_": "CropForegroundd", "keys": ["image", "label"], "source_key": "image"}, "needs 'label', and"),
        ({"_target_": "RandFlipd", "keys": "image"}, "RandFlipd, is random"),
    ],
)  # fmt: skip
def test_steps_of_monai_that_do_not_fit_are_refused(
    tmp_path: Path, step: dict[str, Any], message: str
) -> None:
    source = opened(spleen(tmp_path / "b", transforms=[*SPLEEN[:2], step]))
    with pytest.raises(SegdistillError, match=message):
        source.answer(nifti(tmp_path / "p1.nii.gz", oblique()), (), Asking())


def test_steps_that_keep_their_place_are_taken(tmp_path: Path) -> None:
    """MONAI's pads, crops, flips, turns and zooms; a grid that they made is where it says."""
    keys = {"keys": "image"}
    steps = [
        {"_target_": "SpatialPadd", **keys, "spatial_size": [30, 30, 30]},
        {"_target_": "CenterSpatialCropd", **keys, "roi_size": [24, 24, 24]},
        {"_target_": "Flipd", **keys, "spatial_axis": 0},
        {"_target_": "Rotate90d", **keys},
        {"_target_": "Zoomd", **keys, "zoom": 1.3, "keep_size": False, "mode": "trilinear"},
        {"_target_": "ResizeWithPadOrCropd", **keys, "spatial_size": [28, 24, 32]},
        {"_target_": "DivisiblePadd", **keys, "k": 16},
    ]
    settings = {"in_channels": 1, "out_channels": 2, "kernel_size": 1, "bias": False}
    copy = nn.Conv3d(**settings)  # type: ignore[arg-type]
    nn.init.ones_(copy.weight)  # its logits are what it sees
    definition = {"_target_": "torch.nn.Conv3d", **settings}
    source = opened(
        spleen(tmp_path / "b", network=copy, definition=definition, transforms=[*SPLEEN[:2], *steps])
    )
    size = (26, 20, 15)
    places = np.moveaxis(np.indices(size), 0, -1) + 1.0
    image = (places @ [1, 100, 10000]).astype(np.float32)[None]
    answer = source.answer(CaseImage("p1", image, Geometry(size, oblique())), (), Asking())
    seen = answer.maps["logits"][0].numpy()
    assert seen.shape == (32, 32, 32)
    voxels = np.moveaxis(np.indices(seen.shape), 0, -1).reshape(-1, 3)
    there = (answer.to_original @ np.c_[voxels, np.ones(len(voxels))].T)[:3].T
    inside = ((there >= 1) & (there <= np.array(size) - 2)).all(1) & (seen.reshape(-1) > 0)
    assert inside.sum() > 2000
    np.testing.assert_allclose(seen.reshape(-1)[inside], (there[inside] + 1) @ [1, 100, 10000], rtol=1e-4)


def test_a_reader_that_is_not_installed_is_not_needed(tmp_path: Path) -> None:
    load = {"_target_": "LoadImaged", "keys": "image", "reader": "no.such.Reader"}
    source = opened(spleen(tmp_path / "b", transforms=[load, *SPLEEN[1:]]))
    assert source.answer(nifti(tmp_path / "p1.nii.gz", oblique()), (), Asking()).maps["logits"].shape[0] == 2


def test_transforms_put_together_by_an_expression(tmp_path: Path) -> None:
    case = nifti(tmp_path / "p1.nii.gz", oblique())
    parts = {"first": SPLEEN[:2], "second": SPLEEN[2:]}
    together = opened(spleen(tmp_path / "a", transforms="$@first + @second", **parts))
    listed = opened(spleen(tmp_path / "b"))
    torch.testing.assert_close(
        together.answer(case, (), Asking()).maps["logits"], listed.answer(case, (), Asking()).maps["logits"]
    )


def test_transforms_of_arrays(tmp_path: Path) -> None:
    steps = [
        {"_target_": "LoadImage"},
        {"_target_": "EnsureChannelFirst"},
        {"_target_": "ScaleIntensity"},
    ]
    plain = opened(spleen(tmp_path / "a", transforms=steps))
    by_key = [{"_target_": f"{step['_target_']}d", "keys": "image"} for step in steps]
    keyed = opened(spleen(tmp_path / "b", transforms=by_key))
    case = nifti(tmp_path / "p1.nii.gz", oblique())
    torch.testing.assert_close(
        plain.answer(case, (), Asking()).maps["logits"], keyed.answer(case, (), Asking()).maps["logits"]
    )


@pytest.mark.parametrize("inside", [None, "model", "state_dict", "network"])
def test_weights_lie_alone_or_under_a_name(tmp_path: Path, inside: str | None) -> None:
    torch.manual_seed(3)
    network = UNet(**UNET)
    folder = spleen(tmp_path / "b", network=network)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({inside: state, "epoch": 3} if inside else state, folder / "models/model.pt")
    found = opened(folder).network
    assert found is not None
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value)


def test_safetensors_and_yaml(tmp_path: Path) -> None:
    folder = spleen(tmp_path / "b")
    content = json.loads((folder / "configs/inference.json").read_text())
    (folder / "configs/inference.json").unlink()
    (folder / "configs/mine.yaml").write_text(json.dumps(content))  # JSON is YAML
    save_file(UNet(**UNET).state_dict(), folder / "models/model.safetensors")
    source = opened(folder, config="mine", weights="models/model.safetensors", patch_size=(24, 16, 8))
    assert source.answer(nifti(tmp_path / "p1.nii.gz", oblique()), (), Asking()).maps["logits"].shape[0] == 2


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_a_pickle_with_code_is_never_run(tmp_path: Path) -> None:
    folder, ran = spleen(tmp_path / "b"), tmp_path / "ran"
    torch.save({"model": Evil(ran)}, folder / "models/model.pt")
    told = refusal(folder)
    assert "model.pt was not read: it holds Python objects" in told and "--trust neither" in told
    assert not ran.exists()


def test_weights_that_are_not_there_are_explained(tmp_path: Path) -> None:
    folder = spleen(tmp_path / "b")
    weights = folder / "models/model.pt"
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "is a pointer of git-lfs" in refusal(folder) and "git lfs pull" in refusal(folder)
    weights.rename(folder / "models/model.ts")
    told = refusal(folder)
    assert "looked for models/model.pt, found models/model.ts there" in told and "TorchScript" in told
    assert "monai.bundle download b" in told
    weights.write_bytes(b"PK\x03\x04 nothing")
    assert "model.pt is damaged" in refusal(folder)
    torch.save([1, 2], weights)
    assert "expected a state dict" in refusal(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit as a whole
        torch.jit.save(torch.jit.trace(nn.Conv2d(1, 1, 1), torch.rand(1, 1, 2, 2)), str(weights))
    assert "is TorchScript" in refusal(folder)
    torch.save(UNet(**(UNET | {"channels": [4, 16]})).state_dict(), weights)
    assert "does not fit UNet" in refusal(folder) and "instead of" in refusal(folder)


def test_what_is_wrong_with_a_config_is_explained(tmp_path: Path) -> None:
    folder = spleen(tmp_path / "b")
    config = folder / "configs/inference.json"
    assert "has no config 'test' (.json, .yaml or .yml); it has: inference" in refusal(
        folder, MonaiBundle(config="test")
    )
    told = refusal(folder, MonaiBundle(network="net"))
    assert "has no 'net', which is to be the network; it has: imports" in told and "network_def" in told
    assert "has no 'before'" in refusal(folder, MonaiBundle(preprocessing="before"))
    assert "is list, which is no torch.nn.Module" in refusal(folder, MonaiBundle(network="imports"))
    assert "expected a Compose" in refusal(folder, MonaiBundle(preprocessing="image_key"))
    whole = config.read_text()
    change(config, lambda c: c["network_def"].update(img_size=96))
    told = refusal(folder)
    assert "network_def could not be made" in told and "img_size" in told and "made with MONAI 1.4.0" in told
    config.write_text(whole[:-5])
    assert "inference.json cannot be read" in refusal(folder, trust=False)
    config.write_text(whole)
    (folder / "configs/metadata.json").write_text("{")
    assert "metadata.json cannot be read" in refusal(folder)
    assert not MonaiBundle.recognises(tmp_path) and "is no MONAI bundle" in refusal(tmp_path)


def test_the_size_of_a_window(tmp_path: Path) -> None:
    folder = spleen(tmp_path / "b", roi="@sizes")
    config, metadata = folder / "configs/inference.json", folder / "configs/metadata.json"
    change(config, lambda c: c.update(sizes=16))
    assert opened(folder).window == (16, 16, 16)  # type: ignore[attr-defined]
    change(config, lambda c: c.update(sizes=[-1, 16, 16]))
    assert "not said in numbers" in refusal(folder) and "patch_size: [96, 96, 96]" in refusal(folder)
    change(config, lambda c: c.update(inferer={"_target_": "SimpleInferer"}))
    assert "not said in numbers" in refusal(folder)
    taken = {"spatial_shape": [8, 16, 24]}
    change(metadata, lambda c: c["network_data_format"]["inputs"]["image"].update(taken))
    assert opened(folder).window == (8, 16, 24)  # type: ignore[attr-defined]
    assert opened(folder, patch_size=(8, 8, 8)).window == (8, 8, 8)  # type: ignore[attr-defined]
    assert "does not run on a window of [7, 8, 8]" in refusal(folder, MonaiBundle(patch_size=(7, 8, 8)))


def test_channels_and_classes(tmp_path: Path) -> None:
    source = opened(spleen(tmp_path / "b"))
    assert (source.channels, source.classes, source.regions) == (None, ("spleen",), False)
    assert source.trained_on == () and source.score is None
    outputs = {"0": "background", "1": "liver", "2": "spleen"}
    told = refusal(spleen(tmp_path / "c", classes=outputs))
    assert "names 3 outputs (background, liver, spleen), the network gives 2" in told
    case = CaseImage("p2", np.zeros((2, 16, 16, 16), np.float32), Geometry((16, 16, 16), np.eye(4)))
    with pytest.raises(SegdistillError, match="case p2: the bundle sees 1 image channels, the case has 2"):
        source.answer(case, (), Asking())
    photograph = CaseImage("p3", np.zeros((1, 16, 16), np.float32), Geometry((16, 16), np.eye(4)))
    with pytest.raises(SegdistillError, match="sees 3-D images, this one is 2-D"):
        source.answer(photograph, (), Asking())
    metadata = tmp_path / "b/configs/metadata.json"
    change(metadata, lambda c: c["network_data_format"]["outputs"]["pred"].update(channel_def={"1": "x"}))
    assert "expected names by number" in refusal(tmp_path / "b")
    change(metadata, lambda c: c["network_data_format"]["outputs"]["pred"].update(channel_def=None))
    unnamed = opened(tmp_path / "b")
    assert (unnamed.classes, unnamed.regions) == (None, False)
    change(metadata, lambda c: c.pop("network_data_format"))
    assert "network_data_format is missing" in refusal(tmp_path / "b")


def test_the_identity_is_that_of_all_that_decides(tmp_path: Path) -> None:
    folder = spleen(tmp_path / "b")
    script(folder, "A = 1\n")
    seen = [opened(folder).identity(), opened(folder).identity()]
    assert seen[0] == seen[1] and int(seen[0], 16) >= 0
    (folder / "scripts/steps.py").write_text("A = 2\n")
    seen.append(opened(folder).identity())
    change(folder / "configs/inference.json", lambda c: c.update(image_key="image2", other=1))
    change(folder / "configs/inference.json", lambda c: c.update(image_key="image"))
    seen.append(opened(folder).identity())
    seen.append(opened(folder, patch_size=(8, 8, 8)).identity())
    torch.manual_seed(9)
    torch.save(UNet(**UNET).state_dict(), folder / "models/model.pt")
    seen.append(opened(folder).identity())
    assert len(set(seen)) == len(seen) - 1


def test_what_a_recipe_may_say() -> None:
    assert complete({"monai_bundle": MonaiBundle}, "monai_bundle", "teachers.t.source") == {
        "type": "monai_bundle",
        "config": "inference",
        "network": "network_def",
        "preprocessing": "preprocessing",
        "patch_size": None,
        "weights": "models/model.pt",
    }
    with pytest.raises(SegdistillError, match="trust"):
        complete({"monai_bundle": MonaiBundle}, {"type": "monai_bundle", "trust": True}, "teachers.t.source")
