"""TorchScript teachers: the answers of the network that was saved, and nothing run that is no TorchScript."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import predict_logits
from segdistill.networks.stages import catch, stage_names
from segdistill.networks.unet import UNet
from segdistill.teachers.files.torchscript import TorchScript
from segdistill.teachers.files.torchscript_archive import touches_files


def saved(network: nn.Module, path: Path, example: Tensor | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated; files of it are not
        script = (
            torch.jit.script(network)
            if example is None
            else torch.jit.trace(network, example, check_trace=False)
        )
        script.save(str(path))
    return path


class Heads(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([image - 2, image * 3], 1), image


class Ends(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, image: Tensor) -> Tensor:
        logits = torch.cat([image, -image, image * 0.5 - 1], 1)
        if self.how == "softmax":
            return torch.softmax(logits, 1)
        if self.how == "argmax":
            return logits.argmax(1, keepdim=True)
        if self.how == "mean":
            return logits.mean((2, 3))
        return torch.sigmoid(logits)


class Writes(nn.Module):
    """Touches a file of its own accord, as soon as it is asked."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, image: Tensor) -> Tensor:
        torch.save(image, self.path)
        return image


class Touch:
    """A pickle that would make a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("space", [2, 3])
def test_says_what_the_network_says(tmp_path: Path, space: int) -> None:
    network = UNet(space, 2, 3, channels=(2, 4)).eval()
    path = saved(network, tmp_path / "teacher.ts", torch.randn(1, 2, *[8] * space))
    assert TorchScript.recognises(path)

    opened = TorchScript().open(path)

    image = torch.randn(2, 2, *range(8, 8 + 2 * space, 2))
    with torch.no_grad():
        torch.testing.assert_close(opened(image), network(image))
        torch.testing.assert_close(copy.deepcopy(opened)(image), network(image))
    assert not opened.training
    whole = predict_logits(opened, torch.randn(2, *[12] * space), [8] * space)
    assert whole.shape == (3, *[12] * space)


def test_it_has_the_stage_logits_alone(tmp_path: Path) -> None:
    opened = TorchScript().open(saved(Heads(), tmp_path / "teacher.pt"))
    assert stage_names(opened) == ("logits",)
    image = torch.randn(1, 1, 4, 4)
    with catch(opened, ["logits"]) as maps:
        opened(image)
    torch.testing.assert_close(maps["logits"], torch.cat([image - 2, image * 3], 1))
    with pytest.raises(ValueError, match="no stage 'encoder/4'; it has: logits"):
        with catch(opened, ["encoder/4"]):
            pass


@pytest.mark.parametrize("ending", ["softmax", "sigmoid"])
def test_an_ending_is_undone(tmp_path: Path, ending: str) -> None:
    opened = TorchScript(ending=ending).open(saved(Ends(ending), tmp_path / "teacher.pt"))  # type: ignore[arg-type]
    image = torch.randn(2, 1, 4, 4)
    logits = torch.cat([image, -image, image * 0.5 - 1], 1)
    found = opened(image)
    if ending == "softmax":
        torch.testing.assert_close(found.softmax(1), logits.softmax(1))
    else:
        torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-4)


def test_outputs_that_are_no_logits_are_refused(tmp_path: Path) -> None:
    image = torch.randn(2, 1, 4, 4)
    for how, told in (("softmax", "ending: softmax"), ("argmax", "labels"), ("mean", r"\(2, 3\)")):
        opened = TorchScript().open(saved(Ends(how), tmp_path / f"{how}.pt"))
        with pytest.raises(SegdistillError, match=told):
            opened(image)
    opened = TorchScript(ending="softmax").open(saved(Heads(), tmp_path / "heads.pt"))
    with pytest.raises(SegdistillError, match="no probabilities"):
        opened(image)


def test_images_that_it_does_not_take_are_told(tmp_path: Path) -> None:
    network = UNet(2, 2, 3, channels=(2, 4)).eval()
    opened = TorchScript().open(saved(network, tmp_path / "teacher.ts", torch.randn(1, 2, 8, 8)))
    with pytest.raises(
        SegdistillError, match=r"teacher.ts does not take images of shape \(1, 1, 8, 8\).*channels"
    ):
        opened(torch.randn(1, 1, 8, 8))


@pytest.mark.parametrize("protocol", ["zip", "old", "bare"])
def test_a_pickle_is_refused_and_never_read(tmp_path: Path, protocol: str) -> None:
    ran, path = tmp_path / "ran", tmp_path / "teacher.pt"
    if protocol == "bare":
        path.write_bytes(pickle.dumps(Touch(ran)))
    else:
        torch.save(Touch(ran), path, _use_new_zipfile_serialization=protocol == "zip")
    assert not TorchScript.recognises(path)
    with pytest.raises(SegdistillError, match="a pickle, which can run code"):
        TorchScript().open(path, trust=True)
    assert not ran.exists()
    torch.load(path, weights_only=False) if protocol != "bare" else pickle.loads(path.read_bytes())
    assert ran.exists()  # the trap was set


def test_code_that_touches_files_needs_trust(tmp_path: Path) -> None:
    path = saved(Writes(str(tmp_path / "written")), tmp_path / "teacher.pt")
    with pytest.raises(SegdistillError, match=r"'save'.*--trust"):
        TorchScript().open(path)
    TorchScript().open(path, trust=True)


def rewritten(path: Path, change: Callable[[str, str], list[tuple[str, str | None]]]) -> Path:
    """A copy of an archive with its code under other names or in other words; None: as it was."""
    target = path.with_name("rewritten.pt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two files of one name
        for name in source.namelist():
            content = source.read(name)
            changes = change(name, content.decode()) if name.endswith(".py") else [(name, None)]
            for other, text in changes:
                made.writestr(other, content if text is None else text)
    return target


CALL = re.compile(r"torch\.save\((\w+), (.*)\)")
TRICKS: dict[str, Callable[[str, str], list[tuple[str, str | None]]]] = {
    "none": lambda name, code: [(name, None)],
    "capitals": lambda name, code: [
        (name.replace("/code/", "/CODE/"), None),
        ("teacher/code/readme.txt", ""),
    ],
    "two of one name": lambda name, code: [(name, None), (name, CALL.sub("pass", code))],
    "two but for capitals": lambda name, code: [
        (name, None),
        (name.upper().replace("TEACHER/", "teacher/"), ""),
    ],
    "escapes": lambda name, code: [(name, CALL.sub(r'getattr(torch, "s\\141ve")(\1, \2)', code))],
    "pieces": lambda name, code: [(name, CALL.sub(r'getattr(torch, "sa" "ve")(\1, \2)', code))],
    "operator": lambda name, code: [(name, CALL.sub(r"ops.aten.save(\1, \2)", code))],
    "spaces": lambda name, code: [(name, CALL.sub(r"torch. save(\1, \2)", code))],
    "renamed": lambda name, code: [(name, CALL.sub(r'a = torch\n    getattr(a, "sa" "ve")(\1, \2)', code))],
}


@pytest.mark.parametrize("trick", TRICKS)
def test_code_that_touches_files_is_found_however_it_is_hidden(tmp_path: Path, trick: str) -> None:
    written = tmp_path / "written"
    path = rewritten(saved(Writes(str(written)), tmp_path / "teacher.pt"), TRICKS[trick])
    with pytest.raises(SegdistillError, match="it was not loaded"):
        TorchScript().open(path)
    assert not written.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(str(path))(torch.ones(1))
    assert written.exists()  # the trap was set


def test_two_files_of_one_name_are_refused_even_when_trusted(tmp_path: Path) -> None:
    path = rewritten(saved(Heads(), tmp_path / "teacher.pt"), lambda name, code: [(name, None), (name, None)])
    with pytest.raises(SegdistillError, match="two files of one name, code/"):
        TorchScript().open(path, trust=True)


class Ordinary(nn.Module):
    """Layers whose code PyTorch writes with its inner operators and with attributes that are numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.ops = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.InstanceNorm2d(4, affine=True), nn.GELU())
        self.levels = nn.ModuleList(
            [nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1)), nn.BatchNorm2d(4)]
        )
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.ops(image)
        for level in self.levels:
            maps = level(maps)
        if maps.shape[1] != 4:
            raise ValueError("four channels are needed")
        small = nn.functional.interpolate(maps, scale_factor=0.5, mode="bilinear", align_corners=False)
        tokens = small.flatten(2).transpose(1, 2)
        seen = (
            self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(small.shape)
        )
        return self.out(nn.functional.interpolate(seen, size=image.shape[2:]))


