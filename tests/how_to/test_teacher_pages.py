"""The pages about teachers, followed as a newcomer would: all of their commands, one after the other, in one folder."""

from __future__ import annotations

import inspect
import json
import math
import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
import yaml
from torch import Tensor, nn

import segdistill
from segdistill.recipe import Recipe
from segdistill.run import Run
from segdistill.sections.teacher import KnowledgeSection
from segdistill.teachers.files.onnx_file import OnnxFile
from segdistill.teachers.sources import SOURCES

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
FEW = ("data.workers=0", "train.epochs=1", "train.iterations=2")
"""Said after the words of a page, so that a training is short."""
SARCOMA, HIPPOCAMPUS, SPLEEN = "Dataset101_Sarcoma", "Dataset004_Hippocampus", "Dataset009_Spleen"
NNUNET = f"nnUNet_results/{HIPPOCAMPUS}/nnUNetTrainer__nnUNetPlans__3d_fullres"
FIVE = tuple(f"runs/fold_{fold}" for fold in range(5))
DEEP = "{type: unet, channels: [2,2,2,2,4]}"
Command = Callable[..., Any]
Desk = Callable[..., Path]


@dataclass(frozen=True)
class Page:
    """What a page needs, and what it leaves to other tools.

    Attributes:
        begins_with: what lies in the folder.
        other_tools: lines in its blocks that are no `segdistill`; these are not run.
        more: further words for a recipe, which make it small.
    """

    begins_with: tuple[str, ...]
    other_tools: tuple[str, ...] = ()
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)


TEACH_FORMER = (
    f"student={DEEP}",
    *(f"teachers.{name}.network={DEEP}" for name in ("h_denseformer", "swin_unetr", "unetr")),
)
PAGES = {
    "teachers": Page((SARCOMA, "runs/teacher", *FIVE[1:])),
    "knowledge-cache": Page((SARCOMA, "runs/teacher"), more={"teach_former": TEACH_FORMER}),
    "nnunet": Page((HIPPOCAMPUS, NNUNET)),
    "monai-bundle": Page(
        (SPLEEN, "bundles/spleen_ct_segmentation"),
        other_tools=(
            "pip install fire huggingface_hub requests",
            "python -m monai.bundle download spleen_ct_segmentation --bundle_dir bundles",
        ),
    ),
    "exported-teachers": Page((SARCOMA, "teacher.onnx", "teacher.ts", "teacher.pt2")),
    "soft-predictions": Page(
        (SARCOMA, "predictions"),
        other_tools=(
            f"nnUNetv2_predict -i {SARCOMA}/imagesTr -o predictions -d 101 -c 3d_fullres -f all --save_probabilities",
        ),
    ),
}
SAYS = {
    "segdistill teacher inspect runs/teacher": ("CT, PET", "tumour", "16 x 16 x 16", "4 cases", "encoder/4"),
    "segdistill list sources": tuple(SOURCES),
    "segdistill cache info": ("mine-", "logits", "1 entries"),
    "segdistill cache prune --older-than 30": ("0 entries",),
    "segdistill cache prune --all --yes": ("1 entries removed",),
    f"segdistill teacher inspect {NNUNET} 'folds=[0]'": ("MRI", "anterior, posterior", "8 x 8 x 8", "encoder/2"),
}  # fmt: skip
"""What commands that leave no run print."""


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    return [block for language, block in BLOCK.findall(text_of(page)) if language == kind]


def lines(page: str) -> list[str]:
    """All lines of the blocks that are for a shell."""
    return [line for kind in ("bash", "text") for block in blocks(page, kind) for line in block.splitlines()]


