"""Which folders are taken, and what is said of those that are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from segdistill.errors import SegdistillError
from segdistill.parts import build, complete
from segdistill.teachers.nnunet import NnunetFolder
from segdistill.teachers.source import Source

Write = Callable[..., Path]


def edit(path: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_it_is_a_part_of_a_recipe() -> None:
    table = {"nnunet": NnunetFolder}
    spec = {"type": "nnunet", "folds": [0, "all"], "checkpoint": "best"}
    assert complete(table, spec, "source")["folds"] == [0, "all"]
    assert build(table, "nnunet", "source") == NnunetFolder()
    for wrong in ({"folds": [-1]}, {"folds": []}, {"folds": ["some"]}, {"checkpoint": "latest"}):
        with pytest.raises(SegdistillError, match=r"source\."):
            complete(table, {"type": "nnunet", **wrong}, "source")


def test_a_folder_is_known_by_its_names(write: Write, tmp_path: Path) -> None:
    folder = write()
    assert NnunetFolder.recognises(folder)
    assert NnunetFolder.recognises(folder.parent)
    assert not NnunetFolder.recognises(folder / "fold_0")
    assert not NnunetFolder.recognises(tmp_path / "nowhere")
    (folder / "dataset.json").unlink()
    assert not NnunetFolder.recognises(folder)


def test_what_it_sees_and_tells(write: Write) -> None:
    labels = {"background": 0, "back": 2, "front": 1, "ignore": 3}
    source = NnunetFolder().open(write(labels=labels, channels=("CT", "PET")).parent)
    assert isinstance(source, Source)
    assert source.channels == ("CT", "PET")
    assert source.classes == ("front", "back")
    assert not source.regions
    assert source.trained_on == ()
    assert source.score is None
    assert source.window == (8, 8, 8)


def test_old_names_of_the_channels(write: Write) -> None:
    folder = write()
    edit(folder / "dataset.json", lambda d: d.update(modality=d.pop("channel_names")))
    assert NnunetFolder().open(folder).channels == ("MRI",)


def test_regions_in_the_order_of_the_file(write: Write) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    source = NnunetFolder().open(write(labels=labels, outputs=2, dataset={"regions_class_order": [1, 2]}))
    assert source.regions
    assert source.classes == ("whole", "core")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            {"background": 0, "whole": [1, 2], "core": [2]},
            "regions_class_order: expected one value for each of",
        ),
        ({"0": "background", "1": "front"}, "labels: expected .* with 'background': 0"),
        ({"background": 0, "a": 1, "b": 1}, "two classes share a value"),
        ({"background": 0, "a": "1"}, "labels.a: expected a number or a list"),
    ],
)
def test_labels_of_another_format(write: Write, labels: dict[str, object], said: str) -> None:
    with pytest.raises(SegdistillError, match=said):
        NnunetFolder().open(write(labels=labels))


def test_all_numbered_folds_are_taken(write: Write) -> None:
    folder = write(folds=(0, 1, "all"))
    assert NnunetFolder().open(folder).identity() == NnunetFolder(folds=(0, 1)).open(folder).identity()
    shutil.rmtree(folder / "fold_0")
    shutil.rmtree(folder / "fold_1")
    assert NnunetFolder().open(folder).identity() == NnunetFolder(folds=("all",)).open(folder).identity()


def test_missing_folds_are_named(write: Write) -> None:
    with pytest.raises(SegdistillError, match=r"no fold 3 \(asked for: 0, 3; there: 0, 1\)"):
        NnunetFolder(folds=(0, 3)).open(write(folds=(0, 1)))


def test_a_missing_checkpoint_is_named(write: Write) -> None:
    folder = write(checkpoint_name="checkpoint_latest.pth")
    with pytest.raises(SegdistillError, match=r"no checkpoint_final.pth \(there: checkpoint_latest.pth\)"):
        NnunetFolder().open(folder)


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match=r"has no plans.json, no dataset.json, no fold_0"):
        NnunetFolder().open(tmp_path)
    with pytest.raises(SegdistillError, match="is no folder"):
        NnunetFolder().open(tmp_path / "nowhere")


def test_several_configurations_are_ambiguous(write: Write) -> None:
    folder = write()
    write(dims=2, into=folder.parent)
    assert NnunetFolder.recognises(folder.parent)
    with pytest.raises(SegdistillError, match=r"several trained configurations \(.*__2d, .*__3d_fullres\)"):
        NnunetFolder().open(folder.parent)


def test_version_one(tmp_path: Path) -> None:
    (tmp_path / "plans.pkl").write_bytes(b"")
    with pytest.raises(SegdistillError, match="nnU-Net v1"):
        NnunetFolder().open(tmp_path)


def test_a_plan_of_another_format(write: Write) -> None:
    folder = write()
    (folder / "plans.json").write_text("{}")
    with pytest.raises(SegdistillError, match="no 'configurations'"):
        NnunetFolder().open(folder)
    (folder / "plans.json").write_text("{")
    with pytest.raises(SegdistillError, match=r"plans.json cannot be read as JSON"):
        NnunetFolder().open(folder)


@pytest.mark.parametrize("key", ["patch_size", "spacing", "normalization_schemes"])
def test_a_plan_that_lacks_something(write: Write, key: str) -> None:
    folder = write()
    edit(folder / "plans.json", lambda plans: plans["configurations"]["3d_fullres"].pop(key))
    with pytest.raises(SegdistillError, match=f"{key} is missing"):
        NnunetFolder().open(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"3d_fullres": []}, "configuration '3d_fullres' is no object of settings"),
        (
            {"3d_fullres": {"inherits_from": "base"}, "base": 5},
            "configuration 'base' is no object of settings",
        ),
        (
            {"3d_fullres": {"inherits_from": ["base"]}},
            r"configuration '3d_fullres' inherits from \['base'\], which is no name",
        ),
    ],
)
def test_a_configuration_of_another_format(write: Write, change: dict[str, object], said: str) -> None:
    folder = write()
    edit(folder / "plans.json", lambda plans: plans["configurations"].update(change))
    with pytest.raises(SegdistillError, match=rf"^\S*plans\.json: {said}.*$"):
        NnunetFolder().open(folder)


PLAIN = "dynamic_network_architectures.architectures.unet.PlainConvUNet"


@pytest.mark.parametrize("told", [5, [5], {"network_class_name": PLAIN, "arch_kwargs": 5}])
def test_a_network_of_another_format(write: Write, told: object) -> None:
    with pytest.raises(
        SegdistillError, match=r"^\S*plans\.json, configuration '3d_fullres': its network is not told.*$"
    ):
        NnunetFolder().open(write(architecture=told))


def test_a_cascade_is_refused(write: Write) -> None:
    with pytest.raises(SegdistillError, match="is a cascade: it needs the answers of '3d_lowres'"):
        NnunetFolder().open(write(previous_stage="3d_lowres"))


def test_configurations_that_inherit(write: Write) -> None:
    folder = write()

    def split(plans: dict) -> None:  # type: ignore[type-arg]
        own = plans["configurations"]["3d_fullres"]
        plans["configurations"]["base"] = {**own, "patch_size": [16, 16, 16]}
        plans["configurations"]["3d_fullres"] = {"inherits_from": "base", "patch_size": [8, 8, 8]}

    before = NnunetFolder().open(folder)
    edit(folder / "plans.json", split)
    assert NnunetFolder().open(folder).classes == before.classes
    edit(folder / "plans.json", lambda p: p["configurations"]["base"].update(inherits_from="3d_fullres"))
    with pytest.raises(
        SegdistillError,
        match=r"plans\.json: configurations inherit in a circle: 3d_fullres <- base <- 3d_fullres",
    ):
        NnunetFolder().open(folder)


def test_a_folder_of_another_name(write: Write) -> None:
    folder = write()
    moved = folder.rename(folder.parent / "mine")
    assert NnunetFolder().open(moved).channels == ("MRI",)  # its plans have one configuration
    edit(moved / "plans.json", lambda p: p["configurations"].update(other=p["configurations"]["3d_fullres"]))
    with pytest.raises(SegdistillError, match="set configuration to one of: 3d_fullres, other"):
        NnunetFolder().open(moved)
    assert NnunetFolder(configuration="3d_fullres").open(moved).channels == ("MRI",)
    with pytest.raises(SegdistillError, match="set configuration: 3d_fullres"):
        NnunetFolder(configuration="other").open(moved)


def test_weights_that_do_not_fit_the_plan(write: Write, tiny: SimpleNamespace) -> None:
    folder = write(checkpoint=tiny.checkpoint(tiny.network(3, 2, 3, seed=0), "3d_fullres"))
    with pytest.raises(SegdistillError, match=r"checkpoint_final.pth does not fit NNUNetPlain"):
        NnunetFolder().open(folder)


def test_channels_that_contradict_the_plan(write: Write) -> None:
    folder = write()
    edit(folder / "dataset.json", lambda d: d.update(channel_names={"0": "CT", "1": "PET"}))
    with pytest.raises(SegdistillError, match=r"normalisation of 1 channels .* but dataset.json has 2"):
        NnunetFolder().open(folder)


def test_statistics_that_ct_needs(write: Write) -> None:
    folder = write(normalization_schemes=["CTNormalization"], foreground_intensity_properties_per_channel={})
    with pytest.raises(
        SegdistillError, match=r"per_channel.0 has no mean, std, percentile_00_5, percentile_99_5"
    ):
        NnunetFolder().open(folder)


def test_an_unknown_reader(write: Write) -> None:
    with pytest.raises(SegdistillError, match="read by MyReader, which is not known"):
        NnunetFolder().open(write(image_reader_writer="MyReader"))


def test_an_unknown_meaning_of_the_outputs(write: Write) -> None:
    folder = write()
    edit(folder / "plans.json", lambda plans: plans.update(label_manager="MyLabels"))
    with pytest.raises(SegdistillError, match="label_manager MyLabels is not known"):
        NnunetFolder().open(folder)


SPLITS = [{"train": ["c", "b"], "val": ["a"]}, {"train": ["a", "c"], "val": ["b"]}]


@pytest.mark.parametrize(
    ("folds", "cases"), [((0,), ("b", "c")), ((0, 1), ("a", "b", "c")), (("all",), ("a", "b", "c"))]
)
@pytest.mark.parametrize("place", ["folder", "above", "variable", "beside"])
def test_training_cases_by_the_splits(
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    folds: tuple[int | str, ...],
    cases: tuple[str, ...],
) -> None:
    into = tmp_path / "nnUNet_results" / "Dataset999_Tiny"
    folder = write(folds=folds, into=into, dataset={"numTraining": 3})
    named = tmp_path / "elsewhere" / "Dataset999_Tiny"
    beside = tmp_path / "nnUNet_preprocessed" / "Dataset999_Tiny"
    for preprocessed in (named, beside):
        preprocessed.mkdir(parents=True)
    monkeypatch.setenv("nnUNet_preprocessed", str(named.parent))
    where = {"folder": folder, "above": folder.parent, "variable": named, "beside": beside}[place]
    (where / "splits_final.json").write_text(json.dumps(SPLITS))
    assert NnunetFolder(folds=folds).open(folder).trained_on == cases


def validate(folder: Path, fold: int | str, cases: str, dice: float = 0.5) -> None:
    """Leave the summary of a fold's validation, of cases with names of one letter."""
    files = [f"/elsewhere/fold_{fold}/validation/{case}.nii.gz" for case in cases]
    summary = {
        "foreground_mean": {"Dice": dice},
        "metric_per_case": [{"prediction_file": file} for file in files],
    }
    (folder / f"fold_{fold}" / "validation").mkdir()
    (folder / f"fold_{fold}" / "validation" / "summary.json").write_text(json.dumps(summary))


