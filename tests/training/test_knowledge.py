"""What trained teachers know is recorded once where that is right; where it is not, they answer in every step."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import segdistill
from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import predict_logits, predict_maps
from segdistill.model import load_network
from segdistill.networks.stages import name_stages
from segdistill.projectors.interpolation import Interpolation
from segdistill.quantity import in_bytes
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.teachers import on_grid
from segdistill.teachers.cache import entry as entries
from segdistill.teachers.on_grid import BACKGROUND, brought, case_image
from segdistill.teachers.own_run import OwnRun
from segdistill.teachers.planned import Planned
from segdistill.teachers.source import Answer, Asking
from segdistill.teachers.teacher import Teacher
from segdistill.training import knowledge as module
from segdistill.training.assemble import student_of
from segdistill.training.distill import distill
from segdistill.training.knowledge import Knowledge, knowledge_of
from segdistill.training.prepare import Prepared, prepare
from segdistill.training.teachers import teachers_of
from segdistill.training.train import train

Settings = dict[str, Any]
SHORT = {"epochs": 1, "iterations": 1, "share_every": 0}
SPARSE = [28.0, 36.0, 24.0]
STILL: Settings = {"data": {"augmentation": {"affine": 0}}}
HINT = {"hint": {"loss": "mse", "student": "encoder/2", "projector": "convolution"}}


class Blocks(nn.Module):
    """Each voxel of a map sees its own block alone, so that windows do not matter."""

    def __init__(self, stride: tuple[int, int, int] = (4, 4, 4), temperature: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv3d(2, 6, stride, stride=stride)
        self.out = nn.Conv3d(2, 2, 1)
        self.temperature = temperature
        self.runs = 0
        name_stages(self, {f"encoder/{max(stride)}": "down"})

    def forward(self, image: Tensor) -> Tensor:
        self.runs += 1
        self.down(image)
        return self.out(image) / self.temperature


@pytest.fixture(scope="module")
def own(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Sections of a recipe with a store of this module's own."""
    store = tmp_path_factory.mktemp("knowledge") / "store"
    data = {
        "path": str(phantom), "store": str(store), "patch_size": [16, 16, 16], "batch_size": 2, "workers": 0,
        "splits": {"folds": 3},
    }  # fmt: skip

    def make(**more: Any) -> Settings:
        return {"data": data | more, "student": {"type": "unet", "channels": [4, 8]}, "train": SHORT}

    return make


