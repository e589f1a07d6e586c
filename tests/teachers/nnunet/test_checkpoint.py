"""Weights are read; code is not run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from segdistill.errors import SegdistillError
from segdistill.teachers.nnunet.checkpoint import load


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_checkpoint_of_nnunet_is_read(tiny: SimpleNamespace, tmp_path: Path) -> None:
    network = tiny.network(3, 1, 3, seed=0)
    content = tiny.checkpoint(network, "3d_fullres")
    content["logging"]["array"] = np.arange(3.0)
    torch.save(content, tmp_path / "a.pth")
    found = load(tmp_path / "a.pth")
    assert found.weights.keys() == network.state_dict().keys()
    assert found.mirroring == (0, 1, 2)
    assert (found.trainer, found.configuration) == ("nnUNetTrainer", "3d_fullres")


def test_numbers_of_older_numpy_are_read(tiny: SimpleNamespace, tmp_path: Path) -> None:
    content = tiny.checkpoint(tiny.network(3, 1, 3, seed=0), "3d_fullres")
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "a.pth").read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in old
    (tmp_path / "a.pth").write_bytes(old)
    assert load(tmp_path / "a.pth").configuration == "3d_fullres"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["logging", "network_weights", "init_args"])
def test_a_pickle_with_code_is_refused_and_nothing_runs(
    tiny: SimpleNamespace, tmp_path: Path, place: str, zipped: bool
) -> None:
    content = tiny.checkpoint(tiny.network(3, 1, 3, seed=0), "3d_fullres")
    content[place] = {"x": Bomb(tmp_path / "ran")}
    torch.save(content, tmp_path / "bad.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(SegdistillError, match=r"bad.pth was not read: .* asks for \w+\.mkdir.*--trust"):
        load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_a_bare_pickle_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(SegdistillError, match=r"bad.pth"):
        load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_the_allowed_numbers_carry_no_code(tmp_path: Path) -> None:
    """numpy's own way to make a number out of a pickle is allowed; it cannot be turned on another function."""
    content = {"network_weights": {"x": np.array([Bomb(tmp_path / "ran")], dtype=object)}}
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(SegdistillError, match=r"bad.pth"):
        load(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_class_needs_trust(tiny: SimpleNamespace, tmp_path: Path) -> None:
    content = {**tiny.checkpoint(tiny.network(3, 1, 3, seed=0), "2d"), "own": os.stat_result(range(10))}
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(SegdistillError, match=r"stat_result.*--trust"):
        load(tmp_path / "a.pth")
    assert load(tmp_path / "a.pth", trust=True).mirroring == (0, 1)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_prefixes_of_compiled_and_parallel_networks_go(
    tiny: SimpleNamespace, tmp_path: Path, prefix: str
) -> None:
    network = tiny.network(3, 1, 3, seed=0)
    content = tiny.checkpoint(network, "3d_fullres")
    content["network_weights"] = {prefix + name: t for name, t in network.state_dict().items()}
    torch.save(content, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth").weights.keys() == network.state_dict().keys()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"\x80\x02}."])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(SegdistillError, match=r"a\.pth"):
        load(tmp_path / "a.pth")


@pytest.mark.parametrize("axes", [5, "01", ["x"], [0.5], [3], [-1], [[0]]])
def test_axes_of_another_format(tiny: SimpleNamespace, tmp_path: Path, axes: object) -> None:
    content = tiny.checkpoint(tiny.network(3, 1, 3, seed=0), "3d_fullres")
    torch.save({**content, "inference_allowed_mirroring_axes": axes}, tmp_path / "a.pth")
    with pytest.raises(SegdistillError, match=r"^\S*a\.pth .*inference_allowed_mirroring_axes .*$"):
        load(tmp_path / "a.pth")


def test_no_axes(tiny: SimpleNamespace, tmp_path: Path) -> None:
    content = tiny.checkpoint(tiny.network(3, 1, 3, seed=0), "3d_fullres")
    torch.save({**content, "inference_allowed_mirroring_axes": None}, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth").mirroring == ()


@pytest.mark.parametrize("value", [3, None, [1.0], np.float32(1)])
def test_weights_that_are_no_tensors(tmp_path: Path, value: object) -> None:
    torch.save({"network_weights": {"a": value}}, tmp_path / "a.pth")
    with pytest.raises(SegdistillError, match=r"^\S*a\.pth .*: a of its network_weights is no tensor$"):
        load(tmp_path / "a.pth")


def test_another_checkpoint_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    with pytest.raises(SegdistillError, match="no checkpoint of nnU-Net v2: it has no network_weights"):
        load(tmp_path / "a.pth")
