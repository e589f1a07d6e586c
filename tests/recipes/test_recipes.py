"""Every shipped recipe: it loads, it says where it comes from, and what distils does so, on each kind of images.

Volumes in the Decathlon's layout, slices of volumes in nnU-Net's, and photographs in paired folders.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from segdistill.catalogue import rows
from segdistill.composition import read, shipped
from segdistill.data.phantom import make_phantom
from segdistill.networks import PRESETS
from segdistill.recipe import Recipe

DISTILLING = [name for name in shipped() if read(name).get("terms")]
KINDS = {"volumes": 3, "slices": 2, "photographs": 2}
PATCH = {3: "[32, 32, 32]", 2: "[32, 32]"}
LARGER = {3: "[64, 32, 32]", 2: "[64, 32]"}  # two voxels must be left at 1/32
CASES = {"volumes": ("S1_P005", "S1_P004"), "slices": ("S1_P005", "S1_P004"), "photographs": ("p5", "p4")}
REPORTED = ("hinton", "teach_former", "hlfd", "mutual", "missu")  # a report of each would take minutes
# The smallest of each family that still has the stages of the published sizes.
TINY = {
    "unet": "{type: unet, channels: [2, 4, 4, 4, 4], convolutions: 1}",
    "h_denseformer": "{type: h_denseformer, filters: 2, depth: 4, deep_supervision: false}",
    "swin_unetr": "{type: swin_unetr, feature_size: 6, depths: [1, 1, 1, 1], heads: [1, 1, 1, 1], window: 2}",
    "unetr": "{type: unetr, feature_size: 2, hidden_size: 12, mlp_size: 12, heads: 1}",
    "ux_net": "{type: ux_net, feature_sizes: [2, 4, 4, 4], hidden_size: 4, depths: [1, 1, 1, 1]}",
    "unet_plus_plus": "{type: unet_plus_plus, filters: 2}",
    "resnet18_student": "{type: resnet18_student, filters: 2}",
}
Train = Callable[..., Path]
Teacher = Callable[[str, str], Path]


def family(network: dict[str, Any] | None, dims: int) -> str:
    """The type of a recipe's network, behind a preset too."""
    network = network or {"type": "unet"}
    return str(PRESETS[network["preset"]].expand(dims)["type"] if "preset" in network else network["type"])


def as_decathlon(phantom: Path, out: Path) -> Path:
    """The same volumes with all channels in one file."""
    (out / "imagesTr").mkdir(parents=True)
    shutil.copytree(phantom / "labelsTr", out / "labelsTr")
    listed = []
    for label in sorted((phantom / "labelsTr").iterdir()):
        name = label.name.removesuffix(".nii.gz")
        channels = [nibabel.load(phantom / "imagesTr" / f"{name}_000{n}.nii.gz") for n in (0, 1)]
        together = np.stack([np.asarray(channel.dataobj) for channel in channels], axis=-1)
        nibabel.save(nibabel.Nifti1Image(together, channels[0].affine), out / "imagesTr" / label.name)
        listed.append({"image": f"./imagesTr/{label.name}", "label": f"./labelsTr/{label.name}"})
    about = {
        "modality": {"0": "CT", "1": "PET"},
        "labels": {"0": "background", "1": "tumour"},
        "training": listed,
    }
    (out / "dataset.json").write_text(json.dumps(about))
    return out


def photographs(out: Path) -> Path:
    """Six colour photographs with a bright square, and its mask."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    for number in range(6):
        image, mask = rng.integers(0, 128, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), np.uint8)
        row, column = rng.integers(0, 20, 2)
        image[row : row + 12, column : column + 12] += 100
        mask[row : row + 12, column : column + 12] = 255
        Image.fromarray(image).save(out / "images" / f"p{number}.png")
        Image.fromarray(mask).save(out / "masks" / f"p{number}.png")
    return out


@pytest.fixture(scope="session")
def run_command(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Runs `segdistill train|distill` for a step or two on six images of a kind; returns the run folder."""
    from typer.testing import CliRunner

    from segdistill.cli import app

    root = tmp_path_factory.mktemp("recipes")
    made = make_phantom(root / "Dataset900_Phantom", patients=6, size=(32, 32, 32), modalities=("CT", "PET"))
    folders = {"slices": made, "volumes": as_decathlon(made, root / "Task90_Phantom")}
    folders["photographs"] = photographs(root / "photographs")

    def command(verb: str, kind: str, out: str, *words: str) -> Path:
        test, validation = CASES[kind]
        settings = [
            f"data.path={folders[kind]}", f"data.store={root / 'store'}", "data.workers=0", "data.batch_size=2",
            f"data.patch_size={PATCH[KINDS[kind]]}", f"data.splits.test=[{test}]",
            f"data.splits.validation=[{validation}]", "train.epochs=1",
        ]  # fmt: skip
        slices = ["data.slices.axis=2"] if kind == "slices" else []
        result = CliRunner().invoke(app, [verb, *settings, *slices, *words, "--out", str(root / out)])
        assert result.exception is None, result.exception
        return root / out

    return command