@pytest.mark.parametrize("folds", [(0, 1), ("all",), (0, "all")])
def test_a_part_of_the_folds_does_not_tell_the_training_cases(
    write: Write, folds: tuple[int | str, ...]
) -> None:
    """Two of five folds were copied: each has learnt from more than what the other has validated."""
    folder = write(folds=(0, 1, "all"), dataset={"numTraining": 10})
    validate(folder, 0, "ab")
    validate(folder, 1, "cd")
    assert NnunetFolder(folds=folds).open(folder).trained_on == ()


@pytest.mark.parametrize("told", [None, "4", 0, [4]])
def test_a_dataset_that_does_not_tell_its_number_of_cases(write: Write, told: object) -> None:
    folder = write(folds=(0, 1), dataset={"numTraining": told})
    validate(folder, 0, "ab")
    validate(folder, 1, "cd")
    assert NnunetFolder(folds=(0,)).open(folder).trained_on == ()


def test_training_cases_of_the_fold_of_all(write: Write) -> None:
    folder = write(folds=(0, 1, "all"))
    validate(folder, 0, "ab")
    validate(folder, 1, "cd")
    assert NnunetFolder(folds=("all",)).open(folder).trained_on == ("a", "b", "c", "d")
    validate(folder, "all", "abcde")
    assert NnunetFolder(folds=("all",)).open(folder).trained_on == ("a", "b", "c", "d", "e")
    assert NnunetFolder(folds=(0,)).open(folder).trained_on == ("c", "d")  # not by what another has validated