def finished(words: list[str]) -> Run:
    """The run that a command has left: trained to its end, by all terms of its recipe."""
    out = words[words.index("--out") + 1] if "--out" in words else f"runs/{words[2]}"
    run = Run.open(out)
    assert run.finished
    epochs = [event for event in run.events() if event["event"] == "epoch"]
    assert set(epochs[-1]["loss"]) >= {"segmentation", "total", *run.recipe.terms}
    assert all(math.isfinite(value) for value in epochs[-1]["loss"].values()), epochs[-1]
    return run


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page(name: str, desk: Desk, command: Command) -> None:
    page = PAGES[name]
    desk(*page.begins_with)
    for line in lines(name):
        if line in page.other_tools:
            continue
        words = shlex.split(line, comments=True)
        assert words[0] == "segdistill", f"neither run nor known as another tool's: {line}"
        trains = words[1] in ("train", "distill")
        small = (*FEW, *page.more.get(words[2], ())) if trains or words[1:3] == ["cache", "build"] else ()
        answer = command(*words[1:], *small, *(("--no-report",) if trains else ()))
        assert answer.code == 0, f"{line}\n{answer.err}"
        if trains:
            run = finished(words)
            assert set(run.info["knowledge"]) == set(run.recipe.teachers), "every page's teachers are cached"
            assert all(Path(kept["cached"]).is_dir() for kept in run.info["knowledge"].values())
        for said in SAYS.get(line, ()):
            assert said in answer.out + answer.err, f"{line}\n{answer}"
        assert trains or words[1:3] == ["cache", "build"] or line in SAYS, f"what does it say? {line}"


def test_five_folds_for_production_are_judged_on_what_none_has_seen(desk: Desk, command: Command) -> None:
    desk(SARCOMA, *FIVE)
    (line,) = [line for line in lines("teachers") if "folds=out_of_fold" in line]
    words = shlex.split(line)
    assert command(*words[1:], *FEW, "--no-report").code == 0
    run = finished(words)
    (group,) = run.info["groups"].values()
    assert [Path(member).name for member in group["members"]] == [Path(each).name for each in FIVE]
    learnt = {case for member in FIVE for case in Run.open(member).splits.train}
    assert run.splits.test and not learnt & set(run.splits.test)
    assert set(run.splits.train) <= learnt


@pytest.mark.parametrize("name", PAGES)
def test_lines_of_other_tools_are_on_the_page(name: str) -> None:
    assert set(PAGES[name].other_tools) <= set(lines(name))


def test_the_download_of_a_bundle_has_these_arguments() -> None:
    """The line is not run: it needs the network."""
    names = list(inspect.signature(monai.bundle.download).parameters)
    assert names[0] == "name" and "bundle_dir" in names


def test_what_is_cached_is_said_as_the_page_says(desk: Desk, command: Command) -> None:
    """Before, how much; where; nothing twice; then Teach-Former's coarse maps at the student's width."""
    desk(SARCOMA, "runs/teacher")
    words = ("hinton", f"data.path={SARCOMA}", "teachers.mine.path=runs/teacher", *FEW)
    first = command("cache", "build", *words)
    assert re.search(
        r"teachers\.mine is asked once about 4 of 4 cases; its answers take 65\.5 kB in", first.err
    )
    (entry,) = Path("runs/preprocessed").glob("*/knowledge/mine-*")
    assert sorted(path.name for path in (entry / "cases").iterdir()) == sorted(
        json.loads(Path("runs/teacher/splits.json").read_text())["train"]
    )
    again = command("distill", *words, "--no-report")
    assert again.code == 0 and "is asked once" not in again.err
    assert "32.8 kB" in command("cache", "build", *words, "knowledge.logits=uint8").err
    assert "8-bit logits, off by" in command("cache", "info").out


# --- an nnU-Net from the folder to the report


def test_an_nnunet_teaches_a_student_and_there_is_a_report(desk: Desk, command: Command) -> None:
    desk(HIPPOCAMPUS, NNUNET)
    line = next(line for line in lines("nnunet") if line.startswith("segdistill distill"))
    words = shlex.split(line)
    answer = command(*words[1:], *FEW)
    assert answer.code == 0, answer.err
    run = finished(words)
    assert not Path("runs/teacher").exists(), "the stand-in was trained"
    assert sorted(path.name for path in Path("runs").iterdir() if path.is_dir()) == ["hinton", "preprocessed"]
    assert run.info["teachers"] == {"t": str(Path(NNUNET).resolve())}
    assert run.info["taught_on"]["t"], "splits_final.json tells which cases it has learnt from"
    metrics = json.loads(run.file("metrics.json").read_text())
    assert set(metrics["summary"]) == {"anterior", "posterior", "mean"}
    assert len(metrics["cases"]) == 2 * len(run.splits.test)
    page = run.file("report.html").read_text(encoding="utf-8")
    assert "hinton" in page and "Of its teachers, t was asked once about each case beforehand." in page
    assert str(run.file("report.html")) in answer.err


