"""TorchScript teachers: the answers of the network that was saved, and nothing run that is no TorchScript."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import predict_logits
from segdistill.networks.stages import catch, stage_names
from segdistill.networks.unet import UNet
from segdistill.teachers.files.torchscript import TorchScript


def saved(network: nn.Module, path: Path, example: Tensor | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated; files of it are not
        script = torch.jit.script(network) if example is None else torch.jit.trace(network, example)
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


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    whole = saved(Heads(), tmp_path / "teacher.pt").read_bytes()
    short = tmp_path / "short.pt"
    short.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegdistillError, match=r"short.pt is damaged"):
        TorchScript().open(short)
    assert not TorchScript.recognises(short)
    with pytest.raises(SegdistillError, match="no such file"):
        TorchScript().open(tmp_path / "none.pt")
