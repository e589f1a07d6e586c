"""The pages as the tables make them now, and pieces of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from segdistill.reference import pages


@pytest.fixture(scope="session")
def made() -> dict[str, str]:
    """Every page, by file name."""
    return pages()


@pytest.fixture(scope="session")
def section(made: dict[str, str]) -> Callable[[str, str], str]:
    """What stands under a heading of a page, up to the next."""

    def under(page: str, heading: str) -> str:
        return made[page].split(f"\n### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]

    return under


@pytest.fixture(scope="session")
def examples(made: dict[str, str]) -> Callable[[str], dict[str, Any]]:
    """The YAML under each heading of a page."""

    def of(page: str) -> dict[str, Any]:
        found = {}
        for part in made[page].split("\n### ")[1:]:
            blocks = re.findall(r"```yaml\n(.*?)```", part, flags=re.DOTALL)
            if blocks:
                found[part.split("\n")[0]] = yaml.safe_load(blocks[0])
        return found

    return of
