"""Teachers of torch.export: the answers and inner maps of the network that was exported, at the sizes it takes."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from segdistill.errors import SegdistillError
from segdistill.networks.stages import catch, name_stages, stage_names
from segdistill.networks.unet import UNet
from segdistill.teachers.files.exported_program import ExportedProgram
from segdistill.teachers.files.torchscript import TorchScript


def saved(network: nn.Module, path: Path, example: Tensor, dynamic: bool = False, **keywords: Any) -> Path:
    free = {axis: Dim.AUTO for axis in range(example.ndim) if axis != 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of its own parts
        program = torch.export.export(
            network, () if keywords else (example,), keywords, dynamic_shapes=(free,) if dynamic else None
        )
        torch.export.save(program, path)
    return path


class Plain(nn.Module):
    """Two logits of an image, or one of its other endings."""

    def __init__(self, ending: str = "none") -> None:
        super().__init__()
        self.inside = nn.Conv2d(1, 2, 1)
        self.ending = ending

    def forward(self, image: Tensor) -> Any:
        logits = self.inside(image)
        if self.ending == "softmax":
            return logits.softmax(1)
        if self.ending == "list":
            return [logits, logits[:, :, ::2, ::2]]
        return logits.argmax(1) if self.ending == "argmax" else logits


class Two(nn.Module):
    def forward(self, image: Tensor, site: Tensor) -> Tensor:
        return image + site


class Levels(nn.Module):
    """A U-Net of two levels; ours checks its sizes as whole numbers while tests run, which a free size is not."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=1)])
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.out = nn.Conv2d(6, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.encoder[0](image).relu()
        return self.out(torch.cat([fine, self.up(self.encoder[1](fine))], 1))


@pytest.fixture(scope="module")
def network() -> Levels:
    torch.manual_seed(0)
    return Levels().eval()


@pytest.fixture(scope="module")
def dynamic(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(
        network, tmp_path_factory.mktemp("dynamic") / "teacher.pt2", torch.randn(2, 2, 8, 12), dynamic=True
    )


@pytest.fixture(scope="module")
def static(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(network, tmp_path_factory.mktemp("static") / "teacher.pt2", torch.randn(2, 2, 8, 8))


def test_a_dynamic_program_takes_any_size(network: nn.Module, dynamic: Path) -> None:
    assert ExportedProgram.recognises(dynamic) and not TorchScript.recognises(dynamic)
    opened = ExportedProgram().open(dynamic, trust=True)
    assert (opened.image_size, opened.in_channels, opened.batch_size) == (None, 2, None)
    with torch.no_grad():
        for size in ((1, 2, 8, 12), (3, 2, 16, 4)):
            image = torch.randn(size)
            torch.testing.assert_close(opened(image), network(image))


def test_a_static_program_tells_its_size_and_runs_in_portions(network: nn.Module, static: Path) -> None:
    opened = ExportedProgram().open(static, trust=True)
    assert (opened.image_size, opened.in_channels, opened.batch_size) == ((8, 8), 2, 2)
    with torch.no_grad():
        for batch in (1, 2, 5):
            image = torch.randn(batch, 2, 8, 8)
            torch.testing.assert_close(opened(image), network(image))
    with pytest.raises(SegdistillError, match=r"exported for images of \[8, 8\].*given \[16, 8\]"):
        opened(torch.randn(1, 2, 16, 8))
    with pytest.raises(SegdistillError, match=r"images of 2 channel\(s\), it was given 1"):
        opened(torch.randn(1, 1, 8, 8))
    with pytest.raises(SegdistillError, match=r"is a 2-D network.*3-D images"):
        opened(torch.randn(1, 2, 8, 8, 8))


@pytest.mark.parametrize("space", [2, 3])
def test_a_unet_of_ours(tmp_path: Path, space: int) -> None:
    network = UNet(space, 1, 2, channels=(2, 4), convolutions=1).eval()
    opened = ExportedProgram().open(
        saved(network, tmp_path / "a.pt2", torch.randn(1, 1, *[8] * space)), trust=True
    )
    image = torch.randn(2, 1, *[8] * space)
    assert opened.image_size == (8,) * space
    with torch.no_grad():
        torch.testing.assert_close(opened(image), network(image), rtol=1e-4, atol=1e-5)


def test_its_inner_maps_can_be_named(network: nn.Module, dynamic: Path, static: Path) -> None:
    named = {"encoder/1": "program.encoder.0", "encoder/2": "program.encoder.1"}
    network = name_stages(copy.deepcopy(network), {"encoder/1": "encoder.0", "encoder/2": "encoder.1"})
    opened = name_stages(ExportedProgram().open(dynamic, trust=True), named)
    image = torch.randn(3, 2, 8, 8)
    with torch.no_grad(), catch(opened, named) as maps, catch(network, named) as theirs:
        opened(image), network(image)
    for stage in named:
        torch.testing.assert_close(maps[stage], theirs[stage])

    fixed = name_stages(ExportedProgram().open(static, trust=True), named)
    with torch.no_grad(), catch(fixed, named) as maps, catch(network, named) as theirs:
        fixed(image[:2]), network(image[:2])
    torch.testing.assert_close(maps["encoder/2"], theirs["encoder/2"])
    with pytest.raises(SegdistillError, match=r"batches of 2.*inner maps.*3 images"):
        with catch(fixed, named):
            fixed(image)


def test_a_program_that_cannot_be_unflattened_still_answers(
    network: nn.Module, dynamic: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(program: Any) -> nn.Module:
        raise AssertionError("called twice")

    monkeypatch.setattr(torch.export, "unflatten", refuse)
    opened = ExportedProgram().open(dynamic, trust=True)
    assert "only the stage `logits`" in capsys.readouterr().err
    image = torch.randn(2, 2, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(opened.train().eval()(image), network(image))
    assert stage_names(opened) == ("logits",)
    with pytest.raises(SegdistillError, match="does not take images of shape"):
        opened(torch.randn(1, 2, 7, 8))


def test_other_outputs_and_inputs(tmp_path: Path) -> None:
    image = torch.randn(2, 1, 4, 4)
    heads = ExportedProgram().open(saved(Plain("list"), tmp_path / "list.pt2", image), trust=True)
    assert heads(image).shape == (2, 2, 4, 4)
    by_name = ExportedProgram().open(saved(Plain(), tmp_path / "name.pt2", image, image=image), trust=True)
    assert by_name(image).shape == (2, 2, 4, 4)
    soft = saved(Plain("softmax"), tmp_path / "soft.pt2", image)
    with pytest.raises(SegdistillError, match="ending: softmax"):
        ExportedProgram().open(soft, trust=True)(image)
    opened = ExportedProgram(ending="softmax").open(soft, trust=True)
    torch.testing.assert_close(opened(image).softmax(1), opened.program(image))
    labels = ExportedProgram().open(saved(Plain("argmax"), tmp_path / "labels.pt2", image), trust=True)
    with pytest.raises(SegdistillError, match="one map of logits for each class"):
        labels(image)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(Two(), (image, image)), tmp_path / "two.pt2")
    with pytest.raises(SegdistillError, match=r"2 inputs \(image \[2, 1, 4, 4\], site \[2, 1, 4, 4\]\)"):
        ExportedProgram().open(tmp_path / "two.pt2", trust=True)


class Touch:
    """A pickle that would make a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled_without_trust(static: Path, tmp_path: Path) -> None:
    ran, path, content = tmp_path / "ran", tmp_path / "teacher.pt2", io.BytesIO()
    torch.save((Touch(ran),), content)
    with zipfile.ZipFile(static) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            evil = name.endswith("sample_inputs/model.pt")
            target.writestr(name, content.getvalue() if evil else source.read(name))
    assert ExportedProgram.recognises(path)
    with pytest.raises(SegdistillError, match=r"can run code when it is loaded; it was not loaded.*--trust"):
        ExportedProgram().open(path)
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["zip", "bare"])
def test_a_pickle_is_refused_even_when_trusted(tmp_path: Path, kind: str) -> None:
    ran, path = tmp_path / "ran", tmp_path / "teacher.pt2"
    if kind == "zip":
        torch.save(Touch(ran), path)
    else:
        path.write_bytes(pickle.dumps(Touch(ran)))
    assert not ExportedProgram.recognises(path)
    with pytest.raises(SegdistillError, match=r"no file of torch\.export"):
        ExportedProgram().open(path, trust=True)
    assert not ran.exists()


def test_damaged_and_missing_files(static: Path, tmp_path: Path) -> None:
    whole, path = static.read_bytes(), tmp_path / "short.pt2"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SegdistillError, match=r"short.pt2 is damaged"):
        ExportedProgram().open(path, trust=True)
    with pytest.raises(SegdistillError, match="no such file"):
        ExportedProgram().open(tmp_path / "none.pt2", trust=True)
    with zipfile.ZipFile(static) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, b"{}" if name.endswith("models/model.json") else source.read(name))
    with pytest.raises(SegdistillError, match="cannot be loaded by torch"):
        ExportedProgram().open(path, trust=True)
