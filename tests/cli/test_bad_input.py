"""What a user may get wrong in words: one clear message, exit code 2, nothing written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

Refused = Callable[..., str]

RECIPES = {
    "misspelt key": ("train.epoch=3", "recipe: train: 'epoch'", "did you mean 'epochs'?", "precision"),
    "misspelt section": ("trian.epochs=3", "'trian' is unknown", "did you mean 'train'?", "segmentation"),
    "misspelt key of a part": ("student.chanels=[2,4]", "student: 'chanels'", "did you mean 'channels'?"),
    "misspelt key of the augmentation": ("data.augmentation={flop: 1}", "data.augmentation: 'flop'", "flip"),
    "misspelt network": ("student.type=unett", "student.type: 'unett'", "did you mean 'unet'?", "ux_net"),
    "a width that is none": ("student.width=thin", "student.width", "such as 1/4"),
    "like no teacher": ("student={like: teecher}", "student.like: 'teecher' is unknown"),
    "a budget of nothing": ("student.budget={}", "student.budget", "at least one of parameters, macs and latency_ms"),
    "a budget in words": ("student.budget.parameters=little", "student.budget.parameters", "such as 500k, 1.5M or 20G"),
    "a budget that nothing meets": ("student.budget.parameters=10", "student.budget: no unet", "the nearest is"),
    "a budget and a width": ("student={type: unet, width: 1/2, budget: {macs: 1G}}", "`width` or `budget`"),
    "a budget for a teacher": (
        "teachers={teacher: {peer: {}, network: {type: unet, budget: {macs: 1G}}}}", "teachers.teacher.network.budget",
    ),
    "misspelt preset": ("student={preset: s9}", "student.preset: 's9' is unknown", "s1, s2, s3"),
    "misspelt loss": ("segmentation.loss=dice_fcal", "segmentation.loss.type: 'dice_fcal'", "dice_focal"),
    "misspelt optimizer": ("train.optimizer.type=adamm", "train.optimizer.type: 'adamm'", "adamw, sgd"),
    "misspelt schedule": ("train.schedule=polly", "train.schedule.type: 'polly'", "constant, cosine, poly"),
    "misspelt intensity": ("data.channels.CT=windo", "data.channels.CT.type: 'windo'", "window"),
    "misspelt channel": ("data.channels.CTT=ct", "data.channels.CTT: no such channel", "CT, PET"),
    "misspelt layout": ("data.layout=nnunet", "no layout 'nnunet'", "nnunet_raw, decathlon"),
    "a number below its range": ("train.epochs=0", "train.epochs", "greater than or equal to 1", "got 0"),
    "a number above its range": ("data.augmentation.flip=2", "data.augmentation.flip", "equal to 1, got 2"),
    "a number that is none": ("train.optimizer.lr=nan", "train.optimizer.lr", "finite", "nan"),
    "a word for a number": ("train.epochs=many", "train.epochs", "whole number", "'many'"),
    "a wrong number in a list": ("student.channels=[0,4]", "student.channels.0", "or equal to 1, got 0"),
    "a wrong number in a union": ("data.spacing=[0,1,1]", "data.spacing.0", "greater than 0, got 0"),
    "a list that is too short": ("student.channels=[4]", "student.channels", "at least 2 items"),
    "a section that is a number": ("evaluate=5", "recipe: evaluate", "got 5"),
    "a part that is nothing": ("train.optimizer=null", "train.optimizer", "got None"),
    "a word that is no choice": ("train.precision=8", "train.precision", "'bf16-mixed'", "got 8"),
    "settings that exclude each other": (
        "data.channels.CT={type: window, low: 3, high: 1}", "data.channels.CT: low 3.0", "below high 1.0",
    ),
    "a seed below 0": ("train.seed=-1", "train.seed", "or equal to 0, got -1"),
    "a batch that cannot be shared": ("train.accumulate=3", "data.batch_size: 2", "train.accumulate 3", "of 3"),
    "no data": ("data.path=null", "data.path: is required", "segdistill data phantom"),
    "data that is not there": ("data.path=nowhere", "nowhere is not a folder", "data.path"),
    "too few axes of a patch": ("data.patch_size=[8,8]", "data.patch_size: [8, 8]", "3 axes"),
    "a patch that does not fit": ("data.patch_size=[9,9,9]", "patch_size", "8 x 8 x 8 or 10 x 10 x 10"),
    "too few axes of a spacing": ("data.spacing=[1,2]", "data.spacing: [1.0, 2.0]", "3 positive numbers"),
    "a spacing beyond measure": ("data.spacing=[1e-4,1e-4,1e-4]", "data.spacing", "ask for a coarser one"),
    "a crop of too few axes": ("data.crop=[4]", "data.crop: [4]", "3 entries"),
    "a value that is no class": ("data.labels={a: 7}", "data.labels", "tumour: 1"),
    "a fold that is none": ("data.splits.fold=3", "data.splits.fold: 3 of folds: 3", "counted from 0"),
    "fewer patients than folds": ("data.splits.folds=9", "data.splits.folds: 9 folds", "5 are left", "fewer folds"),
    "an empty validation set": ("data.splits.validation=[]", "data.splits: the validation set is empty", "name its"),
    "a case that is none": ("data.splits.test=[c99]", "data.splits.test: no such case 'c99'", "c0, c1"),
    "one patient in two sets": (
        "data.splits={group: '^(c)', validation: [c0], test: [c1]}", "patient 'c' is in two sets", "one set only",
    ),
    "a pattern that is none": ("data.splits.group='('", "data.splits.group: '('", "regular expression"),
    "a pattern that does not match": ("data.splits.group='^z'", "data.splits.group: '^z'", "case 'c0'"),
    "a file of splits that is none": ("data.splits.file=no.json", "no.json cannot be read as splits", "JSON"),
    "an override without a key": ("=3", "'=3'", "key.path=value"),
    "an override of broken YAML": ("train.epochs=[1", "'train.epochs=[1'", "YAML: line 1, column 3", "expected"),
    "terms in a student alone": ("terms.a.loss=kl", "recipe 'student_alone' distils", "segdistill distill"),
}  # fmt: skip

TERMS = {
    "misspelt stage of the student": (
        "terms.response.student=encoder/17", "terms.response: the student (UNet) has", "'encoder/17'", "encoder/2",
    ),
    "misspelt stage of a teacher": (
        "terms.response.teacher=decoder/17", "terms.response: the teacher teacher (UNet)", "'decoder/17'", "decoder/1",
    ),
    "misspelt loss": ("terms.response.loss.type=kll", "terms.response.loss.type: 'kll'", "choices: affinity,"),
    "misspelt projector": ("terms.response.projector=conv", "terms.response.projector.type", "interpolation"),
    "misspelt weight": ("terms.response.weight={type: lin}", "terms.response.weight.type: 'lin'", "linear"),
    "misspelt teacher": ("terms.response.teachers=[x]", "terms.response.teachers: 'x'", "choices: teacher"),
    "a number out of range": ("terms.response.loss.temperature=0", "response.loss.temperature", "greater than 0"),
    "a weight below 0": ("terms.response.weight=-1", "terms.response.weight", "or equal to 0", "got -1"),
    "a term without loss": ("terms.a.student=logits", "terms.a.loss: is required"),
    "a name that is taken": ("terms.total.loss=kl", "terms.total", "choose another"),
    "stages said twice": ("terms.response={student: logits, pairs: [[logits, logits]]}", "give `pairs`, or"),
    "a wrong setting of a teacher": ("teachers.teacher.train.epochs=0", "teachers.teacher.train.epochs", "got 0"),
}  # fmt: skip

FILES = {
    "broken YAML": ("train: {epochs: 3\nstudent: [", "mine.yaml", "YAML: line 2", "expected"),
    "a tab": ("train:\n\tepochs: 3\n", "mine.yaml", "line 2, column 1", "'\\t'"),
    "a list": ("- train\n", "mine.yaml: expected sections", "got list"),
    "nothing": ("", "mine.yaml: expected sections", "got NoneType"),
    "no text": (b"\xff\xfe\x00\x81", "mine.yaml: not readable as YAML"),
    "a misspelt key": ("train: {epoch: 3}\n", "train: 'epoch' is unknown", "'epochs'"),
    "code": ("name: !!python/object/apply:os.mkdir [harm]\n", "mine.yaml: not readable as YAML", "could not determine"),
}  # fmt: skip

COMMANDS = {
    "no recipe": ("train data.path=data", "name a recipe first", "segdistill list recipes"),
    "an unknown recipe": ("train student_alon", "'student_alon'", "did you mean 'student_alone'?", "hinton"),
    "a recipe file that is gone": ("train mine.yaml", "'mine.yaml': no such file", "student_alone"),
    "distilling without terms": ("distill student_alone", "has no terms", "segdistill train"),
    "distilling by training": ("train hinton", "recipe 'hinton' distils", "segdistill distill"),
    "resume and overwrite": ("train student_alone --resume --overwrite", "exclude each other"),
    "evaluate no run": ("evaluate nowhere", "nowhere is not a run: no such folder", "--out"),
    "evaluate a dataset": ("evaluate data", "data is not a run: it has no run.json", "segdistill train"),
    "predict by no run": ("predict nowhere a.nii.gz -o m.nii.gz", "nowhere is not a run", "segdistill train"),
    "report on no run": ("report data", "data is not a run: it has no run.json", "segdistill train"),
    "report on nothing": ("report nowhere", "nowhere is not a run: no such folder"),
    "cost of an unknown name": ("cost unett", "unett: no network, preset, run folder", "did you mean 'unet'?"),
    "cost of a dataset": ("cost data", "data is not a run"),
    "cost of a size that does not fit": (
        "cost unet --size 63,64,64 --count-only", "63 x 64 x 64 does not fit", "56 x 64 x 64 or 64 x 64 x 64",
    ),
    "cost of a size for a fixed network": (
        "cost h_denseformer --size 64,64,60 --count-only", "divisible by 16", "64 x 64 x 48 or 64 x 64 x 64",
    ),
    "cost of nothing": ("cost channels=[8,16]", "name a network, preset, run or recipe first"),
    "cost of settings that are none": ("cost unet chanels=[8,16]", "unet: 'chanels' is unknown", "channels"),
    "cost of a preset of other dimensions": ("cost ra_unet_ii --size 64,64", "for 3-D images, these are 2-D"),
    "cost beyond a budget": ("cost unet budget.parameters=2 --count-only", "unet.budget: no unet", "nearest"),
    "a picture that is there": ("cost unet --plot notes/plan.png", "notes/plan.png exists", "--overwrite"),
    "a picture of another kind": ("cost unet --plot p.pdf", "name a .png or .svg file"),
    "a picture nowhere": ("cost unet --plot no/p.png", "there is no folder no"),
    "cost of words": ("cost unet --size large", "--size large", "144,144,144"),
    "cost of one side": ("cost unet --size 64", "--size 64", "two or three numbers"),
    "a phantom where something is": ("data phantom data", "data exists", "--overwrite"),
    "a phantom in the place of something else": ("data phantom notes --overwrite", "notes is no dataset", "replaced"),
    "a phantom too small": ("data phantom new --size 4 4 4", "[4, 4, 4]", "at least 8 voxels"),
    "a phantom of an unknown modality": ("data phantom new --modalities CT,US", "'US'", "CT, PET, MR"),
    "a demo where something is": ("demo --out notes", "notes exists", "--resume", "--overwrite"),
    "a demo in the place of something else": ("demo --out notes --overwrite", "not a demo's folder", "left as it is"),
    "a demo in the place of a file": ("demo --out notes/thesis.tex", "thesis.tex exists", "--out"),
}  # fmt: skip

MISUSES = {
    "list nonsense": "'nonsense' is not one of 'networks', 'presets', 'recipes'",
    "lisst networks": "No such command 'lisst'",
    "train student_alone --resum": "No such option",
    "predict run image.nii.gz": "Missing option '--out'",
    "evaluate run --subset all": "'all' is not one of 'test', 'validation', 'train'",
    "cost unet --channels 0": "0 is not in the range x>=1",
    "data phantom new --seed -1": "-1 is not in the range x>=0",
    "data phantom new --difficulty 3": "3.0 is not in the range 0<=x<=1",
}

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str, refused_training: Refused, volumes: Callable[[], Path]) -> None:
    override, *told = RECIPES[name]
    volumes()
    refused_training(override, told=told)


@pytest.mark.parametrize("name", TERMS)
def test_terms(name: str, refused_distilling: Refused) -> None:
    override, *told = TERMS[name]
    refused_distilling(override, told=told)


@pytest.mark.parametrize("name", FILES)
def test_recipe_file(name: str, refused: Refused, volumes: Callable[[], Path], tmp_path: Path) -> None:
    content, *told = FILES[name]
    (tmp_path / "mine.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    volumes()
    refused("train", "mine.yaml", "data.path=data", "--out", "runs/new", told=told)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_command(name: str, refused: Refused, volumes: Callable[[], Path], tmp_path: Path) -> None:
    words, *told = COMMANDS[name]
    volumes()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("the only copy")
    (tmp_path / "notes" / "plan.png").write_text("a picture")
    refused(*words.split(), told=told)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("words", MISUSES)
def test_misuse(words: str, segdistill: Callable[..., object]) -> None:
    answer = segdistill(*words.split())
    assert answer.code == 2 and MISUSES[words] in answer.err


@no_gpu
def test_a_gpu_where_there_is_none(
    refused: Refused, refused_training: Refused, volumes: Callable[[], Path], trained: object
) -> None:
    volumes()
    refused_training("train.accelerator=cuda", told=["train.accelerator 'cuda'", "train.accelerator=cpu"])
    image = "data/imagesTr/c0_0000.nii.gz"
    for device in ("cuda", "cuda:1", "gpu", "cpu:x"):
        told = [f"--device {device}: there is none on this machine", "choose from cpu"]
        refused("evaluate", "runs/teacher", "--device", device, told=told)
        refused("predict", "runs/teacher", image, "--out", "mask.nii.gz", "--device", device, told=told)
