"""Models that need nnU-Net's own code: when they are allowed, where it is found, and how windows are stitched."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from segdistill.errors import SegdistillError
from segdistill.teachers.nnunet import NnunetFolder
from segdistill.teachers.nnunet.foreign import CODE, SCRIPT
from segdistill.teachers.nnunet.foreign_process import starts, stitched
from segdistill.teachers.source import Asking

Write = Callable[..., Path]


@pytest.fixture
def foreign(write: Write) -> Path:
    """A folder whose preprocessing only nnU-Net knows."""
    return write(preprocessor_name="MyPreprocessor")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_trust_nothing_runs(foreign: Path) -> None:
    with pytest.raises(SegdistillError, match=r"preprocessor MyPreprocessor\. .*allow it with --trust"):
        NnunetFolder().open(foreign)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"normalization_schemes": ["MyNormalization"]}, "normalisation MyNormalization"),
        ({"resampling_fn_data": "my_resampling"}, "resampling_fn_data my_resampling"),
        ({"resampling_fn_data_kwargs": {"order": 3, "new": 1}}, "resampling_fn_data_kwargs new"),
        (
            {"architecture": {"network_class_name": "my.Mamba", "arch_kwargs": {}}},
            "the network my.Mamba is not",
        ),
    ],
)
def test_what_needs_nnunets_code(write: Write, changes: dict[str, object], said: str) -> None:
    with pytest.raises(SegdistillError, match=f"{said}.*--trust"):
        NnunetFolder().open(write(**changes))


def test_a_trainer_with_a_network_of_its_own(write: Write, tiny: SimpleNamespace) -> None:
    other = tiny.checkpoint(tiny.network(3, 2, 3, seed=0), "3d_fullres")
    folder = write(checkpoint={**other, "trainer_name": "nnUNetTrainerMine"})
    with pytest.raises(SegdistillError, match=r"the trainer nnUNetTrainerMine made a network .*--trust"):
        NnunetFolder().open(folder)


def test_no_environment(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGDISTILL_NNUNET", raising=False)
    with pytest.raises(SegdistillError, match=r"neither SEGDISTILL_NNUNET nor .venv-nnunet.*`make nnunet`"):
        NnunetFolder().open(foreign, trust=True)
    monkeypatch.setenv("SEGDISTILL_NNUNET", str(tmp_path / "nowhere"))
    with pytest.raises(SegdistillError, match=r"nowhere, which is no file"):
        NnunetFolder().open(foreign, trust=True)


def test_answers_of_another_process(
    write: Write, tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for nnU-Net answers with the image twice, cropped by one voxel."""
    folder = write(preprocessor_name="MyPreprocessor", labels={"background": 0, "front": 1})
    program = tmp_path / "stand_in.py"
    program.write_text(
        "import json, sys, numpy as np\n"
        "print(json.dumps({'ready': True}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    image = np.load(asked['image'])[:, 1:]\n"
        "    np.save(asked['answer'], np.concatenate([image, -image]))\n"
        "    told = {'offset': [1, 0, 0], 'cropped': list(image.shape[1:])}\n"
        "    told = told if asked['spacing'] == [3, 2, 1] else {'error': 'wrong spacing'}\n"
        "    print(json.dumps(told), flush=True)\n"
    )
    python = script(tmp_path / "python", f'exec "{sys.executable}" "{program}"')
    monkeypatch.setenv("SEGDISTILL_NNUNET", str(python))
    source = NnunetFolder().open(folder, trust=True)
    assert source.network is None
    assert source.classes == ("front",)
    for seed in (0, 1):
        case = tiny.case((5, 6, 7), spacing=(1, 2, 3), seed=seed)
        answer = source.answer(case, ["logits"], Asking())
        expected = torch.from_numpy(case.image.transpose(0, 3, 2, 1).copy())[:, 1:]
        torch.testing.assert_close(answer.maps["logits"], torch.cat([expected, -expected]))
        assert answer.to_original @ [0, 0, 0, 1] == pytest.approx([0, 0, 1, 1])
    with pytest.raises(SegdistillError, match="nnU-Net's own code failed: wrong spacing"):
        source.answer(tiny.case((5, 6, 7)), [], Asking())
    (tmp_path / "other").mkdir()
    other = write(preprocessor_name="MyPreprocessor", into=tmp_path / "other")
    with pytest.raises(SegdistillError, match=r"told 2 maps, dataset.json has 3 outputs"):
        NnunetFolder().open(other, trust=True).answer(tiny.case((5, 6, 7), spacing=(1, 2, 3)), [], Asking())
    with pytest.raises(SegdistillError, match="which tells logits alone; asked for encoder/2"):
        source.answer(tiny.case((5, 6, 7)), ["encoder/2"], Asking())


