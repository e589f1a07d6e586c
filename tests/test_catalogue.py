from __future__ import annotations

import json
import re

from typer.testing import CliRunner

from segdistill.cli import app
from segdistill.recipe import Recipe


def test_list_tells_every_table() -> None:
    def listed(what: str, *options: str) -> str:
        result = CliRunner().invoke(app, ["list", what, *options], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.exception
        return str(result.stdout)

    where = json.loads(listed("where", "--json"))
    assert where[0]["name"] == "band" and where[0]["parameters"]["radius"]["minimum"] == 1
    assert {row["name"] for row in json.loads(listed("combinations", "--json"))} >= {"sum", "mean", "entropy"}
    recipes = {row["name"]: row for row in json.loads(listed("recipes", "--json"))}
    assert recipes["teach_former"]["needs"] == ["labels", "several teachers"]
    assert recipes["student_alone"]["needs"] == Recipe.load("student_alone").needs
    assert "labels, several teachers" in re.sub(r"\s+", " ", listed("recipes"))
