"""Every shipped recipe: it loads, it says where it comes from, and what distils does so, in 3-D and by slices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segdistill.composition import read, shipped
from segdistill.data.phantom import make_phantom
from segdistill.networks import PRESETS
from segdistill.recipe import Recipe

DISTILLING = [name for name in shipped() if read(name).get("terms")]
PATCH = {3: "[32, 32, 32]", 2: "[32, 32]"}
# The smallest of each family that still has the stages of the published sizes.
TINY = {
    "unet": "{type: unet, channels: [2, 4, 4, 4, 4], convolutions: 1}",
    "h_denseformer": "{type: h_denseformer, filters: 2, depth: 4, deep_supervision: false}",
    "swin_unetr": "{type: swin_unetr, feature_size: 6, depths: [1, 1, 1, 1], heads: [1, 1, 1, 1], window: 2}",
    "unetr": "{type: unetr, feature_size: 2, hidden_size: 12, mlp_size: 12, heads: 1}",
    "ux_net": "{type: ux_net, feature_sizes: [2, 4, 4, 4], hidden_size: 4, depths: [1, 1, 1, 1]}",
    "unet_plus_plus": "{type: unet_plus_plus, filters: 2}",
    "resnet": "{type: resnet, filters: 2}",
}
Train = Callable[..., Path]
Teacher = Callable[[str, int], Path]


def family(network: dict[str, Any] | None, dims: int) -> str:
    """The type of a recipe's network, behind a preset too."""
    network = network or {"type": "unet"}
    return str(PRESETS[network["preset"]].expand(dims)["type"] if "preset" in network else network["type"])


@pytest.fixture(scope="session")
def run_command(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Runs `segdistill train|distill` for a step or two on six synthetic patients; returns the run folder."""
    from typer.testing import CliRunner

    from segdistill.cli import app

    root = tmp_path_factory.mktemp("recipes")
    data = make_phantom(root / "Dataset900_Phantom", patients=6, size=(32, 32, 32), modalities=("CT", "PET"))

    def command(verb: str, dims: int, out: str, *words: str) -> Path:
        settings = [
            f"data.path={data}", f"data.store={root / 'store'}", "data.workers=0", "data.batch_size=2",
            f"data.patch_size={PATCH[dims]}", "data.splits.test=[S1_P005]", "data.splits.validation=[S1_P004]",
            "train.epochs=1",
        ]  # fmt: skip
        slices = ["data.slices.axis=2"] if dims == 2 else []
        result = CliRunner().invoke(app, [verb, *words, *settings, *slices, "--out", str(root / out)])
        assert result.exception is None, result.exception
        return root / out

    return command


@pytest.fixture(scope="session")
def teacher(run_command: Train) -> Teacher:
    """The run of a tiny teacher of a family, trained for one step when first asked for."""
    runs: dict[tuple[str, int], Path] = {}

    def run(kind: str, dims: int) -> Path:
        if (kind, dims) not in runs:
            words = ("student_alone", f"student={TINY[kind]}", "train.iterations=1", "--no-report")
            runs[kind, dims] = run_command("train", dims, f"{kind}_{dims}", *words)
        return runs[kind, dims]

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


def test_there_are_recipes_that_distil() -> None:
    assert {"hinton", "attention_transfer", "teach_former", "teach_former_practical"} <= set(DISTILLING)


@pytest.mark.parametrize(
    "dims", [pytest.param(3, id="volumes", marks=pytest.mark.slow), pytest.param(2, id="slices")]
)
@pytest.mark.parametrize("name", DISTILLING)
def test_distils_to_a_report(name: str, dims: int, run_command: Train, teacher: Teacher) -> None:
    recipe = Recipe.load(name)
    words = [f"student={TINY[family(recipe.student, dims)]}", "train.iterations=2", "train.share_every=1"]
    for key, section in recipe.teachers.items():
        words.append(f"teachers.{key}.run={teacher(family(section.network, dims), dims)}")
    run = run_command("distill", dims, f"{name}_{dims}", name, *words)

    facts = json.loads((run / "run.json").read_text())
    assert facts["kind"] == "distilled" and facts["status"] == "finished"
    assert facts["recipe"] == name and set(facts["teachers"]) == set(recipe.teachers)
    assert facts["architecture"]["facts"]["spatial_dims"] == dims
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    (epoch,) = [event for event in events if event["event"] == "epoch"]
    assert epoch["step"] == 2 and set(recipe.terms) <= set(epoch["loss"])
    shares = [event["share"] for event in events if event["event"] == "share"]
    assert shares and all(share[term] > 0 for share in shares for term in recipe.terms)  # each term teaches
    assert f"{name}_{dims}" in (run / "report.html").read_text(encoding="utf-8")
