"""What a user meets before any image: the install, the import, the help page, the documents."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMAND = Path(sys.executable).parent / "segdistill"


def python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def normalised(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_version_is_the_projects() -> None:
    import segdistill

    assert segdistill.__version__ == PROJECT["version"] == importlib.metadata.version("segdistill")


def test_import_is_light() -> None:
    loaded = python("-c", "import sys, segdistill; print(*{name.split('.')[0] for name in sys.modules})")
    heavy = {"torch", "torchvision", "monai", "lightning_fabric", "matplotlib", "scipy", "SimpleITK"}
    assert not heavy & set(loaded.split())


def test_torchvision_and_its_dependents_are_imported_nowhere() -> None:
    """Their wheels are built against another torch than the CPU build and break it by being there."""
    unwanted = {"torchvision", "timm", "torchmetrics", "lightning", "segmentation_models_pytorch"}
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found += [f"{path}: {name}" for name in names if name.split(".")[0] in unwanted]
    assert not found


def help_page(**environment: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """The help page, and the processor time it took in seconds: what a quiet machine makes one wait."""
    before = os.times()
    page = subprocess.run(
        [COMMAND, "--help"], capture_output=True, text=True, env={**os.environ, **environment}
    )
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return page, used


def test_help_answers_within_a_second() -> None:
    pages = [help_page() for _ in range(3)]
    for page, _ in pages:
        assert page.returncode == 0, page.stderr
        assert "distill" in page.stdout
    assert min(seconds for _, seconds in pages) < 1.0


def test_help_imports_nothing_heavy() -> None:
    page, _ = help_page(PYTHONPROFILEIMPORTTIME="1")
    assert page.returncode == 0, page.stderr
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in page.stderr.splitlines()}
    assert "segdistill" in loaded
    assert not loaded & {"torch", "monai", "lightning_fabric", "matplotlib", "scipy", "SimpleITK"}


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert all("+" not in version for version in pins.values()), "a local build tag fits one index only"
    required = list(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        required += extra
    assert {normalised(requirement) for requirement in required} <= {normalised(name) for name in pins}
    assert "torchvision" not in {normalised(name) for name in pins}


def test_package_says_that_it_is_typed() -> None:
    assert resources.files("segdistill").joinpath("py.typed").is_file()


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    files = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in files if not (document.parent / link).exists()] == []
