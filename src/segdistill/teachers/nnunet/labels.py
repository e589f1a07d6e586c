"""The channels that a model of nnU-Net sees, and the classes or regions that it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segdistill.errors import SegdistillError


@dataclass(frozen=True)
class Labels:
    """What dataset.json says.

    Attributes:
        channels: names of the image channels, in order.
        classes: foreground classes in the order of their values, or regions in the order of the file.
        regions: the outputs are overlapping regions, one channel each; else the background is output 0.
    """

    channels: tuple[str, ...]
    classes: tuple[str, ...]
    regions: bool

    @property
    def outputs(self) -> int:
        return len(self.classes) + (not self.regions)

    @classmethod
    def of(cls, dataset: Mapping[str, Any], place: str) -> Labels:
        """Read `channel_names` (older: `modality`), `labels` and `regions_class_order`.

        Raises:
            SegdistillError: one is missing or contradicts nnU-Net's format; `place` is the file.
        """
        names = dataset.get("channel_names", dataset.get("modality"))
        if not isinstance(names, dict) or sorted(names) != sorted(str(k) for k in range(len(names))):
            raise SegdistillError(f'{place}: channel_names: expected {{"0": NAME, "1": NAME, ...}}')
        channels = tuple(str(names[str(k)]) for k in range(len(names)))
        given = dataset.get("labels")
        if not isinstance(given, dict) or given.get("background") != 0:
            raise SegdistillError(f"{place}: labels: expected {{NAME: value, ...}} with 'background': 0")
        told = {name: value for name, value in given.items() if name != "ignore"}
        values = {
            name: [value] if isinstance(value, int) else value for name, value in told.items()
        }  # a list of one is a class
        for name, value in values.items():
            if not isinstance(value, list) or not value or not all(isinstance(v, int) for v in value):
                raise SegdistillError(f"{place}: labels.{name}: expected a number or a list, got {value!r}")
        regions = any(len(value) > 1 for value in values.values())
        if regions:
            classes = tuple(name for name, value in values.items() if set(value) != {0})
            order = dataset.get("regions_class_order")
            if not isinstance(order, list) or len(order) != len(classes):
                raise SegdistillError(
                    f"{place}: regions_class_order: expected one value for each of the {len(classes)} regions, "
                    f"got {order!r}"
                )
        else:
            ordered = sorted(values, key=lambda name: values[name][0])
            if len({values[name][0] for name in ordered}) < len(ordered):
                raise SegdistillError(f"{place}: labels: two classes share a value: {given!r}")
            classes = tuple(name for name in ordered if name != "background")
        return cls(channels, classes, regions)
