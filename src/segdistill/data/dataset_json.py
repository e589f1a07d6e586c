"""dataset.json, in nnU-Net's words and in the Decathlon's."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError

NAME = "dataset.json"


@dataclass(frozen=True)
class Labels:
    """What `labels` declares; fields as in `Dataset`."""

    labels: dict[str, int | tuple[int, ...]]
    background: int
    ignore: int | None
    regions: bool
    regions_class_order: tuple[int, ...]


def load(folder: Path) -> dict[str, Any]:
    """The content of `folder`/dataset.json.

    Raises:
        SegdistillError: it is missing or is not a JSON object.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise SegdistillError(
            f"{path} is missing; it names the channels and labels: write one in nnU-Net's or the Decathlon's "
            "format, or choose another layout"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SegdistillError(f"{path} is broken: {error}; mend the JSON") from error
    except OSError as error:
        raise SegdistillError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise SegdistillError(f"{path} should hold a JSON object {{...}}, not a {type(content).__name__}")
    return content


def glance(folder: Path) -> dict[str, Any]:
    """The content where it can be read, else {}: to tell layouts apart without complaint."""
    try:
        return load(folder)
    except SegdistillError:
        return {}


def parse_channels(folder: Path, content: dict[str, Any]) -> tuple[str, ...]:
    """Names of the channels from `channel_names` or `modality`, in the order of their numbers."""
    key = "channel_names" if "channel_names" in content else "modality"
    given = content.get(key)
    where = f"{folder / NAME}, {key}"
    if isinstance(given, list):
        given = {str(number): name for number, name in enumerate(given)}
    if not isinstance(given, dict) or not given:
        raise SegdistillError(f'{where}: missing or empty; write for example "channel_names": {{"0": "CT"}}')
    if sorted(given) != sorted(str(number) for number in range(len(given))):
        raise SegdistillError(
            f"{where}: keys should be 0 to {len(given) - 1}, not {', '.join(map(str, given))}"
        )
    return tuple(str(given[str(number)]) for number in range(len(given)))


def parse_labels(folder: Path, content: dict[str, Any]) -> Labels:
    """The declared labels: {name: value or [values]} of nnU-Net, or {"value": name} of the Decathlon.

    Raises:
        SegdistillError: missing or ill-formed, or regions without `regions_class_order`.
    """
    where = f"{folder / NAME}, labels"
    given = content.get("labels")
    if not isinstance(given, dict) or not given:
        raise SegdistillError(
            f'{where}: missing or empty; write for example {{"background": 0, "tumour": 1}}'
        )
    if all(key.lstrip("-").isdigit() and isinstance(name, str) for key, name in given.items()):
        given = {name: int(value) for value, name in given.items()}
    values = {str(name): _value(value, f"{where}, {name}") for name, value in given.items()}
    ignore = values.pop("ignore", None)
    background = next((name for name in values if name.lower() == "background"), None)
    if background is None:
        background = next((name for name, value in values.items() if value == 0), None)
    ground = values.pop(background) if background is not None else 0
    if isinstance(ground, tuple) or isinstance(ignore, tuple):
        raise SegdistillError(f"{where}: background and ignore are one value each, not a list")
    if not values:
        raise SegdistillError(f"{where}: there is no class besides the background")
    regions = any(isinstance(value, tuple) and len(value) > 1 for value in values.values())
    if not regions:
        # [1] is 1; sorted, so that class numbers follow the values
        single = {name: value[0] if isinstance(value, tuple) else value for name, value in values.items()}
        values = dict(sorted(single.items(), key=lambda item: item[1]))
    order = _order(folder, content, values) if regions else ()
    used = [ground, *([ignore] if ignore is not None else [])]
    if not regions:
        used += [value for value in values.values() if isinstance(value, int)]
    if len(set(used)) < len(used):
        raise SegdistillError(f"{where}: one value is given to two names: {content['labels']}")
    return Labels(values, ground, ignore, regions, order)


def existing(path: Path) -> Path:
    """`path`, or its name composed the other way (é as one or two code points) where only that exists."""
    if path.exists():
        return path
    for form in ("NFC", "NFD"):
        other = Path(unicodedata.normalize(form, str(path)))
        if other.exists():
            return other
    return path


def _value(value: Any, where: str) -> int | tuple[int, ...]:
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | list):
        raise SegdistillError(f"{where}: {value!r} is neither a whole number nor a list of them")
    if isinstance(value, int):
        return value
    if not value or not all(isinstance(member, int) and not isinstance(member, bool) for member in value):
        raise SegdistillError(f"{where}: {value!r} should be a list of whole numbers")
    return tuple(value)


def _order(
    folder: Path, content: dict[str, Any], regions: dict[str, int | tuple[int, ...]]
) -> tuple[int, ...]:
    order = content.get("regions_class_order")
    where = f"{folder / NAME}, regions_class_order"
    if (
        not isinstance(order, list)
        or len(order) != len(regions)
        or not all(isinstance(v, int) for v in order)
    ):
        raise SegdistillError(
            f"{where}: labels with regions need the value painted for each of {', '.join(regions)}, "
            f"in that order, as a list of {len(regions)} whole numbers; it is {order!r}"
        )
    return tuple(order)
