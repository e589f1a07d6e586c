"""What a bundle's metadata says about the network's channels and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segdistill.errors import SegdistillError

# Names that say that there is an image, and not which.
GENERIC = re.compile(r"(image|img|input|channel|data|volume|intensity|magnitude)?[ _-]?\d*", re.IGNORECASE)
BACKGROUND = ("background", "bg")


@dataclass(frozen=True)
class Metadata:
    """The part of metadata.json that a teacher needs.

    Attributes:
        image_key: name of the network's input.
        in_channels: number of image channels, where it is said.
        channels: their names; None where they are not told apart by name.
        outputs: names of all output channels; None where the metadata has none.
        window: the input's size, where it is said in numbers.
        monai_version: of MONAI, that it was made with.
    """

    image_key: str
    in_channels: int | None
    channels: tuple[str, ...] | None
    outputs: tuple[str, ...] | None
    window: tuple[int, ...] | None
    monai_version: str

    @property
    def regions(self) -> bool:
        """Whether the outputs are overlapping regions: they have names, and the first is not the background."""
        return self.outputs is not None and self.outputs[0].lower() not in BACKGROUND

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The foreground classes, or the regions; None where the metadata has no names."""
        return self.outputs if self.outputs is None or self.regions else self.outputs[1:]

    @classmethod
    def of(cls, content: Mapping[str, Any], path: Path) -> Metadata:
        """Read the content of metadata.json.

        Raises:
            SegdistillError: it does not say what the network takes and gives, or says it wrongly.
        """
        layout = content.get("network_data_format")
        if not isinstance(layout, Mapping):
            raise SegdistillError(
                f"{path}: network_data_format is missing; it says what the network takes and gives"
            )
        image_key, taken = _only(layout.get("inputs"), ("image",), f"{path}: network_data_format.inputs")
        _, given = _only(layout.get("outputs"), ("pred",), f"{path}: network_data_format.outputs")
        names = _names(taken.get("channel_def"), f"{path}: channel_def of {image_key}")
        count = taken.get("num_channels")
        shape = taken.get("spatial_shape")
        numbers = isinstance(shape, list) and bool(shape) and all(type(n) is int and n > 0 for n in shape)
        return cls(
            image_key,
            count if type(count) is int else len(names) if names else None,
            None if names is None or any(GENERIC.fullmatch(name) for name in names) else names,
            _names(given.get("channel_def"), f"{path}: channel_def of the output"),
            tuple(shape) if isinstance(shape, list) and numbers else None,
            str(content.get("monai_version", "unknown")),
        )


def _only(entries: Any, known: tuple[str, ...], place: str) -> tuple[str, Mapping[str, Any]]:
    """The entry of a known name, or the only one, and its name."""
    if isinstance(entries, Mapping) and entries:
        name = next((name for name in known if name in entries), None) or (
            str(next(iter(entries))) if len(entries) == 1 else None
        )
        if name is not None and isinstance(entries[name], Mapping):
            return name, entries[name]
    found = ", ".join(map(str, entries)) if isinstance(entries, Mapping) else "nothing"
    raise SegdistillError(f"{place}: expected {known[0]!r} or one entry, found {found or 'nothing'}")


def _names(numbered: Any, place: str) -> tuple[str, ...] | None:
    """Names in the order of their numbers."""
    if not numbered:
        return None
    if not isinstance(numbered, Mapping) or sorted(map(str, numbered)) != sorted(
        str(i) for i in range(len(numbered))
    ):
        raise SegdistillError(
            f'{place}: expected names by number, {{"0": "background", "1": "spleen"}}, found {numbered!r}'
        )
    names = {str(key): str(value) for key, value in numbered.items()}
    return tuple(names[str(i)] for i in range(len(names)))