def test_a_fold_that_the_splits_do_not_have(write: Write) -> None:
    """nnU-Net trains it on cases that it draws, which no file tells."""
    folder = write(folds=(0, 2, "all"))
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    assert NnunetFolder(folds=(0,)).open(folder).trained_on == ("b", "c")
    for folds in ((2,), (0, 2), ("all",)):  # the dataset has a fourth case
        assert NnunetFolder(folds=folds).open(folder).trained_on == ()


@pytest.mark.parametrize(
    "summary",
    [
        [],
        5,
        None,
        {"metric_per_case": 5, "foreground_mean": 5},
        {"metric_per_case": [5, {"prediction_file": 5}]},
    ],
)
def test_a_summary_of_another_format_tells_nothing(write: Write, summary: object) -> None:
    folder = write(folds=(0, 1))
    validate(folder, 0, "abcd")
    (folder / "fold_0" / "validation" / "summary.json").write_text(json.dumps(summary))
    for folds in ((0,), (0, 1)):
        source = NnunetFolder(folds=folds).open(folder)
        assert (source.trained_on, source.score) == ((), None)


@pytest.mark.parametrize("splits", [{}, 5, [5], [{"train": [["a"]], "val": []}], [{"train": ["a"]}]])
def test_splits_of_another_format_tell_nothing(write: Write, splits: object) -> None:
    folder = write()
    (folder / "splits_final.json").write_text(json.dumps(splits))
    assert NnunetFolder().open(folder).trained_on == ()