@pytest.fixture(scope="session")
def teacher(run_command: Train) -> Teacher:
    """The run of a tiny teacher of a family, trained for one step when first asked for."""
    runs: dict[tuple[str, str], Path] = {}

    def run(network: str, kind: str) -> Path:
        if (network, kind) not in runs:
            words = ("student_alone", f"student={TINY[network]}", "train.iterations=1", "--no-report")
            runs[network, kind] = run_command("train", kind, f"{network}_{kind}", *words)
        return runs[network, kind]

    return run


@pytest.mark.parametrize("name", shipped())
def test_says_where_it_comes_from_and_loads(name: str) -> None:
    recipe, text = Recipe.load(name), shipped()[name].read_text(encoding="utf-8")
    header = text[: text.index("\nname: ")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert recipe.name == name and recipe.summary and recipe.status
    if recipe.kind == "alone":
        return  # a plain network follows no publication
    assert recipe.reference and f"Status: {recipe.status}" in header
    author, year = recipe.reference.split()[0].rstrip(","), recipe.reference.split(",")[1].strip()
    assert author in header and year in header


NAMED = {
    *("hinton", "attention_transfer", "structured", "knowledge_adaptation", "ifvd", "emkd", "mskd"),
    *(
        "boundary_guided",
        "coordinate",
        "rskd",
        "hdkd",
        "dsp_kd",
        "dupsa",
        "active_exploration",
        "spark",
        "iskd",
    ),
    *(
        "gkd",
        "serrador",
        "qing_spine",
        "sam_unet",
        "kanwal",
        "liao",
        "song",
        "missu",
        "mdvit",
        "mutual",
        "distl",
    ),
    *("mct_kd", "hlfd", "teach_former", "cwd", "dist"),
}


def test_every_system_of_the_papers_is_there_and_listed() -> None:
    assert set(DISTILLING) >= NAMED
    listed = {row["name"]: row for row in rows("recipes")}
    for name in NAMED:
        assert listed[name]["status"] in ("exact", "close", "inspired") and listed[name]["needs"]


def test_no_recipe_is_another_by_a_different_name() -> None:
    told: dict[str, str] = {}
    for name in DISTILLING:
        recipe = Recipe.load(name).model_dump(mode="json")
        keys = (
            "teachers",
            "terms",
            "combine",
            "critic",
            "phases",
            "student",
            "segmentation",
            "train",
            "data",
        )
        same = told.setdefault(json.dumps([recipe[key] for key in keys], sort_keys=True), name)
        assert same == name, f"{name} is {same}"


@pytest.mark.parametrize("name", DISTILLING)
def test_says_what_it_needs(name: str) -> None:
    recipe = Recipe.load(name)
    supervised = recipe.segmentation.weight > 0 or any(
        "label" in str(term.loss) for term in recipe.terms.values()
    )
    assert ("labels" in recipe.needs) == supervised
    runs = [section for section in recipe.teachers.values() if section.frozen]
    assert ("several teachers" in recipe.needs) == (len(runs) > 1)
    assert ("several sites" in recipe.needs) == (recipe.data.sites is not None)
    assert all(section.network is not None for section in runs), "runs by name: a teacher is trained first"


@pytest.mark.parametrize(
    "kind",
    [
        "slices",
        pytest.param("volumes", marks=pytest.mark.slow),
        pytest.param("photographs", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", DISTILLING)
def test_distils(name: str, kind: str, run_command: Train, teacher: Teacher) -> None:
    recipe, dims = Recipe.load(name), KINDS[kind]
    own = family(recipe.student, dims)
    words = [f"student={TINY[own]}", "train.iterations=2", "train.share_every=1"]
    words.append(f"train.epochs={len(recipe.phases) or 1}")
    if "inputs" in recipe.student:
        words.append(f"student.inputs={'[G]' if kind == 'photographs' else '[CT]'}")
    if own == "resnet18_student":
        words.append(f"data.patch_size={LARGER[dims]}")
    for key, section in recipe.teachers.items():
        network = family(section.network, dims)
        if section.frozen:
            words.append(f"teachers.{key}.run={teacher(network, kind)}")
        elif section.network is not None:
            words.append(f"teachers.{key}.network={TINY[network]}")
    report = () if name in REPORTED and kind == "slices" else ("--no-report",)
    run = run_command("distill", kind, f"{name}_{kind}", name, *words, *report)

    facts = json.loads((run / "run.json").read_text())
    assert facts["kind"] == "distilled" and facts["status"] == "finished"
    assert facts["recipe"] == name
    assert set(facts["teachers"]) == {key for key, section in recipe.teachers.items() if section.frozen}
    assert facts["architecture"]["facts"]["spatial_dims"] == dims
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    logged = {key for event in events if event["event"] == "epoch" for key in event["loss"]}
    assert set(recipe.terms) <= logged
    shares = [event["share"] for event in events if event["event"] == "share"]
    best = {term: max(share.get(term, 0) for share in shares) for term in recipe.terms}
    assert all(share > 0 for share in best.values()), f"each term teaches: {best}"
    if not report:
        page = (run / "report.html").read_text(encoding="utf-8")
        assert name != "mutual" or "beside peer friend (UNet," in page, "the report says who learned with it"
        assert f"{name}_{kind}" in (run / "report.html").read_text(encoding="utf-8")
