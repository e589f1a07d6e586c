"""Which cases are shown, with what, and in which order."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.viewer.cases import Gallery, gather


def titles(gallery: Gallery, number: int = 0) -> list[str]:
    return [layer.title for layer in gallery.cases[number].layers]


def test_the_worst_case_comes_first(home: Any) -> None:
    gallery = gather(home.run)
    assert sorted(case.id for case in gallery.cases) == home.cases
    means = [case.mean for case in gallery.cases]
    assert means == sorted(means) and len(set(means)) == len(means) > 1


def test_a_case_without_a_figure_comes_last(home: Any) -> None:
    metrics = home.run / "metrics.json"
    told = json.loads(metrics.read_text())
    gone = gather(home.run).cases[0].id
    told["cases"] = [row for row in told["cases"] if row["case"] != gone]
    metrics.write_text(json.dumps(told))
    assert gather(home.run).cases[-1].id == gone
    metrics.unlink()
    assert [case.id for case in gather(home.run).cases] == home.cases


def test_channels_reference_answers_and_differences(home: Any) -> None:
    gallery = gather(home.run, beside=[Path("runs/hinton_alone")])
    assert titles(gallery) == [
        "CT", "PET", "Reference", "Student", "Difference: Student", "Teacher", "Difference: Teacher", "hinton_alone",
        "Difference: hinton_alone",
    ]  # fmt: skip
    for case in gallery.cases:
        found = {
            layer.title: np.asarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(layer.read())).dataobj)
            for layer in case.layers
        }
        reference, student = home.reference(case.id), home.mask(case.id)
        np.testing.assert_array_equal(found["Reference"], reference)
        np.testing.assert_array_equal(found["Student"], student)
        np.testing.assert_array_equal(found["Teacher"], home.mask(case.id, "teacher"))
        difference = found["Difference: Student"]
        np.testing.assert_array_equal(difference == 1, (reference == 1) & (student == 0))
        np.testing.assert_array_equal(difference == 2, (reference == 0) & (student == 1))
        assert set(case.dice) == {"Student", "Teacher", "hinton_alone"}
    assert gallery.left_out == ()


def test_figures_are_those_of_metrics_json(home: Any) -> None:
    rows = json.loads((home.path / "runs" / "teacher" / "metrics.json").read_text())["cases"]
    for case in gather(home.run).cases:
        (dice,) = [row["dice"] for row in rows if row["case"] == case.id]
        assert case.dice["Teacher"]["tumour"] == pytest.approx(dice or 0)


def test_only_the_cases_asked_for(home: Any) -> None:
    one = home.cases[1]
    assert [case.id for case in gather(home.run, cases=[one, one]).cases] == [one]


def test_a_validation_case_is_called_so(home: Any, command: Any) -> None:
    assert command("evaluate", "runs/hinton", "--subset", "validation").code == 0
    (validation,) = json.loads((home.run / "splits.json").read_text())["validation"][:1]
    case = gather(home.run, cases=[validation]).cases[0]
    assert "validation case" in case.notes[0] and case.mean == case.mean
    assert all(not one.notes for one in gather(home.run).cases if one.id in home.cases and one.mean > 0.5)


def test_a_teacher_that_had_learnt_from_a_case_is_named(home: Any) -> None:
    told, case = json.loads((home.run / "run.json").read_text()), home.cases[0]
    (home.run / "run.json").write_text(json.dumps(told | {"taught_on": {"teacher": [case]}}))
    notes = {one.id: one.notes for one in gather(home.run).cases}
    assert "Teacher teacher had learnt from this case" in notes[case][0]
    assert sum(map(len, notes.values())) == 1


def test_runs_that_were_moved_together_are_found(home: Any, tmp_path: Path) -> None:
    shutil.move(home.path / "runs", tmp_path / "elsewhere")
    shutil.move(home.path / "data", tmp_path / "elsewhere" / "data")
    assert "Teacher" in titles(gather(tmp_path / "elsewhere" / "hinton"))


def test_what_is_left_out_is_said(home: Any) -> None:
    shutil.rmtree(home.path / "runs" / "teacher" / "predictions")
    gallery = gather(home.run)
    assert titles(gallery) == ["CT", "PET", "Reference", "Student", "Difference: Student"]
    assert "segdistill evaluate" in gallery.left_out[0]
    shutil.rmtree(home.path / "runs" / "teacher")
    assert "no run folder" in gather(home.run).left_out[0]


def test_a_mask_on_another_grid_is_left_out(home: Any) -> None:
    case = home.cases[0]
    mask = home.path / "runs" / "teacher" / "predictions" / f"{case}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 4), np.uint8), np.eye(4)), mask)
    (shown,) = gather(home.run, cases=[case]).cases
    assert "Teacher" not in [layer.title for layer in shown.layers]


def test_a_run_on_other_images_is_refused(home: Any) -> None:
    told = json.loads((home.path / "runs" / "hinton_alone" / "run.json").read_text())
    told["dataset"]["name"] = "other"
    (home.path / "runs" / "hinton_alone" / "run.json").write_text(json.dumps(told))
    with pytest.raises(SegdistillError, match="other images"):
        gather(home.run, beside=[Path("runs/hinton_alone")])
