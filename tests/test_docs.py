"""What the documentation shows works: commands parse, links lead somewhere, Python blocks run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from torch import nn

import segdistill
from segdistill.data.phantom import make_phantom

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
INLINE = re.compile(r"`(segdistill [^`]+)`")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def commands(page: Path) -> list[str]:
    """Commands in blocks and in backticks, without placeholders such as `...` and comments."""
    text = page.read_text(encoding="utf-8")
    lines = [line for kind, block in BLOCK.findall(text) if kind == "bash" for line in block.splitlines()]
    found = [line.split("  #")[0].strip() for line in lines] + INLINE.findall(text)
    return [
        line
        for line in found
        if line.startswith("segdistill ") and "..." not in line and "COMMAND" not in line
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_parse(page: Path) -> None:
    from segdistill.cli import app

    for line in commands(page):
        group, words = typer.main.get_command(app), shlex.split(line)[1:]
        with group.make_context("segdistill", [], resilient_parsing=True) as context:
            name, command, rest = group.resolve_command(context, words)  # type: ignore[attr-defined]
            while hasattr(command, "resolve_command"):
                name, command, rest = command.resolve_command(context, rest)
            required = [p for p in command.params if p.required and p.param_type_name == "argument"]
            assert command.make_context(
                name, list(rest), parent=context, resilient_parsing=not (rest and required)
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


class Net(nn.Module):
    """A network of the reader's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.add_module("down3", nn.Conv3d(2, width, 8, stride=8))
        self.add_module("up1", nn.ConvTranspose3d(width, width, 8, stride=8))
        self.out = nn.Conv3d(width, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.out(self.up1(self.down3(image)))


def test_python_blocks_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_phantom(
        Path("Dataset101_Sarcoma"), patients=8, size=(24, 24, 24), modalities=("CT", "PET"), difficulty=0
    )
    image, label = torch.randn(2, 2, 16, 16, 16), torch.zeros(2, 1, 16, 16, 16, dtype=torch.int16)
    names = {
        "image": image,
        "label": label,
        "MyLightNet": lambda: Net(4),
        "MyHeavyNet": lambda: Net(8),
    }
    for kind, block in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if kind == "python":
            block = (
                block.replace('"stages.2"', '"down3"')
                .replace('"head.0"', '"up1"')
                .replace('"epochs": 50', '"epochs": 1')
            )
            code = block.replace(
                '"Dataset101_Sarcoma"}', '"Dataset101_Sarcoma", "patch_size": [16] * 3, "workers": 0}'
            )
            exec(compile(code, "README.md", "exec"), names)
    assert segdistill.Run.open("runs/mine").finished
