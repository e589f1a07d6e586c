"""What lies in the folder of a bundle, read as plain data: nothing of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from segdistill.errors import SegdistillError

METADATA = Path("configs", "metadata.json")
SUFFIXES = (".json", ".yaml", ".yml")
WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors")


def config_file(folder: Path, name: str) -> Path:
    """The file of the config `name`.

    Raises:
        SegdistillError: there is none of that name; those that are there are listed.
    """
    configs = folder / "configs"
    for suffix in SUFFIXES:
        if (found := configs / f"{name}{suffix}").is_file():
            return found
    there = sorted(f.stem for f in configs.iterdir() if f.suffix in SUFFIXES and f.name != METADATA.name)
    raise SegdistillError(
        f"{configs} has no config {name!r} (.json, .yaml or .yml); it has: {', '.join(there) or 'none'}. "
        "Say which one describes inference: source={type: monai_bundle, config: NAME}"
    )


def read(path: Path) -> dict[str, Any]:
    """A JSON or YAML file as plain data.

    Raises:
        SegdistillError: it cannot be read, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SegdistillError(
            f"{path} cannot be read ({error}); mend it, or download the bundle again"
        ) from None
    if not isinstance(content, dict):
        raise SegdistillError(f"{path}: expected a mapping, found {type(content).__name__}")
    return content


def first_code(content: Any, place: str = "") -> str | None:
    """The first piece of a config that is code, with its place: an expression, or a class that would be made."""
    if isinstance(content, str) and content.startswith("$"):
        return f"{place}: {content}"
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(content, Mapping):
        if "_target_" in content:
            return f"{place}: _target_ {content['_target_']}"
        items = iter(content.items())
    elif isinstance(content, list):
        items = iter(enumerate(content))
    found = (first_code(value, f"{place}::{key}" if place else str(key)) for key, value in items)
    return next(filter(None, found), None)


def refuse_code(folder: Path, config: Path, content: Mapping[str, Any]) -> None:
    """Refuse to open a bundle that was not said to be trusted.

    Raises:
        SegdistillError: always; the first piece of code is named.
    """
    code = first_code(content)
    named = f" (the first: {code})" if code else ""
    raise SegdistillError(
        f"{folder} is a MONAI bundle, and opening one runs code: {config.name} names classes and Python expressions"
        f"{named}, and the bundle may bring scripts of its own. Nothing was run. If you trust where it comes from, "
        "say --trust on the command line; a recipe cannot say it"
    )


def weights_file(folder: Path, name: str) -> Path:
    """The file with the weights.

    Raises:
        SegdistillError: it is not there, or only as a pointer of git-lfs; what else is there is listed.
    """
    path = folder / name
    bring = (
        f"`git lfs pull` in a cloned repository, or `python -m monai.bundle download {folder.name} --bundle_dir "
        f"{folder.parent}`, brings them"
    )
    if path.suffix not in WEIGHTS:
        raise SegdistillError(f"{path}: weights are a state dict in one of {', '.join(WEIGHTS)}")
    if not path.is_file():
        near = path.parent.iterdir() if path.parent.is_dir() else ()
        there = sorted(str(f.relative_to(folder)) for f in near if f.is_file())
        scripted = "; TorchScript (.ts) is not read" if any(f.endswith(".ts") for f in there) else ""
        raise SegdistillError(
            f"{folder} has no weights: looked for {name}, found {', '.join(there) or 'nothing'} there{scripted}. "
            f"{bring}; another file is named by source={{type: monai_bundle, weights: models/NAME.pt}}"
        )
    with open(path, "rb") as file:
        if file.read(24).startswith(b"version https://git-lfs"):
            raise SegdistillError(f"{path} is a pointer of git-lfs, not the weights; {bring}")
    return path


def code_files(folder: Path) -> list[Path]:
    """All files that decide what the bundle does beside its weights, in a fixed order."""
    found = [*(folder / "configs").rglob("*"), *(folder / "scripts").rglob("*"), *folder.rglob("*.py")]
    return sorted({f for f in found if f.is_file() and "__pycache__" not in f.parts})
