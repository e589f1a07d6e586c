from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from segdistill.evaluation.statistics import paired
from segdistill.report.evidence import Evidence
from segdistill.report.exports import evidence_json
from segdistill.report.exports.__main__ import main
from segdistill.report.exports.sharing import numbered, without_places
from segdistill.report.gather import gather

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "docs" / "reference" / "evidence.schema.json"
KEPT = sorted(path for path in (ROOT / "docs" / "results").glob("**/runs") if path.is_dir())


def content(evidence: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(evidence_json.render(without_places(evidence)))
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(found)
    return found


def test_the_schema_in_the_documents_is_the_programs(tmp_path: Path) -> None:
    main([str(tmp_path)])
    made = (tmp_path / SCHEMA.name).read_text(encoding="utf-8")
    mend = "run .venv/bin/python -m segdistill.report.exports docs/reference"
    assert SCHEMA.read_text(encoding="utf-8") == made, f"{SCHEMA} is not what the program writes: {mend}"
    Draft202012Validator.check_schema(json.loads(made))


def test_it_obeys_its_schema(evidence: Evidence) -> None:
    found = content(evidence)
    assert [model["name"] for model in found["models"]] == ["T1", "T2", "S1", "S1 teach_former"]
    assert found["models"][3]["teachers"] == ["T1", "T2"] and found["models"][3]["seeds"] == [0, 1, 2]
    assert len(found["runs"]) == 8 and len(found["cases"]) == 8 * 8 * 2
    assert found["data"]["split"] == ["test"] and not found["data"]["numbered"]
    assert found["verdicts"][0]["outcome"] == "gain" and "gains" in found["verdicts"][0]["sentence"]


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: str(path.relative_to(ROOT / "docs" / "results")))
def test_kept_results_obey_it(folder: Path) -> None:
    found = content(numbered(gather([folder])))
    assert found["models"] and found["comparisons"]


def test_the_comparison_is_that_of_the_statistics(evidence: Evidence) -> None:
    found = {(one["student"], one["other"]): one for one in content(evidence)["comparisons"]}
    assert set(found) == {("S1 teach_former", other) for other in ("S1", "T1", "T2")}
    one = found["S1 teach_former", "S1"]
    models = {model.short: model for model in evidence.models}
    for metric in ("dice", "hd95"):
        test = paired(*(models[name].by_case(metric, evidence.cases) for name in ("S1 teach_former", "S1")))
        told = one["metrics"][metric]
        assert (told["difference"], told["t_p"], told["n"]) == (test.difference, test.t_p, test.n)
        assert tuple(told["interval"]) == test.interval
    assert (one["role"], one["outcome"], one["family"]) == ("alone", "gain", 1)
    assert one["adjusted_p"] == one["metrics"]["dice"]["t_p"]
    assert [found["S1 teach_former", name]["family"] for name in ("T1", "T2")] == [1, None]


def test_runs_that_are_not_scored(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", kind="distilled", network="unet", scores=None, status="started", method="hinton"
    )
    (run / "cost.json").unlink()
    (model,) = content(gather([run]))["models"]
    assert model["metrics"] == {} and model["cost"] is None and not model["evidence"]


def test_undefined_is_null(make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path) -> None:
    values = scores(0.7)
    values["case_08"]["anterior"] = None
    found = content(gather([make_run(tmp_path / "run", kind="alone", network="unet", scores=values)]))
    (row,) = [row for row in found["cases"] if (row["case"], row["class"]) == ("case_08", "anterior")]
    assert row["metrics"]["dice"] is None
    assert found["models"][0]["classes"]["anterior"]["dice"]["n"] == 7


def test_leaks_are_told(make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path) -> None:
    cases = list(scores(0.7))
    splits = {"train": cases, "validation": [], "test": []}
    teacher = make_run(tmp_path / "t", kind="alone", network="big", scores=scores(0.9), splits=splits)
    student = make_run(
        tmp_path / "s", kind="distilled", network="unet", scores=scores(0.8), method="hinton",
        teachers={"t": str(teacher)},
    )  # fmt: skip
    found = content(gather([student]))
    (one,) = found["comparisons"]
    assert (one["outcome"], one["adjusted_p"]) == ("leak", None)
    assert {model["role"]: model["evidence"] for model in found["models"]}["distilled"] is False
    assert "serious" in {warning["severity"] for warning in found["warnings"]}


def test_the_schema_refuses_what_is_not_described(evidence: Evidence) -> None:
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    found = content(evidence)
    for change in ({"more": 1}, {"format": 2}, {"models": [{"name": "T1"}]}):
        with pytest.raises(ValidationError):
            validator.validate(found | change)


def test_recipes_are_kept_without_places(telling: list[Path]) -> None:
    found = content(gather(telling))
    recipe = found["runs"][0]["recipe"]
    assert recipe["train"]["epochs"] == 20 and "path" not in recipe["data"]
    assert "file" not in recipe["data"]["splits"] and "mlflow" not in recipe["train"]
    assert found["runs"][0]["cases"] == {"train": 6, "validation": 2, "test": 8}


def test_runs_of_one_name_keep_their_own_teachers(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    runs = [
        make_run(
            tmp_path / folder / "student", kind="distilled", network="unet", scores=scores(0.7),
            method=method, teachers={teacher: f"/gone/{teacher}"}, terms=("response",),
        )
        for folder, method, teacher in (("exp1", "hinton", "t"), ("exp2", "cwd", "heavy"))
    ]  # fmt: skip
    found = content(gather(runs))
    assert [one["runs"] for one in found["models"]] == [["student"], ["student (2)"]]
    assert [one["other_teachers"] for one in found["models"]] == [["t: not found"], ["heavy: not found"]]
    assert {row["run"] for row in found["cases"]} == {"student", "student (2)"}