# --- YAML and Python on the pages


def sections(page: str) -> list[Any]:
    return [yaml.safe_load(block) for block in blocks(page, "yaml")]


@pytest.mark.parametrize("page", [page for page in PAGES if sections(page)])
def test_yaml_is_a_part_of_a_recipe(page: str) -> None:
    for told in sections(page):
        recipe = Recipe.load("hinton", told)
        assert set(told) <= {"teachers", "knowledge"}
        assert "teacher" not in recipe.teachers or "teachers" not in told, "the stand-in gives way"


def distilled(command: Command, told: Any, *words: str, out: str = "runs/new") -> Run:
    Path("more.yaml").write_text(yaml.safe_dump(told))
    answer = command("distill", "hinton", "more.yaml", *words, *FEW, "--no-report", "--out", out)
    assert answer.code == 0, answer.err
    return finished(["segdistill", "distill", "hinton", "--out", out])


def renamed(folder: Path, **names: str) -> None:
    file = folder / "dataset.json"
    text = file.read_text()
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    file.write_text(text)


def test_channels_and_classes_of_other_names(desk: Desk, command: Command) -> None:
    """The teacher knows `CT` and `lesion`, the data have `CT_venous` and `tumour`."""
    desk(SARCOMA)
    renamed(Path(SARCOMA), tumour="lesion")
    train = ("train", "student_alone", f"data.path={SARCOMA}", "student.inputs=[CT]", *FEW, "--no-report")
    assert command(*train, "--out", "runs/teacher").code == 0
    renamed(Path(SARCOMA), lesion="tumour", CT="CT_venous")
    told = sections("teachers")[0]
    run = distilled(command, told, f"data.path={SARCOMA}")
    assert run.recipe.teachers["mine"].classes == {"tumour": "lesion"}
    (kept,) = [Path(each["cached"]) for each in run.info["knowledge"].values()]
    named = told["teachers"]["mine"]
    told["teachers"] = {"teacher": {"run": named.pop("path"), **named}}
    again = distilled(command, told, f"data.path={SARCOMA}", out="runs/of_run")
    assert Path(again.info["knowledge"]["teacher"]["cached"]).name.endswith(kept.name.rpartition("-")[2])
    for where in ("path", "run"):
        words = (f"data.path={SARCOMA}", f"teachers.teacher.{where}=runs/teacher", "--out", "runs/other")
        refused = command("distill", "hinton", *words, *FEW)
        assert refused.code == 2 and "no image channel 'CT'" in refused.err
        assert "say by teachers.teacher.sees.inputs=[...]" in refused.err and "(CT)" in refused.err, (
            refused.err
        )


def test_a_file_that_was_trained_on_another_spacing(desk: Desk, command: Command) -> None:
    desk(SARCOMA, "teacher.onnx")
    small = ("teachers.mine.sees.patch_size=[16,16,16]", "teachers.mine.sees.spacing=[30,30,24]")
    run = distilled(command, sections("teachers")[1], f"data.path={SARCOMA}", *small)
    assert list(run.info["knowledge"]) == ["mine"]


def test_the_settings_of_a_bundle(desk: Desk, command: Command) -> None:
    desk(SPLEEN, "bundles/spleen_ct_segmentation")
    distilled(command, sections("monai-bundle")[0], f"data.path={SPLEEN}", "--trust")


def test_the_settings_of_the_cache() -> None:
    told = sections("knowledge-cache")[0]["knowledge"]
    assert set(told) == set(KnowledgeSection.model_fields)
    assert KnowledgeSection.model_validate(told) == KnowledgeSection(), "these are the defaults"