@pytest.fixture(scope="module")
def teacher(own: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Run:
    wide = {"student": {"channels": [6, 12]}}
    return train(Recipe.load("student_alone", own(), wide), tmp_path_factory.mktemp("runs") / "teacher")


Look = Callable[..., tuple[Prepared, Knowledge]]


@pytest.fixture
def look(own: Callable[..., Settings], teacher: Run) -> Look:
    """What is known by a recipe; of the run `teacher`, or of the networks given."""

    def known(
        *layers: Settings, teachers: Settings | None = None, ask: bool = True
    ) -> tuple[Prepared, Knowledge]:
        run = {"teachers": {"teacher": {"run": str(teacher.path)}}} if teachers is None else {}
        data = prepare(Recipe.load("hinton", own(), run, *layers))
        student = student_of(data)
        found = teachers_of(data, student, teachers)
        return data, knowledge_of(data, student, found, ask=ask, shown=False)

    return known


def path_of(known: tuple[Prepared, Knowledge]) -> Path:
    (entry,) = known[1].entries.values()
    return entry.path


def image_of(data: Prepared, case: str) -> np.ndarray:
    return np.array(data.store.case(case).image, np.float32)


def told(known: tuple[Prepared, Knowledge], case: str, stage: str = "logits") -> np.ndarray:
    (entry,) = known[1].entries.values()
    found = entry.maps(case)[stage]
    return found.decoded(found.values).astype(np.float32)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on nobody may be asked."""

    def never(*_: Any) -> Any:
        raise AssertionError("asked again")

    def switch() -> None:
        for part in (on_grid.FromNetwork, on_grid.FromSource):
            monkeypatch.setattr(part, "__call__", never)

    return switch


# --- what is recorded


def test_logits_are_those_of_the_network_over_the_whole_image(look: Look, teacher: Run) -> None:
    data, known = look()
    assert set(known.entries) == {"teacher"} and "was asked once about each case" in known.notes[0]
    kept = known.teachers["teacher"]
    assert kept.network is None and kept.recorded == {"logits": (2, (1, 1, 1))} and kept.score is not None
    for case in data.splits.train:
        said = predict_logits(load_network(teacher), image_of(data, case), (16, 16, 16))
        np.testing.assert_allclose(told((data, known), case), said, atol=1e-2, rtol=1e-3)
    assert not any(known.entries["teacher"].has(case) for case in data.splits.validation)


def test_images_without_label_are_asked_about(look: Look, phantom: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    for file in (phantom / "imagesTr").glob("*"):
        if file.name.startswith(sorted({each.name[:8] for each in (phantom / "imagesTr").iterdir()})[0]):
            shutil.copy(file, more / file.name.replace(file.name[:4], "more", 1))
    data, known = look({"data": {"unlabelled": {"path": str(more)}}})
    assert data.unlabelled and all(known.entries["teacher"].has(case) for case in data.unlabelled)


def test_nothing_is_asked_twice(look: Look, silent: Callable[[], None], teacher: Run, tmp_path: Path) -> None:
    """Neither for another run nor where the run was moved, or is called something else."""
    first = look()
    silent()
    moved = tmp_path / "elsewhere"
    shutil.copytree(teacher.path, moved)
    renamed = {"teachers": {"teacher": None, "expert": {"run": str(moved)}}}
    for layer in (
        {"teachers": {"teacher": {"run": str(moved)}}}, renamed, {"student": {"channels": [2, 4]}},
        {"train": {"epochs": 7}}, {"knowledge": {"window_batch": 3, "disk": "1G"}}, STILL,
        {"knowledge": "cached"}, {"terms": {"response": {"loss": {"temperature": 2}}}},
        {"data": {"splits": {"fold": 0}, "batch_size": 4}},
    ):  # fmt: skip
        assert path_of(look(layer)) == path_of(first), layer


def test_a_case_that_was_removed_is_asked_again(look: Look) -> None:
    data, known = look()
    folder = known.entries["teacher"].folder(data.splits.train[0])
    shutil.rmtree(folder)
    look()
    assert (folder / "logits.npy").is_file()


LAYERS: dict[str, Settings] = {
    "spacing": {"data": {"spacing": [20.0, 20.0, 20.0]}},
    "intensity": {"data": {"channels": {"CT": "none"}}},
    "overlap": {"knowledge": {"overlap": 0.25}},
    "mirror": {"knowledge": {"mirror": True}},
    "logits": {"knowledge": {"logits": "uint8"}},
    "stages": STILL | {"terms": {"hint": {"loss": "mse", "student": "encoder/2", "teacher": "encoder/4",
                                          "projector": "convolution"}}},
    "projection": STILL | {"terms": {"hint": {"loss": "mse", "student": "encoder/2", "teacher": "encoder/4",
                                              "projector": "interpolation"}}},
}  # fmt: skip


def test_whatever_decides_the_answers_is_another_entry(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(name: str) -> Blocks:
        network = Blocks(temperature=1.5 if name == "forward" else 1.0)
        if name == "weights":
            with torch.no_grad():
                network.out.weight[0] *= 1.5
        return network

    before = look(teachers={"teacher": Blocks()})
    found = {"nothing": path_of(before)}
    assert path_of(look(teachers={"teacher": Blocks()})) == found["nothing"]
    for name in ("weights", "forward"):
        network = changed(name)
        known = look(teachers={"teacher": network})
        found[name] = path_of(known)
        case = known[0].splits.train[0]
        said = predict_logits(network, image_of(known[0], case), (16, 16, 16))
        np.testing.assert_allclose(told(known, case), said, atol=1e-2, rtol=1e-3)
    for name, layer in LAYERS.items():
        found[name] = path_of(look(layer, teachers={"teacher": Blocks()}))
    sees = {"teachers": {"teacher": {"sees": {"inputs": ["PET_SUV", "CT"]}}}}
    found["inputs"] = path_of(look(sees, teachers={"teacher": Blocks()}))
    found["window"] = path_of(look(teachers={"teacher": Teacher(Blocks(), window=(8, 16, 16))}))
    monkeypatch.setattr(entries, "VERSION", entries.VERSION + 1)
    found["version"] = path_of(look(teachers={"teacher": Blocks()}))
    assert len(set(found.values())) == len(found), found


def test_a_stage_that_means_another_map_is_another_entry(look: Look) -> None:
    class Two(Blocks):
        def __init__(self, meant: str) -> None:
            super().__init__()
            self.act = nn.Sigmoid()
            name_stages(self, {"encoder/4": meant})

        def forward(self, image: Tensor) -> Tensor:
            self.act(self.down(image))
            return self.out(image)

    for sees in ({}, {"patch_size": [12, 8, 12], "spacing": SPARSE}):
        layer = LAYERS["stages"] | {"teachers": {"teacher": {"sees": sees}}}
        paths = {path_of(look(layer, teachers={"teacher": Two(meant)})) for meant in ("down", "act")}
        assert len(paths) == 2, sees


def test_8_bit_logits_are_half_as_large(look: Look) -> None:
    sizes = {}
    for kind in ("float16", "uint8"):
        known = look({"knowledge": {"logits": kind}})
        (entry,) = known[1].entries.values()
        sizes[kind] = (entry.folder(known[0].splits.train[0]) / "logits.npy").stat().st_size - 128
    assert sizes["uint8"] * 2 == sizes["float16"]


# --- channels interpolated beforehand


def interpolated(**more: Any) -> Settings:
    return {
        "loss": "mse",
        "student": "encoder/2",
        "teacher": "encoder/4",
        "projector": "interpolation",
        **more,
    }


@pytest.mark.parametrize("mode", ["linear", "nearest", "area"])
def test_a_fixed_projection_is_kept_as_it_would_be_applied(mode: str, look: Look) -> None:
    network = Blocks()
    term = interpolated(projector={"type": "interpolation", "mode": mode})
    layer = STILL | {"student": {"channels": [4, 5]}, "terms": {"hint": term}}
    data, known = look(layer, teachers={"teacher": network})
    assert known.teachers["teacher"].recorded == {"logits": (2, (1, 1, 1)), "encoder/4": (5, (4, 4, 4))}
    case = data.splits.train[0]
    full = predict_maps(network, image_of(data, case), (16, 16, 16), {"encoder/4": (4, 4, 4)})["encoder/4"]
    applied = Interpolation(5, 6, 3, mode=mode)(torch.zeros(1), full[None])[1][0]  # type: ignore[arg-type]
    np.testing.assert_allclose(told((data, known), case, "encoder/4"), applied, atol=5e-3)


AREA = {"type": "interpolation", "mode": "area"}
PROJECTIONS: dict[str, tuple[dict[str, Settings | None], int]] = {
    "one": ({"hint": interpolated()}, 5),
    "two that agree": ({"hint": interpolated(), "more": interpolated(loss="attention_transfer")}, 5),
    "two modes": ({"hint": interpolated(), "more": interpolated(projector=AREA)}, 6),
    "one without": ({"hint": interpolated(), "more": interpolated(loss="attention_transfer", projector=None)}, 6),
    "two widths": ({"hint": interpolated(), "more": interpolated(student="encoder/1")}, 6),
    "a learned one": ({"hint": interpolated(projector="convolution")}, 6),
    "the student's side": ({"hint": interpolated(projector={"type": "interpolation", "side": "student"})}, 6),
    "fused by the student": ({"hint": interpolated(student=["encoder/1", "encoder/2"])}, 6),
    "fused by the teacher": ({"hint": interpolated(teacher=["encoder/4", "logits"])}, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTIONS)
def test_which_maps_are_kept_at_the_students_width(name: str, look: Look) -> None:
    terms, width = PROJECTIONS[name]
    layer = STILL | {"student": {"channels": [4, 5]}, "terms": terms}
    _, known = look(layer, teachers={"teacher": Blocks()})
    assert known.teachers["teacher"].recorded == {"logits": (2, (1, 1, 1)), "encoder/4": (width, (4, 4, 4))}


# --- what has to be answered in every step


def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(10**9, 0, module.SPARE + 100)  # type: ignore[attr-defined]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)


COARSE = {
    "terms": {
        "hint": {"loss": "mse", "student": "encoder/2", "teacher": "encoder/4", "projector": "convolution"}
    }
}
REASONS: dict[str, tuple[Settings, Callable[[], Any], str]] = {
    "view": ({"teachers": {"teacher": {"view": {}}}}, Blocks, r"its view of the images changes at random \(view\)"),
    "affine": (COARSE, Blocks, r"encoder/4: small rotations and scaling \(data\.augmentation\.affine\)"),
    "quarter turns": (
        COARSE | {"data": {"augmentation": {"affine": 0, "rotate90": 0.5}}}, lambda: Blocks((4, 4, 2)),
        r"encoder/4: quarter turns \(data\.augmentation\.rotate90\) do not fit its stride \[4, 4, 2\]",
    ),
    "patch": (
        COARSE | STILL | {"data": {"patch_size": [18, 16, 16], "augmentation": None}},
        lambda: Teacher(Blocks(), window=(16, 16, 16)),
        r"encoder/4: patches \[18, 16, 16\] are no multiple of its stride \[4, 4, 4\]",
    ),
    "online": ({"knowledge": "online"}, Blocks, "knowledge is online"),
    "budget": (
        {"knowledge": {"disk": "100k"}}, Blocks,
        r"its answers for 4 cases take \d+ kB, 100 kB are left of knowledge\.disk",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_what_sends_a_teacher_online(name: str, look: Look) -> None:
    layer, network, reason = REASONS[name]
    _, known = look(layer, teachers={"teacher": network()})
    assert known.entries == {} and known.teachers["teacher"].network is not None
    (note,) = known.notes
    terms = "terms.response, terms.hint" if "hint" in layer.get("terms", {}) else "terms.response"
    assert note.startswith(f"teachers.teacher answers in every step for {terms}: ")
    assert re.search(reason, note), note


@pytest.mark.parametrize("name", [name for name in REASONS if name != "online"])
def test_cached_is_an_order(name: str, look: Look) -> None:
    layer, network, reason = REASONS[name]
    layer = layer | {"knowledge": {**layer.get("knowledge", {}), "type": "cached"}}
    with pytest.raises(SegdistillError, match=rf"knowledge: teachers\.teacher cannot be cached: .*{reason}"):
        look(layer, teachers={"teacher": network()})


def test_a_disk_without_room(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look()[1].entries
    budget(monkeypatch)
    network = Blocks(temperature=3.0)  # that nobody has asked yet
    _, known = look(teachers={"teacher": network})
    assert "4 cases take" in known.notes[0] and "100 B are free on the disk of" in known.notes[0]
    with pytest.raises(SegdistillError, match=r"cannot be cached: .* are free on the disk of"):
        look({"knowledge": "cached"}, teachers={"teacher": network})
    known = look()[1]  # what is there takes no more room
    assert known.entries


def test_logits_follow_small_rotations_and_maps_do_not(look: Look) -> None:
    assert look(teachers={"teacher": Blocks()})[1].entries
    assert not look(COARSE, teachers={"teacher": Blocks()})[1].entries
    assert look(COARSE | STILL, teachers={"teacher": Blocks()})[1].entries
    still = {"data": {"augmentation": {"affine": 1.0, "rotation": 0, "scaling": [1, 1]}}}
    assert look(COARSE | still, teachers={"teacher": Blocks()})[1].entries
    turns = {"data": {"augmentation": {"affine": 0, "rotate90": 0.5}}}
    assert look(COARSE | turns, teachers={"teacher": Blocks()})[1].entries, "the stride is even"
    slab = turns["data"] | {"patch_size": [16, 16, 8]}
    assert look(COARSE | {"data": slab}, teachers={"teacher": Blocks((4, 4, 2))})[1].entries, "no such plane"


def test_the_budget_is_for_all_teachers_together(look: Look) -> None:
    two = {"teacher": Blocks(temperature=5), "other": Blocks(temperature=6)}
    layer = {"teachers": {"teacher": {}, "other": {"run": "x"}}, "knowledge": {"disk": "300k"}}
    _, known = look(layer, teachers=two)
    assert set(known.entries) == {"teacher"} and "teachers.other answers in every step" in known.notes[1]


def test_teachers_that_nobody_hears_are_not_asked(look: Look) -> None:
    for layer in (
        {"teachers": {"teacher": {"weight": 0}}},
        {"teachers": {"friend": {"peer": {}}, "teacher": {"weight": 0}}},
    ):
        assert look(layer, teachers={"teacher": Blocks()})[1].entries == {}  # fmt: skip


def test_looking_only_asks_nobody(look: Look, silent: Callable[[], None]) -> None:
    silent()
    _, known = look(teachers={"teacher": Blocks(temperature=7)}, ask=False)
    assert known.entries == {} and known.teachers["teacher"].recorded is not None
    with pytest.raises(SegdistillError, match="cannot be cached"):
        look({"knowledge": "cached"} | COARSE, teachers={"teacher": Blocks()}, ask=False)


def test_a_stage_that_is_not_there(look: Look) -> None:
    layer = STILL | {"terms": {"hint": {"loss": "mse", "student": "encoder/2", "teacher": "encoder/16"}}}
    with pytest.raises(SegdistillError, match=r"the teacher teacher \(Blocks\) has no stage 'encoder/16'"):
        look(layer, teachers={"teacher": Blocks()})


# --- training


def logged(run: Run) -> list[str]:
    return [event["message"] for event in run.events() if event["event"] == "note"]


def test_the_log_says_how_each_teacher_answered(own: Callable[..., Settings], tmp_path: Path) -> None:
    networks = {"a": Blocks(), "b": Blocks(temperature=2)}
    layers: list[Settings] = [own(), {"teachers": {"a": {"view": {}}, "b": {}}}]
    run = distill(Recipe.load("hinton", *layers), tmp_path / "run", teachers=networks)
    assert any(
        "teachers.a answers in every step for terms.response: its view" in each for each in logged(run)
    )
    assert any(
        "teachers.b was asked once about each case; its answers are in" in each for each in logged(run)
    )
    assert run.info["knowledge"]["a"] == "online" and Path(run.info["knowledge"]["b"]["cached"]).is_dir()


def test_training_with_recordings_runs_no_teacher(own: Callable[..., Settings], tmp_path: Path) -> None:
    network = Blocks(temperature=8)
    layers = [own(), STILL, COARSE]
    distill(Recipe.load("hinton", *layers), tmp_path / "first", teachers={"teacher": network})
    asked = network.runs
    again = Recipe.load("hinton", *layers, {"train": {"epochs": 3}})
    run = distill(again, tmp_path / "second", teachers={"teacher": network})
    looked = network.runs - asked
    longer = Recipe.load("hinton", *layers, {"train": {"epochs": 9, "iterations": 3}})
    distill(longer, tmp_path / "third", teachers={"teacher": network})
    assert network.runs - asked == 2 * looked, "looked at before training, never in it"
    losses = [event["loss"] for event in run.events() if event["event"] == "epoch"]
    assert all(loss["response"] > 0 and loss["hint"] > 0 for loss in losses)


def test_the_same_training_as_online(own: Callable[..., Settings], tmp_path: Path) -> None:
    """Where windows do not matter and images fill the patches, the losses are the same up to half precision."""
    data = {"augmentation": {"affine": 0, "flip": 0.5, "intensity": 0}, "oversample_foreground": 0}
    layers = [own(**data, patch_size=[24, 24, 24]), COARSE, {"train": {"epochs": 2}}]
    losses = []
    for type in ("online", "cached"):
        recipe = Recipe.load("hinton", *layers, {"knowledge": type})
        run = distill(recipe, tmp_path / type, teachers={"teacher": Blocks()})
        losses.append([event["loss"] for event in run.events() if event["event"] == "epoch"])
    for online, cached in zip(*losses, strict=True):
        assert cached == pytest.approx(online, rel=1e-2)


# --- teachers with a preprocessing of their own


@pytest.fixture(scope="module")
def coarse(own: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on another spacing, other channels in another order, and patches of another size."""
    recipe = Recipe.load(
        "student_alone",
        own(spacing=SPARSE, patch_size=[12, 8, 12], crop=[12, None, None]),
        {"student": {"channels": [4, 8], "inputs": ["PET_SUV", "CT"]}},
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "coarse")


def test_a_run_on_another_spacing(look: Look, coarse: Run) -> None:
    layer = {"teachers": {"teacher": {"run": str(coarse.path)}}}
    known = look(layer)
    data = known[0]
    source = OwnRun().open(coarse.path)
    assert source.channels == ("PET_SUV", "CT") and source.window == (12, 8, 12)
    for case in data.splits.train:
        answer = source.answer(case_image(["PET_SUV", "CT"], data.dataset, case), [], Asking())
        grid = data.store.case(case).grid
        said = brought(answer, grid, {"logits": (1, 1, 1)}, False)["logits"]
        np.testing.assert_allclose(told(known, case), said, atol=1e-2, rtol=2e-3)
    assert (told(known, data.splits.train[0])[0] == BACKGROUND).any(), "it crops, and does not look further"


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({"knowledge": "online"}, "knowledge is online; leave that out"),
        ({"teachers": {"teacher": {"view": {}}}}, r"\(view\); leave teachers\.teacher\.view out"),
        ({"knowledge": {"disk": "1k"}}, r"are left of knowledge\.disk; raise that"),
        ({"terms": HINT}, r"encoder/2: small rotations .*; say data\.augmentation\.affine=0"),
    ],
)
def test_it_cannot_answer_in_every_step(layer: Settings, reason: str, look: Look, coarse: Run) -> None:
    own = {"teachers": {"teacher": {"run": str(coarse.path), **layer.get("teachers", {}).get("teacher", {})}}}
    told = rf"teachers\.teacher answers for whole cases alone \(spacing: teacher .*\), and .*{reason}"
    with pytest.raises(SegdistillError, match=told):
        look(layer | own)


