from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segdistill.report.gather import gather
from segdistill.report.tables import cases, classes, costs, results


def test_the_table_has_the_groups_and_the_order_of_teach_former(study: list[Path]) -> None:
    table = results.tabulate(gather(study))
    assert [group.title for group in table.groups] == [
        "Teachers",
        "Students alone",
        "Distilled students",
        "Baselines that look at no image",
    ]
    titles = [column.title for column in table.columns]
    assert titles[:6] == ["Model", "Params (M)", "GMACs", "GMACs (thop)", "Dice", "mIoU"]
    teacher = table.groups[0].rows[0].cells
    assert [cell.text for cell in teacher[:4]] == ["T1: h_denseformer", "11.38", "960.00", "940.80"]
    student = table.groups[2].rows[0]
    assert student.marked and student.cells[4].extra.startswith("± ")
    assert student.cells[0].extra == "teach_former from T1, T2, 3\u00a0seeds"
    assert [row.cells[4].text for row in table.groups[3].rows] == ["0.0", "50.0"]


def test_every_row_has_a_cell_for_every_column(study: list[Path]) -> None:
    evidence = gather(study)
    head = evidence.headline
    assert head is not None
    per_class = classes.tabulate(evidence)
    assert per_class is not None
    for table in (
        results.tabulate(evidence),
        per_class,
        cases.tabulate(head, evidence),
        costs.tabulate(evidence),
    ):
        for group in table.groups:
            assert all(len(row.cells) == len(table.columns) for row in group.rows)


def test_the_worst_case_is_first(study: list[Path]) -> None:
    evidence = gather(study)
    assert evidence.headline is not None
    rows = cases.tabulate(evidence.headline, evidence).groups[0].rows
    keys = [row.cells[1].key for row in rows]
    assert keys == sorted(keys, key=lambda key: key or 0.0) and len(keys) == 8
    distilled, alone, _, gain = (cell.key for cell in rows[0].cells[1:5])
    assert distilled is not None and alone is not None and gain is not None
    assert abs(distilled - alone - gain) < 1e-9


def test_what_was_not_measured_is_a_dash(make_run: Callable[..., Path], scores: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", kind="alone", network="unet", scores=None)
    (run / "cost.json").unlink()
    row = results.tabulate(gather([run])).groups[0].rows[0]
    assert row.cells[0].extra == "not evaluated"
    assert {cell.text for cell in row.cells[1:]} == {"\u2013"}


def test_memory_is_said_to_be_that_of_the_network(study: list[Path]) -> None:
    table = costs.tabulate(gather(study))
    assert "Memory (MB)" in [column.title for column in table.columns]
    assert "the weights and what a forward pass adds" in table.notes[0]