def test_a_process_that_ends(
    foreign: Path, tiny: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = script(tmp_path / "python", "echo no module named nnunetv2 >&2; exit 1")
    monkeypatch.setenv("SEGDISTILL_NNUNET", str(python))
    source = NnunetFolder().open(foreign, trust=True)
    with pytest.raises(SegdistillError, match=r"process has ended \(no module named nnunetv2\)"):
        source.answer(tiny.case((8, 8, 8)), [], Asking())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages of an environment with a stand-in for nnU-Net, which must not be imported."""
    found = tmp_path / "site"
    for package in ("nnunetv2", "my", "other"):
        (found / package / "sub").mkdir(parents=True)
        (found / package / "__init__.py").write_text("raise SystemExit('it was imported')")
        (found / package / "sub" / "code.py").write_text("first = 1")
    (found / "nnunetv2-2.8.1.dist-info").mkdir()
    (found / "nnunetv2-2.8.1.dist-info" / "METADATA").write_text("Name: nnunetv2\nVersion: 2.8.1\n")
    python = script(tmp_path / "python", f'PYTHONPATH="{found}" exec "{sys.executable}" "$@"')
    monkeypatch.setenv("SEGDISTILL_NNUNET", str(python))
    return found


def test_the_identity_is_of_the_code_too(
    write: Write, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of another nnU-Net, fork, preprocessor, trainer or network are not those that were kept."""
    folder = write(architecture={"network_class_name": "my.sub.code.Net", "arch_kwargs": {}})
    trainers = tmp_path / "trainers"
    trainers.mkdir()

    def identity() -> str:
        return NnunetFolder().open(folder, trust=True).identity()

    def differs() -> bool:
        seen.append(identity())
        return seen[-1] not in seen[:-1]

    seen = [identity()]
    assert identity() == seen[0]
    assert int(seen[0], 16) >= 0
    (site / "other" / "sub" / "code.py").write_text("second = 2")  # nothing that this model runs
    assert identity() == seen[0]
    (site / "nnunetv2" / "sub" / "code.py").write_text("second = 2")
    assert differs()
    (site / "nnunetv2" / "sub" / "more.py").write_text("second = 2")
    assert differs()
    (site / "nnunetv2" / "sub" / "more.py").rename(site / "nnunetv2" / "sub" / "moved.py")
    assert differs()
    (site / "my" / "sub" / "code.py").write_text("second = 2")
    assert differs()
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers))
    (trainers / "mine.py").write_text("first = 1")
    assert differs()
    (trainers / "mine.py").write_text("second = 2")
    assert differs()
    (site / "nnunetv2-2.8.1.dist-info" / "METADATA").write_text("Name: nnunetv2\nVersion: 2.8.2\n")
    assert differs()
    moved = site.rename(tmp_path / "moved")  # where it lies does not matter
    script(tmp_path / "python", f'PYTHONPATH="{moved}" exec "{sys.executable}" "$@"')
    assert not differs()


def test_the_environment_is_asked_once(
    foreign: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = NnunetFolder().open(foreign, trust=True)
    before = source.identity()
    (tmp_path / "python").unlink()
    assert source.identity() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'exec "{sys.executable}" -I "$@"', "has no nnunetv2"),
        ("echo it is broken >&2; exit 1", "it is broken"),
        ("echo '{\"ready\": true}'", "it said nothing"),
        ("echo no JSON", "Expecting value"),
    ],
)
def test_an_environment_that_does_not_tell_its_code(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("SEGDISTILL_NNUNET", str(script(tmp_path / "python", text)))
    source = NnunetFolder().open(foreign, trust=True)
    with pytest.raises(SegdistillError, match=rf"python does not tell what code .*\({'.*' + said}"):
        source.identity()


@pytest.mark.parametrize("program", [SCRIPT, CODE])
def test_the_scripts_need_nothing_of_ours(program: Path) -> None:
    text = program.read_text(encoding="utf-8")
    assert "import segdistill" not in text
    assert "from segdistill" not in text
    assert "monai" not in text


@pytest.mark.parametrize(
    ("size", "patch"), [((9, 10, 11), (4, 6, 8)), ((3, 5, 6), (4, 6, 8)), ((3, 9, 10), (4, 6))]
)
def test_stitching_is_exact(size: tuple[int, ...], patch: tuple[int, ...]) -> None:
    """A network that looks at one voxel: windows must leave no trace."""
    image = torch.randn(2, *size)

    def predict(windows: torch.Tensor) -> torch.Tensor:
        assert windows.shape[2:] == patch
        return torch.stack([windows[:, 0], windows[:, 1] - 1, windows.sum(1)], 1)

    found = stitched(predict, image, patch, 0.5, 3)
    torch.testing.assert_close(
        found, torch.stack([image[0], image[1] - 1, image.sum(0)]), atol=1e-5, rtol=1e-5
    )


def test_windows_reach_from_end_to_end() -> None:
    assert list(starts((110, 64), (64, 64), 0.5)) == [(0, 0), (23, 0), (46, 0)]
    assert json.dumps(list(starts((8,), (8,), 0.5))) == "[[0]]"