def test_its_maps_lie_on_the_students_grid(look: Look, coarse: Run) -> None:
    layer = STILL | {"teachers": {"teacher": {"run": str(coarse.path)}}, "terms": HINT}
    data, known = look(layer)
    assert known.teachers["teacher"].recorded == {"logits": (2, (1, 1, 1)), "encoder/2": (8, (2, 2, 2))}
    case = data.splits.train[0]
    assert told((data, known), case, "encoder/2").shape == (8, 12, 12, 12)
    sample = data.patches(known.entries).told([0])
    assert sample["teacher"]["encoder/2"].shape == (1, 8, 8, 8, 8)


def test_what_its_maps_are_like_is_found_out_once(
    look: Look, coarse: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = STILL | {"teachers": {"teacher": {"run": str(coarse.path)}}, "terms": HINT}
    first = look(layer)

    def never(*_: Any) -> Any:
        raise AssertionError("asked again")

    with monkeypatch.context() as patch:
        patch.setattr(Planned, "answer", never)
        assert path_of(look(layer)) == path_of(first)
    memory = first[0].store.path / "knowledge" / "shapes.json"
    for text in ("", "[]", "{"):
        memory.write_text(text)
        assert path_of(look(layer)) == path_of(first)
        assert json.loads(memory.read_text())


def test_a_teacher_of_volumes_for_a_student_of_slices(look: Look, teacher: Run) -> None:
    sliced = {"data": {"slices": {"axis": 1}, "patch_size": [16, 16], "augmentation": {"affine": 0}}}
    data, known = look(sliced, {"terms": HINT})
    assert known.teachers["teacher"].recorded == {"logits": (2, (1, 1)), "encoder/2": (12, (2, 2))}
    case, entry = data.splits.train[0], known.entries["teacher"]
    assert entry.strides["encoder/2"] == (2, 1, 2)
    whole = predict_logits(load_network(teacher), image_of(data, case), (16, 16, 16))
    np.testing.assert_allclose(told((data, known), case), whole, atol=1e-2, rtol=1e-3)
    sample = data.patches(known.entries).told([1])["teacher"]
    assert sample["logits"].shape == (1, 2, 16, 16) and sample["encoder/2"].shape == (1, 12, 8, 8)


def test_a_network_of_slices_for_a_student_of_slices(look: Look) -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(2, 2, 1)
    sliced = {"data": {"slices": {"axis": 2}, "patch_size": [16, 16]}}
    known = look(sliced, teachers={"teacher": network})
    case = known[0].splits.train[0]
    image = torch.from_numpy(image_of(known[0], case))
    said = torch.stack([network(image[None, ..., n])[0] for n in range(image.shape[-1])], -1).detach()
    np.testing.assert_allclose(told(known, case), said, atol=1e-2, rtol=1e-3)


# --- several models


@pytest.fixture(scope="module")
def folds(own: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, one for each fold, that differ by their seed too."""
    out = tmp_path_factory.mktemp("folds")
    for fold in range(3):
        recipe = Recipe.load(
            "student_alone", own(splits={"folds": 3, "fold": fold}), {"train": {"seed": fold}}
        )
        train(recipe, out / f"fold_{fold}")
    return out


def test_several_runs_are_averaged(look: Look, folds: Path) -> None:
    several = look({"teachers": {"teacher": {"path": f"{folds}/fold_?"}}})
    listed = look({"teachers": {"teacher": {"path": [str(folds / f"fold_{n}") for n in range(3)]}}})
    assert path_of(several) == path_of(listed)
    data = several[0]
    each = [look({"teachers": {"teacher": {"run": str(folds / f"fold_{n}")}}}) for n in range(3)]
    assert len({path_of(one) for one in each}) == 3
    for case in data.splits.train:
        said = np.mean([told(one, case) for one in each], axis=0)
        np.testing.assert_allclose(told(several, case), said, atol=1e-2, rtol=1e-3)
    teacher = several[1].teachers["teacher"]
    assert set(teacher.trained_on) == {
        case for n in range(3) for case in Run.open(folds / f"fold_{n}").splits.train
    }
    two = look({"teachers": {"teacher": {"path": f"{folds}/fold_[01]"}}})
    assert path_of(two) != path_of(several)


def test_their_maps_are_not_averaged(look: Look, folds: Path) -> None:
    layer = STILL | {"teachers": {"teacher": {"path": f"{folds}/fold_?"}}, "terms": HINT}
    with pytest.raises(SegdistillError, match=r"3 models have no common encoder/2.*listen to one model"):
        look(layer)


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_matched_folds_have_not_seen_what_is_validated(fold: int, look: Look, folds: Path) -> None:
    layer = {"data": {"splits": {"fold": fold}}, "knowledge": "online"}
    data, known = look(layer | {"teachers": {"teacher": {"path": f"{folds}/fold_?", "folds": "matched"}}})
    teacher = known.teachers["teacher"]
    assert teacher.source == folds / f"fold_{fold}"
    assert not set(teacher.trained_on) & {*data.splits.validation, *data.splits.test}


def test_matched_folds_where_all_have_seen_it(look: Look, folds: Path) -> None:
    layer = {"teachers": {"teacher": {"path": f"{folds}/fold_[12]", "folds": "matched"}}}
    with pytest.raises(
        SegdistillError, match=r"teachers\.teacher\.folds: matched, but every model has learnt"
    ):
        look(layer)


def test_out_of_fold_each_case_is_taught_by_the_one_that_has_not_seen_it(look: Look, folds: Path) -> None:
    layer = {"teachers": {"teacher": {"path": f"{folds}/fold_?", "folds": "out_of_fold"}}}
    known = look(layer)
    data, teacher = known[0], known[1].teachers["teacher"]
    runs = [Run.open(folds / f"fold_{n}") for n in range(3)]
    each = {run: look({"teachers": {"teacher": {"run": str(run.path)}}}) for run in runs}
    checked = set()
    for case in data.splits.train:
        (unseen,) = [run for run in runs if case not in run.splits.train]
        np.testing.assert_allclose(told(known, case), told(each[unseen], case), atol=1e-2, rtol=1e-3)
        checked.add(unseen.path.name)
    assert len(checked) == 2
    assert set(teacher.trained_on) == {case for run in runs for case in run.splits.train}
    assert path_of(known) != path_of(look({"teachers": {"teacher": {"path": f"{folds}/fold_?"}}}))
    one = {"teachers": {"teacher": {"path": str(folds / "fold_1"), "folds": "out_of_fold"}}}
    with pytest.raises(
        SegdistillError, match=r"teachers\.teacher\.folds: is for several models.*there is one"
    ):
        look(one)


# --- teachers from Python


def test_a_function_a_module_and_a_source(own: Callable[..., Settings], tmp_path: Path) -> None:
    data = prepare(Recipe.load("student_alone", own()))

    class Threshold:
        """Knows a rule; a source of answers for whole cases."""

        channels, classes, regions, network = ("CT",), None, False, None
        trained_on, score, window = (), None, None

        def identity(self) -> str:
            return "a rule"

        def answer(self, case: Any, stages: Any, asking: Any) -> Answer:
            assert not stages and case.image.shape[0] == 1
            image = torch.from_numpy(case.image)
            return Answer({"logits": torch.cat([-image, image]) / 500}, {"logits": (1, 1, 1)}, np.eye(4))

    torch.manual_seed(0)
    teachers = {
        "function": lambda image: torch.cat([-image[:, :1], image[:, 1:]], 1),
        "module": nn.Conv3d(2, 2, 1),
        "source": Threshold(),
    }
    recipe = Recipe.load("hinton", own())
    run = segdistill.distill(recipe, tmp_path / "run", teachers=teachers)
    assert set(run.info["teachers"]) == set(teachers), "the stand-in has given way"
    kept_of = run.info["knowledge"]
    assert kept_of.pop("function") == "online", "nothing tells whether it has changed"
    assert all("cached" in each for each in kept_of.values())
    (loss,) = [event["loss"] for event in run.events() if event["event"] == "epoch"]
    assert loss["response"] > 0
    kept = Path(run.info["knowledge"]["source"]["cached"])
    case = data.splits.train[0]
    logits = np.load(kept / "cases" / case / "logits.npy")
    assert logits.shape == (2, *data.store.case(case).image.shape[1:])
    np.testing.assert_array_equal(logits[0], -logits[1])
    with pytest.raises(SegdistillError, match=r"expected a torch\.nn\.Module, a function of images"):
        segdistill.distill(recipe, tmp_path / "other", teachers={"teacher": 5})  # type: ignore[dict-item]


def test_a_network_that_sees_images_in_its_own_way(look: Look) -> None:
    """Another spacing, another order, raw intensities, and windows of its own."""
    network = Blocks()
    sees = {
        "inputs": ["PET_SUV", "CT"], "spacing": SPARSE, "channels": {"CT": "none", "PET_SUV": "none"},
        "patch_size": [12, 8, 12],
    }  # fmt: skip
    known = look({"teachers": {"teacher": {"sees": sees}}}, teachers={"teacher": network})
    data = known[0]
    plan = data.plan
    case = data.splits.train[0]
    image = case_image(["PET_SUV", "CT"], data.dataset, case)
    raw = torch.from_numpy(image.image)
    logits = network.out(raw[None])[0].detach()  # pointwise: resampling and weighing change places
    grid = data.store.case(case).grid
    said = brought(
        Answer({"logits": logits}, {"logits": (1, 1, 1)}, np.eye(4)), grid, {"logits": (1, 1, 1)}, False
    )
    found = told(known, case)
    assert np.corrcoef(found.ravel(), said["logits"].numpy().ravel())[0, 1] > 0.9
    assert plan.channels[0].name == "CT"


def test_its_stages_are_named_by_their_size(look: Look) -> None:
    network = nn.Sequential(nn.Conv3d(2, 4, 2, stride=2), nn.ReLU(), nn.ConvTranspose3d(4, 2, 2, stride=2))
    sees = {"spacing": SPARSE, "patch_size": [12, 8, 12]}
    for given in ({}, sees):
        layer = STILL | {"terms": HINT, "teachers": {"teacher": {"sees": given}}}
        _, known = look(layer, teachers={"teacher": network})
        assert known.teachers["teacher"].recorded is not None
        assert known.teachers["teacher"].recorded["encoder/2"] == (4, (2, 2, 2))


def test_its_classes_are_those_that_are_named(look: Look) -> None:
    for sees in ({}, {"spacing": SPARSE, "patch_size": [12, 8, 12]}):
        named = {"classes": {"tumour": "lesion"}, "sees": sees}
        data, known = look({"teachers": {"teacher": named}}, teachers={"teacher": nn.Conv3d(2, 2, 1)})
        assert data.plan.classes == ("tumour",)
        assert known.teachers["teacher"].labels is not None


def test_what_cannot_be_said_of_how_it_sees(look: Look, coarse: Run) -> None:
    flat = {"teachers": {"teacher": {"sees": {"patch_size": [8, 8]}}}}
    with pytest.raises(SegdistillError, match=r"teachers\.teacher\.sees\.patch_size: \[8, 8\] has 2 numbers"):
        look(flat, teachers={"teacher": Blocks()})
    other = {"teachers": {"teacher": {"sees": {"spacing": [1.0, 1.0, 1.0], "inputs": ["MR"]}}}}
    with pytest.raises(SegdistillError, match=r"teachers\.teacher\.sees\.inputs: no image channel 'MR'"):
        look(other, teachers={"teacher": Blocks()})
    told = {
        "teachers": {"teacher": {"run": None, "path": str(coarse.path), "sees": {"spacing": [1.0, 1.0, 1.0]}}}
    }
    with pytest.raises(
        SegdistillError, match=r"teachers\.teacher\.sees: .*coarse says by itself how it sees"
    ):
        look(told)


# --- paths in the place of runs


def test_a_path_takes_the_place_of_the_run(own: Callable[..., Settings], teacher: Run) -> None:
    named = Recipe.load("hinton", own(), overrides=[f"teachers.teacher.path={teacher.path}"])
    assert named.teachers["teacher"].run is None and named.teachers["teacher"].network is None
    new = Recipe.load("hinton", own(), overrides=[f"teachers.mine.path={teacher.path}"])
    assert list(new.teachers) == ["mine"], "the stand-in has given way"


def test_a_stand_in_that_a_term_names_stays(own: Callable[..., Settings], teacher: Run) -> None:
    term = {"terms": {"response": {"teachers": ["teacher"]}}}
    recipe = Recipe.load("hinton", own(), term, overrides=[f"teachers.mine.path={teacher.path}"])
    assert set(recipe.teachers) == {"teacher", "mine"}


def test_a_run_by_its_path_answers_as_by_its_run(look: Look, teacher: Run) -> None:
    by_path = {"teachers": {"teacher": {"run": None, "network": None, "path": str(teacher.path)}}}
    assert path_of(look(by_path)) == path_of(look())


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Small networks on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (1000, "1 kB"), (1234, "1.23 kB"), (999_900, "1 MB"), (5e9, "5 GB"),
     (20e9, "20 GB"), (999.9e9, "1 TB"), (3e12, "3 TB")],
)  # fmt: skip
def test_bytes_for_people(count: float, said: str) -> None:
    assert in_bytes(count) == said


def test_a_teacher_given_as_such_keeps_what_it_says(look: Look) -> None:
    given = Teacher(Blocks(), weight=0.25, score=0.5, trained_on=("x",))
    kept = look(teachers={"teacher": given})[1].teachers["teacher"]
    assert kept == replace(given, network=None, recorded={"logits": (2, (1, 1, 1))})


def test_a_torchscript_file_has_its_logits_alone(look: Look, tmp_path: Path) -> None:
    network = Blocks()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated; files of it are not
        torch.jit.trace(network, torch.zeros(1, 2, 16, 16, 16)).save(str(tmp_path / "net.pt"))
    by_path = {"teachers": {"teacher": {"run": None, "network": None, "path": str(tmp_path / "net.pt")}}}
    known = look(by_path)
    case = known[0].splits.train[0]
    said = predict_logits(network, image_of(known[0], case), (16, 16, 16))
    np.testing.assert_allclose(told(known, case), said, atol=1e-2, rtol=1e-3)
    shutil.copy(tmp_path / "net.pt", tmp_path / "moved.pt")
    moved = {"teachers": {"teacher": by_path["teachers"]["teacher"] | {"path": str(tmp_path / "moved.pt")}}}
    assert path_of(look(moved)) == path_of(known)
    with pytest.raises(
        SegdistillError, match=r"the teacher teacher \(ScriptNetwork\) has no stage 'encoder/2'"
    ):
        look(STILL | {"terms": HINT} | by_path)