class Mine(nn.Module):
    """A network of the reader's own, whose stages have no names."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv3d(2, 4, 2, stride=2)
        self.up = nn.ConvTranspose3d(4, 2, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        return self.up(self.down(image).relu())


def few(recipe: str, **given: Any) -> Recipe:
    return Recipe.load(recipe, overrides=FEW, **given)


def test_teachers_in_python(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"nnUNet_results/{SARCOMA}/nnUNetTrainer__nnUNetPlans__3d_fullres"
    desk(SARCOMA, place)
    (code,) = blocks("teachers", "python")
    code = code.replace("FOLDER", Path(place).name).replace("segdistill.Recipe.load(", "few(")
    names = {"segdistill": segdistill, "few": few, "my_module": Mine(), "my_logits": Mine().eval()}
    exec(compile(code, "teachers.md", "exec"), names)
    outs = re.findall(r'"(runs/\w+)"', code)
    assert len(outs) == 3
    for out in outs:
        run = finished(["segdistill", "distill", "hinton", "--out", out])
        assert list(run.recipe.teachers) == ["mine"]


def test_a_module_gets_names_by_the_sizes_of_its_maps(desk: Desk) -> None:
    desk(SARCOMA)
    hint = {"hint": {"loss": "mse", "student": "encoder/2", "projector": "convolution"}}
    recipe = few("hinton", data={"path": SARCOMA, "augmentation": {"affine": 0}}, terms=hint)
    segdistill.distill(recipe, "runs/new", teachers={"mine": Mine()})
    finished(["segdistill", "distill", "hinton", "--out", "runs/new"])


# --- exported networks


@pytest.mark.slow
def test_an_onnx_file_made_as_the_page_says_leaves_all_sizes_free(
    desk: Desk, command: Command, levels: nn.Module
) -> None:
    desk(SARCOMA)
    names = {"torch": torch, "network": levels, "image": torch.randn(2, 2, 16, 16, 16)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself
        exec(compile(blocks("exported-teachers", "python")[0], "exported-teachers.md", "exec"), names)
    opened = OnnxFile().open(Path("teacher.onnx"))
    assert (opened.image_size, opened.in_channels, opened.batch_size) == (None, 2, None)
    assert not Path("teacher.onnx.data").exists()
    image = torch.randn(1, 2, 24, 16, 8)
    with torch.no_grad():
        torch.testing.assert_close(opened(image), levels(image), rtol=1e-4, atol=1e-5)
    (line,) = [line for line in lines("exported-teachers") if "teacher.onnx" in line]
    words = shlex.split(line)
    assert command(*words[1:], *FEW, "--no-report").code == 0
    finished(words)


def test_inner_maps_of_a_program(desk: Desk, command: Command) -> None:
    desk(SARCOMA, "teacher.pt2")
    (line,) = [text for text in INLINE.findall(text_of("exported-teachers")) if "teacher inspect" in text]
    answer = command(*shlex.split(line)[1:])
    assert answer.code == 0 and "stages, named by the sizes of its maps" in answer.out, answer
    assert all(stage in answer.out for stage in ("encoder/2", "encoder/4", "encoder/8", "logits"))
    names: dict[str, Any] = {}
    exec(compile(blocks("exported-teachers", "python")[1], "exported-teachers.md", "exec"), names)
    hint = {
        "hint": {"loss": "mse", "student": "encoder/4", "teacher": "encoder/8", "projector": "convolution"}
    }
    recipe = few("hinton", data={"path": SARCOMA, "augmentation": {"affine": 0}}, terms=hint)
    segdistill.distill(recipe, "runs/new", teachers={"mine": names["network"]})
    finished(["segdistill", "distill", "hinton", "--out", "runs/new"])


# --- what the pages say of settings

TABLES = {"nnunet": "nnunet", "monai-bundle": "monai_bundle"}
PROSE = {
    "exported-teachers": {"onnx": {"output", "ending"}},
    "soft-predictions": {"soft_predictions": {"classes", "overlapping", "values"}},
}
"""Settings that a page names elsewhere than in a table, by source."""


def settings_of(kind: str) -> dict[str, Any]:
    return {name: each.default for name, each in inspect.signature(SOURCES[kind].part).parameters.items()}


def table(page: str) -> Iterator[list[str]]:
    """The rows of the table whose first column is headed `setting`, and its head."""
    inside = False
    for line in text_of(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        inside = line.startswith("| setting ") or (inside and line.startswith("|"))
        if inside and not cells[0].startswith("---"):
            yield cells


@pytest.mark.parametrize("page", TABLES)
def test_a_table_of_settings_is_that_of_the_source(page: str) -> None:
    (head, *rows), settings = list(table(page)), settings_of(TABLES[page])
    assert {row[0].strip("`") for row in rows} == set(settings)
    if "default" in head:
        told = {row[0].strip("`"): row[1] for row in rows}
        assert all(told[key] == f"`{value}`" for key, value in settings.items() if value is not None)


@pytest.mark.parametrize("page", PROSE)
def test_settings_in_prose_are_those_of_the_source(page: str) -> None:
    for kind, names in PROSE[page].items():
        assert names <= set(settings_of(kind))
        assert all(f"`{name}" in text_of(page) or f"{name}:" in text_of(page) for name in names)


def test_the_kinds_of_knowledge_are_those_of_the_recipe() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", text_of("knowledge-cache"), re.MULTILINE)
    assert rows[1:] == list(KnowledgeSection.model_fields["type"].annotation.__args__)  # type: ignore[union-attr]


OVERRIDES = [
    (page, text)
    for page in PAGES
    for text in INLINE.findall(text_of(page))
    if re.match(r"(teachers\.\w+|knowledge|data)\.?\w*\S*=", text)
]


@pytest.mark.parametrize(("page", "text"), OVERRIDES)
def test_settings_between_backticks_can_be_said(page: str, text: str) -> None:
    """As they stand, on a recipe that has a teacher of that name."""
    path = () if text.startswith("teachers.teacher.run=") else ("teachers.t.path=teacher.onnx",)
    Recipe.load("hinton", overrides=[*path, text])


# --- what the pages say is refused

Refused = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
HINT = "terms.hint={loss: mse, student: encoder/2, teacher: encoder/4, projector: convolution}"
STILL = "data.augmentation.affine=0"
BUNDLE = "teachers.t.path=bundles/spleen_ct_segmentation"
ONE_OF_EACH = "teachers.t.path=[teacher.onnx, teacher.ts]"
REFUSED: dict[str, Refused] = {
    "no trust, no bundle": (
        SPLEEN, ("bundles/spleen_ct_segmentation",), (BUNDLE,),
        ("--trust", "Nothing was run", "imports::0: $import glob"),
    ),
    "no trust, no program": (SARCOMA, ("teacher.pt2",), ("teachers.t.path=teacher.pt2",), ("teacher.pt2", "--trust")),
    "a recipe cannot trust": (SARCOMA, ("teacher.pt2",), ("teachers.t={path: teacher.pt2, trust: true}",), ("trust",)),
    "nor can a source": (
        SPLEEN, ("bundles/spleen_ct_segmentation",), (BUNDLE, "teachers.t.source={type: monai_bundle, trust: true}"),
        ("teachers.t.source: 'trust' is unknown",),
    ),
    "ONNX has logits alone": (
        SARCOMA, ("teacher.onnx",), ("teachers.t.path=teacher.onnx", HINT, STILL), ("encoder/4", "stages: logits"),
    ),
    "TorchScript has logits alone": (
        SARCOMA, ("teacher.ts",), ("teachers.t.path=teacher.ts", HINT, STILL), ("encoder/4", "stages: logits"),
    ),
    "several models have no maps": (
        SARCOMA, FIVE, ("teachers.t.path=runs/fold_?", HINT, STILL), ("encoder/4", "cannot be averaged"),
    ),
    "several folds have no maps": (
        HIPPOCAMPUS, (NNUNET,), (f"teachers.t.path={NNUNET}", HINT.replace("encoder/4", "encoder/2"), STILL),
        ("encoder/2", "folds: [0]"),
    ),
    "predictions have no maps": (
        SARCOMA, ("predictions",), ("teachers.t.path=predictions", HINT, STILL), ("no stage 'encoder/4'", "logits"),
    ),
    "matched of who knows what": (
        SARCOMA, ("teacher.onnx", "teacher.ts"), (ONE_OF_EACH, "teachers.t.folds=matched"), ("cannot be told",),
    ),
    "out of fold of who knows what": (
        SARCOMA, ("teacher.onnx", "teacher.ts"), (ONE_OF_EACH, "teachers.t.folds=out_of_fold"), ("cannot be told",),
    ),
    "whole cases and a small disk": (
        HIPPOCAMPUS, (NNUNET,), (f"teachers.t.path={NNUNET}", "knowledge.disk=1k"),
        ("answers for whole cases alone", "knowledge.disk", "knowledge.logits=uint8"),
    ),
    "whole cases in every step": (
        HIPPOCAMPUS, (NNUNET,), (f"teachers.t.path={NNUNET}", "knowledge=online"), ("answers for whole cases alone",),
    ),
    "cached where it is not right": (
        SARCOMA, ("runs/teacher",), ("teachers.t.path=runs/teacher", HINT, "knowledge=cached"),
        ("encoder/4", "data.augmentation.affine=0"),
    ),
    "an ending that is none": (
        SARCOMA, ("teacher.onnx",),
        ("teachers.t.path=teacher.onnx", "teachers.t.source={type: onnx, ending: softmax}"), ("no probabilities",),
    ),
    "a peer is told otherwise": (
        SARCOMA, (), ("teachers.t={peer: {}, sees: {inputs: [CT]}}",), ("teachers.t.sees", "network.inputs"),
    ),
    "an output that is not there": (
        SARCOMA, ("teacher.onnx",),
        ("teachers.t.path=teacher.onnx", "teachers.t.source={type: onnx, output: seg}"), ("no output 'seg'", "logits"),
    ),
    "classes that a file does not know": (
        SARCOMA, ("teacher.onnx",), ("teachers.t.path=teacher.onnx", "teachers.t.classes=[tumour, node]"), ("node",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_before_there_is_a_run(name: str, desk: Desk, command: Command) -> None:
    data, things, words, told = REFUSED[name]
    desk(data, *things)
    answer = command(
        "distill", "hinton", f"data.path={data}", *words, *FEW, "--out", "runs/new", "--no-report"
    )
    assert answer.code == 2, answer
    assert not Path("runs/new").exists()
    line = answer.err.splitlines()[-1]
    assert line.startswith("error: ") and all(text in line for text in told), line


def test_a_case_without_a_prediction_stops_the_run(desk: Desk, command: Command) -> None:
    desk(SARCOMA, "predictions")
    gone = sorted(Path("predictions").glob("*.npz"))[0].name.removesuffix(".npz")
    for file in Path("predictions").glob(f"{gone}.*"):
        file.unlink()
    words = ("hinton", f"data.path={SARCOMA}", "teachers.t.path=predictions", *FEW)
    answer = command("distill", *words, "--no-report")
    assert answer.code == 2 and f"no soft prediction for the case {gone!r}" in answer.err, answer.err
    assert not Path("runs/hinton").exists()


def test_an_nnunet_of_version_1_is_told(desk: Desk, command: Command) -> None:
    desk(HIPPOCAMPUS)
    place = Path("nnUNet/3d_fullres/Task004_Hippocampus/nnUNetTrainerV2__nnUNetPlansv2.1")
    (place / "fold_0").mkdir(parents=True)
    (place / "plans.pkl").touch()
    words = ("distill", "hinton", f"data.path={HIPPOCAMPUS}", f"teachers.t.path={place}", *FEW)
    answer = command(*words, "--no-report")
    assert answer.code == 2 and "is from nnU-Net v1 (plans.pkl), which is not supported" in answer.err, answer


def test_a_cascade_is_told(desk: Desk, command: Command) -> None:
    desk(HIPPOCAMPUS, NNUNET)
    place = Path(NNUNET.replace("3d_fullres", "3d_cascade_fullres"))
    Path(NNUNET).rename(place)
    plans = json.loads((place / "plans.json").read_text())
    plans["configurations"]["3d_cascade_fullres"] = {
        "inherits_from": "3d_fullres",
        "previous_stage": "3d_lowres",
    }
    (place / "plans.json").write_text(json.dumps(plans))
    words = ("distill", "hinton", f"data.path={HIPPOCAMPUS}", f"teachers.t.path={place}", *FEW)
    answer = command(*words, "--no-report")
    assert answer.code == 2 and "cascade" in answer.err.splitlines()[-1], answer


def test_the_log_says_why_a_teacher_answers_in_every_step(desk: Desk, command: Command) -> None:
    desk(SARCOMA, "runs/teacher")
    words = ("hinton", f"data.path={SARCOMA}", "teachers.t.path=runs/teacher", HINT, *FEW)
    answer = command("distill", *words, "--no-report")
    assert answer.code == 0, answer.err
    run = finished(["segdistill", "distill", "hinton"])
    told = [event["message"] for event in run.events() if event["event"] == "note"]
    assert any(
        "teachers.t answers in every step for terms.response, terms.hint: encoder/4: small" in each
        for each in told
    )