@pytest.mark.parametrize("how", ["traced", "scripted", "frozen"])
def test_ordinary_networks_need_no_trust(tmp_path: Path, how: str) -> None:
    network, image = Ordinary().eval(), torch.randn(1, 1, 8, 8)
    if how == "frozen":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.freeze(torch.jit.script(network)).save(str(tmp_path / "teacher.pt"))
    else:
        saved(network, tmp_path / "teacher.pt", image if how == "traced" else None)
    with torch.no_grad():
        found = TorchScript().open(tmp_path / "teacher.pt")(image)
        torch.testing.assert_close(found, network(image), rtol=1e-4, atol=1e-5)


def test_what_code_needs_trust_for() -> None:
    for code in (
        'getattr(getattr(self.a, "0").b, "1").forward(x)',
        "torch.add(ops.prim.NumToTensor(a), ops.aten.relu(b))",
        "self.saved = __torch__.torch.nn.Linear",
        "  ops : __torch__.torch.nn.modules.container.Sequential",
    ):
        assert touches_files(code) is None, code
    for code in (
        "ops.torchvision.nms(a)",
        "(ops. other.run(a))",
        "(ops.\n other.run(a))",
        "b = ops\nb.other.run(a)",
        "b = ops.aten\nc = 1",
        "a : __torch__.torch.classes.some.Class",
        "b = torch\n",
        'getattr(self, "save")',
        "getattr(self, 'sa' 've')",
        'getattr(self, # "a")\n "sa" "ve")',
        "image.from_file(name)",
    ):
        assert touches_files(code), code


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    whole = saved(Heads(), tmp_path / "teacher.pt").read_bytes()
    short = tmp_path / "short.pt"
    short.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegdistillError, match=r"short.pt is damaged"):
        TorchScript().open(short)
    assert not TorchScript.recognises(short)
    with pytest.raises(SegdistillError, match="no such file"):
        TorchScript().open(tmp_path / "none.pt")
