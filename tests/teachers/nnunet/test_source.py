"""What a trained configuration answers, against its network asked directly."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segdistill.errors import SegdistillError
from segdistill.networks.stages import catch
from segdistill.teachers.nnunet import NnunetFolder
from segdistill.teachers.source import Asking

Write = Callable[..., Path]
UNTOUCHED = {"normalization_schemes": ["NoNormalization"]}


def test_logits_of_an_image_of_one_window(write: Write, tiny: SimpleNamespace) -> None:
    answer = NnunetFolder().open(write(**UNTOUCHED)).answer(tiny.case((8, 8, 8)), ["logits"], Asking())
    turned = torch.from_numpy(tiny.case((8, 8, 8)).image.transpose(0, 3, 2, 1).copy())
    with torch.no_grad():
        expected = tiny.network(3, 1, 3, seed=0)(turned[None])[0]
    torch.testing.assert_close(answer.maps["logits"], expected, atol=1e-5, rtol=1e-4)
    assert answer.strides == {"logits": (1, 1, 1)}
    np.testing.assert_allclose(answer.to_original[:3, :3], np.eye(3)[::-1])


def test_folds_are_averaged_in_logits(write: Write, tiny: SimpleNamespace) -> None:
    folder, case = write(folds=(0, 1, 2)), tiny.case((12, 9, 11))
    together = NnunetFolder().open(folder).answer(case, [], Asking()).maps["logits"]
    alone = [
        NnunetFolder(folds=(k,)).open(folder).answer(case, [], Asking()).maps["logits"] for k in range(3)
    ]
    torch.testing.assert_close(together, torch.stack(alone).mean(0), atol=1e-5, rtol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 0.01


def test_stages_of_one_fold(write: Write, tiny: SimpleNamespace) -> None:
    source = NnunetFolder().open(write(**UNTOUCHED))
    answer = source.answer(tiny.case((8, 8, 8)), ["encoder/2", "logits"], Asking())
    network = source.network
    assert network is not None
    with torch.no_grad(), catch(network, ["encoder/2"]) as maps:
        network(torch.from_numpy(tiny.case((8, 8, 8)).image.transpose(0, 3, 2, 1).copy())[None])
    assert answer.strides["encoder/2"] == (2, 2, 2)
    torch.testing.assert_close(answer.maps["encoder/2"], maps["encoder/2"][0], atol=1e-4, rtol=1e-4)


def test_stages_of_several_folds_are_refused(write: Write, tiny: SimpleNamespace) -> None:
    source = NnunetFolder().open(write(folds=(0, 1)))
    with pytest.raises(SegdistillError, match=r"stages \(encoder/2\) are those of one network.*folds: \[0\]"):
        source.answer(tiny.case((8, 8, 8)), ["encoder/2"], Asking())


def test_an_unknown_stage_is_named(write: Write, tiny: SimpleNamespace) -> None:
    with pytest.raises(SegdistillError, match="no stage 'encoder/64'"):
        NnunetFolder().open(write()).answer(tiny.case((8, 8, 8)), ["encoder/64"], Asking())


def test_mirroring_is_the_mean_over_flips(write: Write, tiny: SimpleNamespace) -> None:
    folder = write(**UNTOUCHED, checkpoint={"inference_allowed_mirroring_axes": (0, 2)})
    answer = NnunetFolder().open(folder).answer(tiny.case((8, 8, 8)), [], Asking(mirror=True))
    image = torch.from_numpy(tiny.case((8, 8, 8)).image.transpose(0, 3, 2, 1).copy())[None]
    network, flips = tiny.network(3, 1, 3, seed=0), [(), (2,), (4,), (2, 4)]
    with torch.no_grad():
        expected = sum(network(image.flip(axes)).flip(axes) for axes in flips) / 4
    torch.testing.assert_close(answer.maps["logits"][None], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("axes", [None, ()])
def test_a_model_that_allows_no_mirroring(
    write: Write, tiny: SimpleNamespace, axes: tuple[int, ...] | None
) -> None:
    source = NnunetFolder().open(write(checkpoint={"inference_allowed_mirroring_axes": axes}))
    plain, mirrored = (source.answer(tiny.case((8, 8, 8)), [], Asking(mirror=m)) for m in (False, True))
    torch.testing.assert_close(plain.maps["logits"], mirrored.maps["logits"])


def test_slices_of_a_volume(write: Write, tiny: SimpleNamespace) -> None:
    case = tiny.case((8, 8, 3), spacing=(1, 1, 5))
    source = NnunetFolder().open(write(dims=2, **UNTOUCHED))
    answer = source.answer(case, ["encoder/2"], Asking())
    network = tiny.network(2, 1, 3, seed=0)
    for z in range(3):
        plane = torch.from_numpy(case.image[:, :, :, z].transpose(0, 2, 1).copy())
        with torch.no_grad():
            expected = network(plane[None])[0]
        torch.testing.assert_close(answer.maps["logits"][:, z], expected, atol=1e-5, rtol=1e-4)
    assert answer.strides == {"encoder/2": (1, 2, 2), "logits": (1, 1, 1)}
    assert answer.maps["encoder/2"].shape == (6, 3, 4, 4)
    assert answer.to_original.shape == (4, 4)


def test_a_photograph(write: Write, tiny: SimpleNamespace) -> None:
    case = tiny.case((8, 8), channels=3)
    folder = write(
        dims=2,
        channels=("R", "G", "B"),
        image_reader_writer="NaturalImage2DIO",
        normalization_schemes=["RGBTo01Normalization"] * 3,
    )
    answer = NnunetFolder().open(folder).answer(case, ["encoder/2"], Asking())
    with torch.no_grad():
        expected = tiny.network(2, 3, 3, seed=0)(torch.from_numpy(case.image / 255)[None])[0]
    torch.testing.assert_close(answer.maps["logits"], expected, atol=1e-5, rtol=1e-4)
    assert answer.strides == {"encoder/2": (2, 2), "logits": (1, 1)}
    np.testing.assert_allclose(answer.to_original, np.eye(3))


def test_regions_have_no_background(write: Write, tiny: SimpleNamespace) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    folder = write(labels=labels, outputs=2, dataset={"regions_class_order": [1, 2]})
    assert NnunetFolder().open(folder).answer(tiny.case((8, 8, 8)), [], Asking()).maps["logits"].shape[0] == 2


def test_the_grid_covers_the_crop(write: Write, tiny: SimpleNamespace) -> None:
    case = tiny.case((12, 14, 16), spacing=(2, 1, 1))
    case.image[:, :3] = 0
    folder = write(spacing=[2.0, 1.0, 1.0])
    answer = NnunetFolder().open(folder).answer(case, [], Asking())
    grid = answer.maps["logits"].shape[1:]
    assert grid == (8, 14, 18)
    corners = np.array([[*corner, 1] for corner in itertools.product(*((-0.5, n - 0.5) for n in grid))]).T
    found = (answer.to_original @ corners)[:3]
    np.testing.assert_allclose(found.min(axis=1), [2.5, -0.5, -0.5])
    np.testing.assert_allclose(found.max(axis=1), [11.5, 13.5, 15.5])


def test_sides_that_are_no_multiple_of_the_window(write: Write, tiny: SimpleNamespace) -> None:
    answer = (
        NnunetFolder()
        .open(write())
        .answer(tiny.case((5, 13, 17)), ["encoder/2", "decoder/1"], Asking(overlap=0.25))
    )
    assert answer.maps["logits"].shape == (3, 17, 13, 5)
    assert answer.maps["encoder/2"].shape == (6, 9, 7, 3)
    assert answer.maps["decoder/1"].shape == (4, 17, 13, 5)
    assert all(each.dtype == torch.float32 for each in answer.maps.values())
