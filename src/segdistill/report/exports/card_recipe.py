"""How to make a student again: its recipe without places and names of cases, and the commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from segdistill.publishable import flat
from segdistill.report.evidence import Comparison, Model


def settings(student: Model) -> dict[str, Any]:
    """The recipe of a student as one level."""
    return flat(student.run.recipe)


def recipe(student: Model) -> Iterator[str]:
    """The recipe as Markdown that folds away."""
    content = {key: value for key, value in student.run.recipe.items() if value not in ({}, [], None)}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110).rstrip()
    yield from ("<details><summary>recipe.yaml, every setting written out</summary>", "")
    yield from ("````yaml", text, "````", "", "</details>")


def commands(comparison: Comparison) -> Iterator[str]:
    """What to type, with words in capitals for what only the reader knows, and in which order."""
    run = comparison.student.run
    if "type" in _section(run.recipe, "student") and run.recipe["student"]["type"] == "python":
        yield "The network was given in Python, so no command can make it again; the recipe holds the other settings."
        return
    words = ["data.path=FOLDER"]
    if _gives_cases(run.recipe):
        words.append("data.splits.file=SPLITS.json")
    words += [f"teachers.{name}.{key}=TEACHER_{name}" for name, key in _teachers(run.recipe).items()]
    yield (
        "Save the recipe below as `recipe.yaml`. FOLDER is the data set; TEACHER names a trained teacher (a run that "
        "`segdistill train` made, or what it was made from)"
        + (
            "; SPLITS.json the splits.json of the run, which names cases and is therefore not shown."
            if _gives_cases(run.recipe)
            else "."
        )
    )
    yield from ("", "```bash")
    for one in comparison.student.runs:
        seed = f" train.seed={one.seed}" if one.seed is not None else ""
        yield f"segdistill distill recipe.yaml {' '.join(words)}{seed} --baseline --out runs/seed_{one.seed or 0}"
    outs = " ".join(
        f"runs/seed_{one.seed or 0} runs/seed_{one.seed or 0}_alone" for one in comparison.student.runs
    )
    yield from (f"segdistill report {outs}", "```", "")
    yield "`--baseline` trains the same student alone with the same budget."


def _gives_cases(content: Mapping[str, Any]) -> bool:
    """Whether the recipe said by name which cases do what (left out here), instead of by shares and a seed."""
    splits = _section(_section(content, "data"), "splits")
    return not {"file", "test", "validation", "train"} <= splits.keys() if splits else False


def _teachers(content: Mapping[str, Any]) -> dict[str, str]:
    """By name, the key by which a trained teacher is given; not those that learn beside the student."""
    found = {}
    for name, teacher in _section(content, "teachers").items():
        if not (teacher or {}).get("peer") and not (teacher or {}).get("average"):
            found[str(name)] = "path" if "run" in (teacher or {}) and "path" not in (teacher or {}) else "run"
    return found


def _section(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}