def test_training_cases_and_score_by_the_validations(write: Write) -> None:
    folder = write(folds=(0, 1), dataset={"numTraining": 2})
    validate(folder, 0, "a", 0.8)
    validate(folder, 1, "b", 0.6)
    first, both = (NnunetFolder(folds=folds).open(folder) for folds in ((0,), (0, 1)))
    assert (first.trained_on, first.score) == (("b",), pytest.approx(0.8))
    assert (both.trained_on, both.score) == (("a", "b"), pytest.approx(0.7))


def test_identity_is_of_all_that_decides(write: Write, tmp_path: Path, tiny: SimpleNamespace) -> None:
    folder = write(folds=(0, 1))
    first = NnunetFolder(folds=(0,)).open(folder).identity()
    assert int(first, 16) >= 0
    assert first == NnunetFolder(folds=(0,)).open(folder.parent).identity()
    assert first != NnunetFolder(folds=(1,)).open(folder).identity()
    copied = Path(shutil.copytree(folder, tmp_path / "copy" / folder.name))
    assert NnunetFolder(folds=(0,)).open(copied).identity() == first
    file = copied / "fold_0" / "checkpoint_final.pth"
    content = torch.load(file, weights_only=False)
    torch.save({**content, "current_epoch": 77}, file)  # changes no answer
    assert NnunetFolder(folds=(0,)).open(copied).identity() == first
    content["network_weights"]["decoder.seg_layers.0.bias"][0] += 1e-3
    torch.save(content, file)
    assert NnunetFolder(folds=(0,)).open(copied).identity() != first
    edit(folder / "plans.json", lambda p: p["configurations"]["3d_fullres"].update(spacing=[1.0, 1.0, 1.1]))
    assert NnunetFolder(folds=(0,)).open(folder).identity() != first
