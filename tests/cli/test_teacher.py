"""`segdistill teacher inspect`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

Command = Callable[..., Any]
Refused = Callable[..., str]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        return self.up(self.down(image).relu())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A TorchScript file and a torch.export program."""
    found = {"script": tmp_path / "net.pt", "program": tmp_path / "net.pt2"}
    example = torch.zeros(1, 2, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and torch.export warns of its own parts
        torch.jit.trace(Net(), example).save(str(found["script"]))
        torch.export.save(torch.export.export(Net().eval(), (example,)), found["program"])
    return found


def inspected(segdistill: Command, *words: object) -> Any:
    answer = segdistill("teacher", "inspect", *words, "--json")
    assert answer.code == 0, answer
    return json.loads(answer.out)


def test_a_run(segdistill: Command, trained: Any) -> None:
    told = inspected(segdistill, trained.run)
    assert (told["kind"], told["network"], told["window"]) == ("run", "UNet", [8, 8, 8])
    assert told["channels"] == ["CT", "PET"] and told["classes"] == ["tumour"] and not told["regions"]
    assert told["trained_on"] == 3 and told["parameters"] > 0
    stages = {row["name"]: (row["channels"], row["stride"]) for row in told["stages"]}
    assert stages["encoder/2"] == (4, [2, 2, 2]) and stages["logits"] == (2, [1, 1, 1])
    table = segdistill("teacher", "inspect", trained.run).out
    assert f"network         UNet, {told['parameters']:,} parameters" in table
    for text in ("channels        CT, PET", "classes         tumour", "window          8 x 8 x 8",
                 "trained on      3 cases", "encoder/2", "2 x 2 x 2", "decoder/last = decoder/1"):  # fmt: skip
        assert text in table
    assert f"validation Dice {told['score']:.3f}" in table, "a Dice of 0 is said, too"


def test_a_torchscript_file(segdistill: Command, refused: Refused, files: dict[str, Path]) -> None:
    told = inspected(segdistill, files["script"], "--size", "16,16", "--channels", "2")
    assert told["kind"] == "torchscript"
    assert told["stages"] == [{"name": "logits", "channels": 3, "stride": [1, 1]}]
    table = segdistill("teacher", "inspect", files["script"], "--size", "16,16", "--channels", 2).out
    assert "channels        not said" in table and "validation Dice not said" in table and "logits" in table
    refused(
        "teacher", "inspect", files["script"], told=["does not say what it takes", "--size and --channels"]
    )
    refused("teacher", "inspect", files["script"], "--size", "16", "--channels", 2, told=["net.pt"])
    refused("teacher", "inspect", files["script"], "--size", "16,16", "--channels", 3, told=["net.pt"])


def test_a_program(segdistill: Command, refused: Refused, files: dict[str, Path]) -> None:
    refused("teacher", "inspect", files["program"], told=["net.pt2", "--trust"])
    told = inspected(segdistill, files["program"], "--trust")
    assert told["kind"] == "exported_program" and told["window"] == [16, 16] and told["by_shape"]
    assert {"name": "encoder/2", "channels": 4, "stride": [2, 2]} in told["stages"]
    table = segdistill("teacher", "inspect", files["program"], "--trust").out
    assert "stages, named by the sizes of its maps:" in table and "encoder/2" in table


def test_soft_predictions(segdistill: Command) -> None:
    Path("soft").mkdir()
    np.save("soft/a.npy", np.zeros((2, 4, 4), np.float32))
    told = inspected(segdistill, "soft", "classes=[lesion]")
    assert told["kind"] == "soft_predictions" and told["classes"] == ["lesion"] and told["stages"] == []
    table = segdistill("teacher", "inspect", "soft", "type=soft_predictions").out
    assert "it is no network: only its logits can be learnt from" in table


def test_what_cannot_be_looked_at(refused: Refused, files: dict[str, Path], trained: Any) -> None:
    refused("teacher", "inspect", "gone", told=["gone: no such file or folder"])
    Path("notes.txt").write_text("a")
    refused("teacher", "inspect", "notes.txt", told=["notes.txt is no teacher that is known here"])
    refused("teacher", "inspect", "notes.txt", "type=rnn", told=["rnn"])
    refused("teacher", "inspect", trained.run, "folds=[0]", told=["folds"])
    refused(
        "teacher", "inspect", files["script"], "--size", "a,b", told=["--size: 'a,b' is no list of voxels"]
    )
    refused("teacher", "inspect", files["script"], "--size", "0,0", "--channels", 2, told=["0, 0"])
    trained.interrupt()
    refused("teacher", "inspect", trained.run, told=["runs/teacher is not finished", "--resume"])
