"""ONNX teachers: the answers of the network that was exported, at the sizes that the file takes."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from segdistill.errors import SegdistillError
from segdistill.evaluation.sliding_window import predict_logits
from segdistill.networks.stages import catch, stage_names
from segdistill.networks.unet import UNet
from segdistill.teachers.files.onnx_file import OnnxFile
from segdistill.teachers.files.onnx_weights import onnx_weights


def exported(network: nn.Module, path: Path, size: Sequence[int], dynamic: bool = True) -> Path:
    axes = {0: "batch"} | {axis: f"side{axis}" for axis in range(2, len(size))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of itself and of the networks
        torch.onnx.export(
            network, (torch.randn(*size),), str(path), dynamo=False, input_names=["image"], output_names=["logits"],
            dynamic_axes={"image": axes, "logits": axes} if dynamic else None,
        )  # fmt: skip
    return path


def model(
    path: Path, nodes: list[Any], inputs: dict[str, list[Any]], outputs: dict[str, Any], kind: int = 1
) -> Path:
    """A file made by hand; sizes that are strings are free."""
    graph = helper.make_graph(
        nodes,
        "hand",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, what, shape) for name, (what, shape) in outputs.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    return path


FREE = ["batch", 1, "x", "y"]
TWO = ["batch", 2, "x", "y"]


@pytest.mark.parametrize("space", [2, 3])
def test_says_what_the_network_says_at_any_size(tmp_path: Path, space: int) -> None:
    network = UNet(space, 2, 3, channels=(2, 4)).eval()
    path = exported(network, tmp_path / "teacher.onnx", (1, 2, *[8] * space))
    assert OnnxFile.recognises(path)
    opened = OnnxFile().open(path)
    assert (opened.image_size, opened.in_channels, opened.batch_size) == (None, 2, None)
    image = torch.randn(2, 2, *range(8, 8 + 4 * space, 4))
    with torch.no_grad():
        torch.testing.assert_close(opened(image), network(image), rtol=1e-4, atol=1e-5)
    assert predict_logits(opened, torch.randn(2, *[12] * space), [8] * space).shape == (3, *[12] * space)
    assert stage_names(opened) == ("logits",)
    with (
        pytest.raises(ValueError, match="no stage 'encoder/4'; it has: logits"),
        catch(opened, ["encoder/4"]),
    ):
        pass


def test_a_fixed_file_tells_its_size_and_runs_in_portions(tmp_path: Path) -> None:
    network = UNet(2, 2, 3, channels=(2, 4)).eval()
    opened = OnnxFile().open(exported(network, tmp_path / "teacher.onnx", (2, 2, 8, 12), dynamic=False))
    assert (opened.image_size, opened.in_channels, opened.batch_size) == ((8, 12), 2, 2)
    with torch.no_grad():
        for batch in (1, 2, 5):
            image = torch.randn(batch, 2, 8, 12)
            torch.testing.assert_close(opened(image), network(image), rtol=1e-4, atol=1e-5)
    with pytest.raises(SegdistillError, match=r"exported for images of \[8, 12\].*given \[8, 8\]"):
        opened(torch.randn(1, 2, 8, 8))
    with pytest.raises(SegdistillError, match=r"images of 2 channel\(s\), it was given 1"):
        opened(torch.randn(1, 1, 8, 12))


@pytest.mark.slow
def test_the_exporter_of_today(tmp_path: Path) -> None:
    network = UNet(2, 1, 2, channels=(2, 4)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.randn(1, 1, 8, 8),), str(tmp_path / "a.onnx"), verbose=False)
    opened = OnnxFile().open(tmp_path / "a.onnx")
    image = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(opened(image), network(image), rtol=1e-4, atol=1e-5)


def test_copies_and_pickles_open_the_file_again(tmp_path: Path) -> None:
    opened = OnnxFile().open(exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4)))
    image = torch.randn(1, 1, 4, 4)
    for again in (copy.deepcopy(opened), pickle.loads(pickle.dumps(opened))):
        torch.testing.assert_close(again(image), opened(image))


def test_its_text_tells_files_apart(tmp_path: Path) -> None:
    first = exported(nn.Conv2d(1, 2, 1), tmp_path / "a.onnx", (1, 1, 4, 4))
    other = exported(nn.Conv2d(1, 2, 1), tmp_path / "b.onnx", (1, 1, 4, 4))
    (tmp_path / "copy.onnx").write_bytes(first.read_bytes())
    text = str(OnnxFile().open(first))
    assert str(OnnxFile().open(tmp_path / "copy.onnx")) == text != str(OnnxFile().open(other))
    assert str(OnnxFile(ending="softmax").open(first)) != text

    outside = tmp_path / "outside.onnx"
    onnx.save_model(onnx.load(first), outside, save_as_external_data=True, location="w.bin", size_threshold=0)
    text = str(OnnxFile().open(outside))
    content = bytearray((tmp_path / "w.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "w.bin").write_bytes(content)
    assert str(OnnxFile().open(outside)) != text


@pytest.mark.parametrize("where", ["inside/w.bin", f"{'long' * 50}.bin", "inside/" * 20 + "w.bin"])
def test_its_text_follows_weights_wherever_they_lie(tmp_path: Path, where: str) -> None:
    path, weights = tmp_path / "teacher.onnx", tmp_path / where
    weights.parent.mkdir(parents=True, exist_ok=True)
    network = onnx.load(exported(nn.Conv2d(1, 2, 1), tmp_path / "whole.onnx", (1, 1, 4, 4)))
    helper.set_model_props(network, {"location": "a hospital"})
    onnx.save_model(network, path, save_as_external_data=True, location=where, size_threshold=0)
    (tmp_path / "unrelated.bin").write_bytes(b"1")
    text = str(OnnxFile().open(path))
    (tmp_path / "unrelated.bin").write_bytes(b"2")
    assert str(OnnxFile().open(path)) == text
    content = bytearray(weights.read_bytes())
    content[0] ^= 1
    weights.write_bytes(content)
    assert str(OnnxFile().open(path)) != text


@pytest.mark.parametrize("where", ["../w.bin", "/tmp/w.bin", "a/../../w.bin", "C:\\w.bin", "..\\w.bin"])
def test_weights_outside_of_its_folder_are_refused(tmp_path: Path, where: str) -> None:
    network = onnx.load(exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4)))
    for tensor in network.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, where)
    path = tmp_path / "outside.onnx"
    path.write_bytes(network.SerializeToString())
    with pytest.raises(SegdistillError, match="outside of its folder"):
        onnx_weights(path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    network = onnx.load(exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4)))
    assert onnx_weights(tmp_path / "teacher.onnx") == {}
    path = tmp_path / "outside.onnx"
    onnx.save_model(network, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert onnx_weights(path) == {"w.bin": tmp_path / "w.bin"}
    (tmp_path / "w.bin").unlink()
    with pytest.raises(SegdistillError, match=r"its weights lie in w\.bin, which is not there"):
        onnx_weights(path)


def test_it_takes_the_threads_of_torch(tmp_path: Path) -> None:
    opened = OnnxFile().open(exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4)))
    assert opened._session.get_session_options().intra_op_num_threads == torch.get_num_threads()


def test_half_precision(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["image", "image"], ["logits"], axis=1)]
    half = TensorProto.FLOAT16
    path = model(tmp_path / "half.onnx", nodes, {"image": FREE}, {"logits": (half, TWO)}, half)
    found = OnnxFile().open(path)(torch.full((1, 1, 2, 2), 0.1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full((1, 2, 2, 2), float(np.float16(0.1))))


def test_several_outputs(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Concat", ["image", "image"], ["logits"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1),
    ]
    outputs = {"mean": (1, ["batch", 1, 1, 1]), "logits": (1, TWO), "label": (7, ["batch", 1, "x", "y"])}
    path = model(tmp_path / "many.onnx", nodes, {"image": FREE}, outputs)
    image = torch.randn(1, 1, 3, 4)
    with pytest.raises(SegdistillError, match=r"\(1, 1, 1, 1\) for images of shape \(1, 1, 3, 4\)"):
        OnnxFile().open(path)(image)
    torch.testing.assert_close(OnnxFile(output="logits").open(path)(image), image.expand(1, 2, 3, 4))
    with pytest.raises(SegdistillError, match="labels and no logits"):
        OnnxFile(output="label").open(path)(image)
    with pytest.raises(SegdistillError, match="no output 'logit'; it has: mean"):
        OnnxFile(output="logit").open(path)

    fixed = {"mean": (1, [1, 1, 1, 1]), "logits": (1, [1, 2, 3, 4])}
    path = model(tmp_path / "fixed.onnx", nodes[:2], {"image": [1, 1, 3, 4]}, fixed)
    with pytest.raises(
        SegdistillError, match=r"'mean' of shape \[1, 1, 1, 1\] is no map of its input's size.*logits"
    ):
        OnnxFile().open(path)


def test_inputs_that_are_no_image(tmp_path: Path) -> None:
    add = [helper.make_node("Add", ["image", "site"], ["logits"])]
    two = model(tmp_path / "two.onnx", add, {"image": FREE, "site": [1]}, {"logits": (1, FREE)})
    with pytest.raises(SegdistillError, match=r"2 inputs \(image .*site \[1\]\)"):
        OnnxFile().open(two)
    same = [helper.make_node("Identity", ["image"], ["logits"])]
    flat = model(tmp_path / "flat.onnx", same, {"image": [1, 8]}, {"logits": (1, [1, 8])})
    with pytest.raises(SegdistillError, match=r"input of shape \[1, 8\].*no \(batch, channel"):
        OnnxFile().open(flat)
    whole = model(tmp_path / "whole.onnx", same, {"image": FREE}, {"logits": (6, FREE)}, TensorProto.INT32)
    with pytest.raises(SegdistillError, match=r"'image' is tensor\(int32\)"):
        OnnxFile().open(whole)


def test_an_ending_is_undone(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Neg", ["image"], ["minus"]),
        helper.make_node("Concat", ["image", "minus"], ["both"], axis=1),
        helper.make_node("Softmax", ["both"], ["soft"], axis=1),
    ]
    path = model(tmp_path / "soft.onnx", nodes, {"image": FREE}, {"soft": (1, TWO)})
    image = torch.randn(1, 1, 3, 4)
    with pytest.raises(SegdistillError, match="ending: softmax"):
        OnnxFile().open(path)(image)
    found = OnnxFile(ending="softmax").open(path)(image)
    torch.testing.assert_close(found.softmax(1), torch.cat([image, -image], 1).softmax(1))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match="no such file"):
        OnnxFile().open(tmp_path / "none.onnx")
    path = exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4))
    short = tmp_path / "short.onnx"
    for content in (path.read_bytes()[:-20], b"", pickle.dumps({"a": 1}), b"PK\x03\x04"):
        short.write_bytes(content)
        with pytest.raises(SegdistillError, match=r"short.onnx is damaged or no ONNX file"):
            OnnxFile().open(short)
    onnx.save_model(
        onnx.load(path),
        tmp_path / "outside.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert OnnxFile().open(tmp_path / "outside.onnx")(torch.randn(1, 1, 2, 2)).shape == (1, 2, 2, 2)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(SegdistillError, match=r"its weights lie in a file of their own.*weights.bin"):
        OnnxFile().open(tmp_path / "outside.onnx")


def test_without_onnxruntime_or_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4))
    runtime = importlib.import_module("onnxruntime")
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SegdistillError, match="has no CUDA"):
        OnnxFile(runs_on="cuda").open(path)

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SegdistillError, match=r"pip install 'segdistill\[export\]'"):
        OnnxFile().open(path)


def test_images_keep_their_gradient_out(tmp_path: Path) -> None:
    opened = OnnxFile().open(exported(nn.Conv2d(1, 2, 1), tmp_path / "teacher.onnx", (1, 1, 4, 4)))
    image: Tensor = torch.randn(1, 1, 4, 4, requires_grad=True)
    assert not opened(image).requires_grad
