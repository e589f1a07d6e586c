"""Every command explains itself, and every table can be read by a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from segdistill import __version__
from segdistill.cli import app

Command = Callable[..., Any]
TABLES = (
    *("networks", "presets", "recipes", "losses", "projectors"),
    *("layouts", "intensities", "optimizers", "schedules", "weights"),
)


def commands(group: Any, name: str = "") -> Iterator[str]:
    for key, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {key}".strip())
        else:
            yield f"{name} {key}".strip()


COMMANDS = sorted(commands(typer.main.get_command(app)))


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"segdistill {__version__}\n"


def test_these_are_the_commands() -> None:
    wanted = (
        "cache build,cache info,cache prune,cost,data check,data phantom,demo,distill,evaluate,gradcam,list"
    )
    assert ",".join(COMMANDS) == (
        f"{wanted},predict,report,study keep,study list,study perform,study report,study run,study slurm,study status,"
        "study tune,teacher inspect,train,view"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, segdistill: Command) -> None:
    page = segdistill(*name.split(), "--help")
    assert page.code == 0 and not page.err
    lines = [line.strip() for line in page.out.splitlines()]
    assert any(line.startswith("Example") for line in lines), page.out
    assert any(line.startswith(f"segdistill {name}") for line in lines if "Usage" not in line), page.out


def test_help_shows_the_way_in(segdistill: Command) -> None:
    page = segdistill("--help")
    assert page.code == 0
    for name in (
        "train",
        "distill",
        "evaluate",
        "predict",
        "gradcam",
        "cost",
        "report",
        "list",
        "data",
        "demo",
    ):
        assert f" {name} " in page.out
    assert "segdistill demo" in page.out and "segdistill data check FOLDER" in page.out


@pytest.mark.parametrize(
    "words", ["", "train", "distill", "evaluate", "predict", "gradcam", "cost", "report", "list", "data"]
)
def test_a_command_without_words_shows_its_help(words: str, segdistill: Command) -> None:
    page = segdistill(*words.split())
    assert page.code == 2 and "Usage: segdistill" in page.out and "--help" in page.out


@pytest.mark.parametrize("what", TABLES)
def test_tables_for_programs(what: str, segdistill: Command) -> None:
    answer = segdistill("list", what, "--json")
    rows = json.loads(answer.out)
    assert answer.code == 0 and rows and not answer.err
    names = [row["name"] for row in rows]
    assert all(names) and len(set(names)) == len(names)
    for row in rows:
        assert {"name", "kind", "status", "reference"} <= set(row)
        assert all(isinstance(row[key], str) for key in ("name", "kind", "status", "reference", "summary"))
        assert row["kind"] and row["summary"]
        assert what != "recipes" or row["status"] in ("exact", "close", "inspired")


@pytest.mark.parametrize("what", TABLES)
def test_tables_for_people(what: str, segdistill: Command) -> None:
    answer = segdistill("list", what)
    rows = json.loads(segdistill("list", what, "--json").out)
    assert answer.code == 0
    for key in ("name", "kind", "status", "reference", "needs"):
        assert (key in answer.out.splitlines()[1]) == any(row.get(key) for row in rows), "no empty column"
    assert all(row["name"] in answer.out for row in rows)


def test_tables_in_a_narrow_terminal(segdistill: Command) -> None:
    from typer.testing import CliRunner

    from segdistill.cli import app

    told = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["list", "recipes"]).output
    rows = json.loads(segdistill("list", "recipes", "--json").out)
    flat = " ".join(told.split())
    for row in rows:
        needs = f"; needs {', '.join(row['needs'])}" if row["needs"] else ""
        assert f"{row['name']} {row['kind']}, {row['status']}{needs}" in flat
        assert row["reference"].split(",")[0] in flat
    assert max(map(len, told.splitlines())) <= 80


def test_json_of_the_other_commands(trained: Any, segdistill: Command) -> None:
    cost = json.loads(
        segdistill("cost", trained.run, "unet", "--size", "16,16,16", "--count-only", "--json").out
    )
    assert [row["name"] for row in cost][1] == "unet" and cost[0]["parameters"] < cost[1]["parameters"]
    figures = json.loads(segdistill("evaluate", trained.run, "--json").out)
    assert figures == json.loads((trained.run / "metrics.json").read_text())
    assert json.loads(segdistill("data", "check", trained.data, "--json").out) == []
