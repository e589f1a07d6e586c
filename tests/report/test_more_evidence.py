"""Calibration, lesions and sites in the report: from what metrics.json has of them, and quietly without."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segdistill.errors import SegdistillError
from segdistill.evaluation.calibration import Bins
from segdistill.evaluation.lesions import case_lesions
from segdistill.report import build
from segdistill.report.exports import evidence_json, table_csv
from segdistill.report.figures import Figure, Missing, lesion_size, reliability
from segdistill.report.gather import gather
from segdistill.report.run_folder import read_run
from segdistill.report.tables import calibration, sites
from segdistill.report.tables.lesions import names_of_sizes, tabulate

CASES = ("A_1", "A_2", "B_1", "B_2", "B_3")


def more(run: Path, **added: Any) -> Path:
    file = run / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | added))
    return run


def sure(confidence: float, accuracy: float) -> dict[str, Any]:
    """A thousand voxels of one confidence."""
    right = np.arange(1000) < 1000 * accuracy
    near = Bins.of(np.full(1000, confidence), right, np.full(1000, 0.5)).to_dict()
    return {**near, "image": Bins.of(np.ones(9), np.ones(9, bool), np.zeros(9)).to_dict()}


def lesions(case: str, sizes: list[int], found: int, alarms: int) -> dict[str, Any]:
    """Lesions in a row of voxels, the first `found` of which are found, and single voxels that are none."""
    reference, prediction = np.zeros((1, 1, 400), np.int16), np.zeros((1, 1, 400), np.int16)
    place = 0
    for number, size in enumerate(sizes):
        reference[0, 0, place : place + size] = 1
        prediction[0, 0, place : place + size] = number < found
        place += size + 2
    prediction[0, 0, 300 : 300 + 2 * alarms : 2] = 1
    return {"case": case, **case_lesions(prediction, reference, (1.0, 1.0), ["tumour"])[0]}


@pytest.fixture
def runs(make_run: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """A student alone and a distilled one with two seeds; the distilled one is better at everything."""
    made = []
    for role, dice in (("alone", 0.5), ("distilled", 0.6)):
        for seed in range(2):
            scores = {
                case: {"tumour": dice + 0.1 * case.startswith("A") + 0.02 * number}
                for number, case in enumerate(CASES)
            }
            run = make_run(tmp_path / "runs" / f"{role}_{seed}", kind=role, network="unet", scores=scores, seed=seed,
                           method="hinton" if role == "distilled" else "student_alone")  # fmt: skip
            better = role == "distilled"
            more(
                run,
                calibration=[{"case": c, **sure(0.9, 0.85 if better else 0.7 - 0.1 * seed)} for c in CASES],
                lesions=[lesions(c, [20, 8, 2], 3 if better else 1, 0 if better else 2) for c in CASES],
            )
            recipe = run / "recipe.yaml"
            recipe.write_text(recipe.read_text().replace("data:\n", "data:\n  sites: ^[A-Z]\n"))
            made.append(run)
    return made


def test_calibration_is_the_mean_over_cases_with_the_spread_over_seeds(runs: list[Path]) -> None:
    table = calibration.tabulate(gather(runs))
    assert table is not None
    alone, distilled = (group.rows[0].cells for group in table.groups)
    assert [cell.text for cell in distilled[1:]] == ["5.0", "0.500", "0.00", "0.000"]
    assert (alone[1].text, alone[1].extra) == ("25.0", "± 7.1")  # 20 and 30
    assert table.groups[1].rows[0].marked


def test_the_reliability_diagram_pools_voxels(runs: list[Path]) -> None:
    figure = reliability.draw(gather(runs))
    assert isinstance(figure, Figure) and figure.svg is not None
    assert "S1 hinton: ECE 5.0 %" in figure.alt and "S1 alone: ECE 25.0 %" in figure.alt
    assert figure.name == "reliability"


def test_lesions_are_counted_by_size(runs: list[Path]) -> None:
    evidence = gather(runs)
    table = tabulate(evidence)
    assert table is not None
    titles = [column.title for column in table.columns]
    assert titles[1:6] == ["Lesions", "Recall", "False alarms per case", "Lesion Dice", "F1"]
    assert titles[6:] == ["F1, small", "F1, middle", "F1, large"]
    alone, distilled = (group.rows[0].cells for group in table.groups)
    assert [cell.text for cell in distilled[1:]] == ["15", "100.0", "0.0", "100.0", "100.0", "100.0", "100.0",
                                                      "100.0"]  # fmt: skip
    # Of each three the largest is found, beside two single voxels: 2 / (2 + 2 + 2) in all.
    assert [cell.text for cell in alone[1:]] == ["15", "33.3", "2.0", "33.3", "33.3", "0.0", "0.0", "100.0"]
    assert "small (up to 2), middle (2 to 8), large (above 8)" in " ".join(table.notes)
    figure = lesion_size.draw(evidence)
    assert isinstance(figure, Figure)
    assert "S1 hinton 100.0, 100.0, 100.0; S1 alone 0.0, 0.0, 100.0" in figure.alt


def test_exports_say_what_the_tables_say(runs: list[Path]) -> None:
    evidence = gather(runs)
    alone, distilled = (row.model_dump() for row in evidence_json.made(evidence).models)
    assert distilled["calibration"]["ece"]["mean"] == pytest.approx(0.05)
    assert alone["calibration"]["ece"]["by_seed"] == pytest.approx([0.2, 0.3])
    whole, small, _, large = distilled["lesions"]
    assert (whole["above"], whole["up_to"], whole["lesions"]) == (0, None, 15)
    assert small["up_to"] == 2 and large["up_to"] is None and small["lesions"] == large["lesions"] == 5
    assert (
        whole["figures"]["recall"]["mean"] == 1 and whole["figures"]["false_positives_per_case"]["mean"] == 0
    )
    assert alone["lesions"][0]["figures"]["false_positives_per_case"]["by_seed"] == [2, 2]
    table = list(csv.DictReader(io.StringIO(table_csv.models(evidence))))
    assert float(table[1]["lesion_recall_mean"]) == 1 and float(table[0]["ece_mean"]) == pytest.approx(0.25)


def test_sizes_in_words() -> None:
    infinite = float("inf")
    assert names_of_sizes((0, infinite)) == ["all (any size)"]
    assert names_of_sizes((0, 0.25, 1500.2, infinite)) == [
        "small (up to 0.25)", "middle (0.25 to 1,500)", "large (above 1,500)",
    ]  # fmt: skip


def test_the_gap_between_sites(runs: list[Path]) -> None:
    table = sites.tabulate(gather(runs))
    assert table is not None
    assert [column.title for column in table.columns] == [
        "Model",
        "A (2)",
        "B (3)",
        "Worst site",
        "Best site",
        "Gap",
    ]
    distilled = table.groups[1].rows[0].cells
    # A: 70 and 72; B: 64, 66 and 68.
    assert [cell.text for cell in distilled[1:]] == ["71.0", "66.0", "66.0", "71.0", "5.0"]
    assert [cell.extra for cell in distilled[3:5]] == ["B", "A"]


def test_many_sites_have_no_column_each(make_run: Callable[..., Path], tmp_path: Path) -> None:
    scores = {f"{letter}_1": {"tumour": 0.5 + 0.01 * k} for k, letter in enumerate("ABCDEFGH")}
    run = make_run(tmp_path / "r", kind="alone", network="unet", scores=scores)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("data:\n", "data:\n  sites: ^[A-Z]\n"))
    table = sites.tabulate(gather([run]))
    assert table is not None
    assert [cell.text for cell in table.groups[0].rows[0].cells[1:]] == ["50.0", "57.0", "7.0"]
    assert "A: 1, B: 1" in table.notes[0]


def test_all_of_it_is_in_the_report(runs: list[Path], tmp_path: Path) -> None:
    page = build(runs, tmp_path / "out").page
    html, text = page.read_text(encoding="utf-8"), page.with_name("report.md").read_text(encoding="utf-8")
    for section in ("comparisons", "lesions", "calibration"):
        assert f'<section id="{section}">' in html and f'href="#{section}"' in html
        assert f"## {section.capitalize()}" in text
    assert "### Dice by site" in text and "Dice by site</h3>" in html
    for name in ("brackets", "reliability", "lesion-size"):
        assert (tmp_path / "out" / "figures" / f"{name}.svg").is_file()
        assert f"(figures/{name}.png)" in text


def test_runs_without_them_leave_them_out_quietly(study: list[Path], tmp_path: Path) -> None:
    evidence = gather(study)
    assert calibration.tabulate(evidence) is tabulate(evidence) is sites.tabulate(evidence) is None
    assert isinstance(reliability.draw(evidence), Missing) and isinstance(lesion_size.draw(evidence), Missing)
    page = build(study, tmp_path / "out").page
    told = page.read_text(encoding="utf-8") + page.with_name("report.md").read_text(encoding="utf-8")
    for word in ("Calibration", "Lesions", "Reliability", "by site"):
        assert word not in told


def test_a_run_with_them_beside_one_without(runs: list[Path]) -> None:
    file = runs[0] / "metrics.json"
    old = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("calibration", "lesions")}
    file.write_text(json.dumps(old))
    evidence = gather(runs)
    table, lesions_too = calibration.tabulate(evidence), tabulate(evidence)
    assert table is not None and lesions_too is not None
    assert (table.groups[0].rows[0].cells[1].text, table.groups[0].rows[0].cells[1].extra) == ("30.0", "")


@pytest.mark.parametrize(
    "broken", [{"calibration": [{"case": "A_1"}]}, {"lesions": [{"case": "A_1", "class": "x"}]}]
)
def test_what_is_broken_is_named(runs: list[Path], broken: dict[str, Any]) -> None:
    with pytest.raises(SegdistillError, match="not in the form of a run folder"):
        read_run(more(runs[0], **broken))
