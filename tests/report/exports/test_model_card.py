from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from segdistill.errors import SegdistillError
from segdistill.recipe import Recipe
from segdistill.report.evidence import Evidence
from segdistill.report.exports import model_card
from segdistill.report.gather import gather

KEPT = Path(__file__).parents[3] / "docs" / "results"
SECTIONS = [
    *("What it is", "Intended use", "Not intended", "Data", "Training", "Teachers", "Figures", "Cost"),
    *("Limitations", "How to reproduce", "Licence"),
]


def parts(text: str) -> tuple[dict[str, Any], str]:
    """The YAML in front, and the Markdown."""
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_its_sections(evidence: Evidence) -> None:
    _, body = parts(model_card.render(evidence))
    assert re.findall(r"^## (.*)$", body, flags=re.MULTILINE) == SECTIONS
    assert re.findall(r"^# (.*)$", body, flags=re.MULTILINE) == [
        r"unet distilled by teach\_former on Dataset900\_Made"
    ]
    first = body.split("\n\n")[1]
    assert first.startswith("**The distilled student") and "gains" in first  # the verdict before all else
    html = MarkdownIt("commonmark").enable("table").render(body)
    assert html.count("<table>") >= 5 and "<h2>Licence</h2>" in html
    assert len(re.findall(r"^\| case \d\d \|", body, flags=re.MULTILINE)) == model_card.WORST


def test_the_hub_can_read_its_front(evidence: Evidence) -> None:
    front, _ = parts(model_card.render(evidence))
    assert (front["license"], front["license_name"]) == ("other", "to-be-filled-in")
    assert {"knowledge-distillation", "medical-imaging", "unet", "teach-former"} <= set(front["tags"])
    assert front["metrics"] == ["dice", "iou", "hd95", "assd", "nsd"]
    (model,) = front["model-index"]
    (result,) = model["results"]
    assert model["name"] and result["task"]["type"] == "image-segmentation"
    assert result["dataset"] == {"type": "dataset900-made", "name": "Dataset900_Made", "split": "test"}
    dice = next(one for one in result["metrics"] if one["type"] == "dice")
    student = evidence.of("distilled")[0]
    assert dice["value"] == pytest.approx(student.mean("dice", evidence.cases), abs=5e-5)
    assert all(isinstance(one["value"], float) for one in result["metrics"])


def test_the_recipe_in_it_can_be_run_again(telling: list[Path]) -> None:
    _, body = parts(model_card.render(gather(telling)))
    (text,) = re.findall(r"````yaml\n(.*?)````", body, flags=re.DOTALL)
    (command, *_) = re.findall(r"^segdistill distill recipe.yaml (.*) --baseline", body, flags=re.MULTILINE)
    recipe = Recipe.load(yaml.safe_load(text), overrides=command.split())
    assert recipe.data.path == "FOLDER" and recipe.data.splits.file == "SPLITS.json"
    assert {name: teacher.run for name, teacher in recipe.teachers.items()} == {
        "a": "TEACHER_a",
        "b": "TEACHER_b",
    }
    assert set(recipe.terms) == {"coarse", "fine", "pixel"} and recipe.train.epochs == 20


def test_the_warnings_are_its_limitations(evidence: Evidence) -> None:
    limits = model_card.render(evidence).split("## Limitations")[1].split("## ")[0]
    assert "Few cases" in limits and "coarse" in limits and "One data set" in limits


def test_of_several_students_it_is_of_the_best_and_says_so(
    make_study: Callable[..., list[Path]],
    make_run: Callable[..., Path],
    scores: Callable[..., Any],
    tmp_path: Path,
) -> None:
    runs = make_study(tmp_path, seeds=1)
    teachers = {"a": str(runs[0])}
    runs.append(
        make_run(
            tmp_path / "other",
            kind="distilled",
            network="unet",
            scores=scores(0.3),
            method="hinton",
            teachers=teachers,
        )
    )
    text = model_card.render(gather(runs))
    assert "teach\\_former" in text and "hinton" not in text.split("## What it is")[1]
    assert "Several comparisons" in text and "Holm" in text and "One seed" in text


def test_without_a_student_alone_nobody_knows_the_gain(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "s", kind="distilled", network="unet", scores=scores(0.7), method="hinton")
    text = model_card.render(gather([run]))
    assert "what distillation gained is unknown" in text and "No student alone" in text
    assert "None is named by the runs." in text


def test_a_leak_comes_first(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    splits = {"train": list(scores(0.7)), "validation": [], "test": []}
    teacher = make_run(tmp_path / "t", kind="alone", network="big", scores=scores(0.9), splits=splits)
    student = make_run(
        tmp_path / "s", kind="distilled", network="unet", scores=scores(0.8), method="hinton",
        teachers={"t": str(teacher)},
    )  # fmt: skip
    _, body = parts(model_card.render(gather([student])))
    assert body.split("\n\n")[1].startswith("**No evidence") and "†" in body


def test_nothing_distilled(make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SegdistillError, match="model card"):
        model_card.render(
            gather([make_run(tmp_path / "a", kind="alone", network="unet", scores=scores(0.6))])
        )


def test_names_mean_nothing_to_markdown(
    make_run: Callable[..., Path], scores: Callable[..., Any], tmp_path: Path
) -> None:
    evil = "<script>x</script> | `a` *b* [c](d)"
    run = make_run(
        tmp_path / "s", kind="distilled", network="unet", scores=scores(0.7), method="m", dataset=evil
    )
    front, body = parts(model_card.render(gather([run])))
    assert front["model-index"][0]["results"][0]["dataset"]["name"] == evil
    assert "<script>" not in MarkdownIt("commonmark").enable("table").render(body)


@pytest.mark.parametrize(
    "study", ["sarcoma", "hippocampus", "nnunet", "methods-ulcer", "methods-hippocampus"]
)
def test_of_kept_results(study: str) -> None:
    front, body = parts(model_card.render(gather([KEPT / study / "runs"])))
    assert re.findall(r"^## (.*)$", body, flags=re.MULTILINE) == SECTIONS
    assert front["model-index"][0]["results"][0]["metrics"]
    assert "DATA/" not in body and "RUNS" not in body and "docs/results" not in body
