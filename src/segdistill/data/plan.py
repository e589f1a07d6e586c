"""What preprocessing does with a case, decided once from the training cases and then fixed.

A plan is enough to prepare a new image for prediction without the dataset that it came from.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segdistill.data.case_files import read_channels, read_classes
from segdistill.data.dataset import Case, Dataset
from segdistill.data.geometry import Geometry
from segdistill.data.grid import Crop, Grid, plan_grid
from segdistill.data.image import read_geometry
from segdistill.data.intensity import (
    Intensity,
    Masked,
    Measured,
    describe_intensity,
    guess_kind,
    make_intensity,
)
from segdistill.data.workers import in_processes
from segdistill.errors import SegdistillError

# Of plan.json. Where preprocessing changes, rather add a field whose default is the old way: runs stay usable
# and predict as they were trained, and stores made before are not used again.
FORMAT = 1
IMAGE_ORDERS, LABEL_ORDERS = ("cubic", "linear"), ("linear", "nearest")
LATER = ("interpolation", "label_interpolation", "mask_first")  # not in every plan.json of this format
VALUES_A_CASE = 10_000  # sampled for statistics from each channel of each training case


@dataclass(frozen=True)
class Channel:
    """One image channel: its name, its intensity part, and that part's statistics of the training cases."""

    name: str
    intensity: Intensity
    statistics: Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """How cases become arrays.

    dataset: what the labels mean (its cases and path are left out).
    spacing: mm along the canonical axes (volumes: x, y, z); None, for all or one axis, keeps each case's own.
    crop: as in `plan_grid`.
    shape: median shape of the training cases on the target grid; for choosing patches, decides nothing here.
    interpolation: of images.
    label_interpolation: of labels; `linear` on the one-hot map of each class.
    mask_first: intensities over non-zero voxels take those of the image before it is resampled. Plans of
        earlier versions do not: their networks saw what ringing had made of the zeros.

    Raises:
        SegdistillError: an interpolation that does not exist.
    """

    dataset: Dataset
    channels: tuple[Channel, ...]
    spacing: tuple[float | None, ...] | None
    crop: Crop | None
    shape: tuple[int, ...]
    interpolation: Literal["cubic", "linear"] = "cubic"
    label_interpolation: Literal["linear", "nearest"] = "linear"
    mask_first: bool = False

    def __post_init__(self) -> None:
        _one_of(IMAGE_ORDERS, self.interpolation, "data.interpolation")
        _one_of(LABEL_ORDERS, self.label_interpolation, "data.label_interpolation")

    @property
    def spatial_dims(self) -> int:
        """3 for volumes, 2 for photographs."""
        return self.dataset.spatial_dims

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the foreground classes or regions."""
        return self.dataset.classes

    @property
    def regions(self) -> bool:
        """Whether classes overlap (one sigmoid each)."""
        return self.dataset.regions

    @property
    def ignore(self) -> int | None:
        """The file value of ignored voxels."""
        return self.dataset.ignore

    @property
    def out_channels(self) -> int:
        """Channels of a network's output."""
        return self.dataset.out_channels

    def numbers_of(self, names: Sequence[str], place: str) -> tuple[int, ...]:
        """Where image channels of these names stand among the plan's.

        Raises:
            SegdistillError: one is not there; `place` names what asks for it.
        """
        known = [channel.name for channel in self.channels]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise SegdistillError(
                    f"{place}: no image channel {name!r}{hint} (the data have: {', '.join(known)})"
                )
        return tuple(known.index(name) for name in names)

    def seen_by(self, numbers: Sequence[int] | None) -> Plan:
        """The plan for a network that sees some of the channels: it needs no more than these of a new image."""
        if numbers is None:
            return self
        return replace(self, channels=tuple(self.channels[number] for number in numbers))

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all that decides the arrays; names and the median shape do not."""
        values = self.to_dict()
        del values["shape"], values["dataset"]["name"], values["dataset"]["layout"]
        return blake2b(json.dumps(values).encode(), digest_size=8).hexdigest()

    def grid(self, geometry: Geometry) -> Grid:
        """The way of an image of this geometry to the network's grid and back."""
        return plan_grid(geometry, self.spacing, self.spatial_dims, self.crop)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what came later than format 1 only where it is not the default."""
        later = [field for field in fields(Plan) if field.name in LATER]
        kept = [field.name for field in fields(Dataset) if field.name not in ("cases", "path")]
        return {
            "format": FORMAT,
            "dataset": {name: getattr(self.dataset, name) for name in kept},
            "channels": [
                {"name": c.name, **describe_intensity(c.intensity), "statistics": dict(c.statistics)}
                for c in self.channels
            ],
            "spacing": self.spacing,
            "crop": self.crop,
            "shape": self.shape,
            **{f.name: getattr(self, f.name) for f in later if getattr(self, f.name) != f.default},
        }

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "plan") -> Plan:
        """The inverse of `to_dict`; `where` names the source in messages."""
        if not isinstance(values, Mapping) or values.get("format") != FORMAT:
            raise SegdistillError(
                f"{where} is not a plan of this version (format {FORMAT}); preprocess again with this version"
            )
        try:
            described = dict(values["dataset"])
            described["labels"] = {name: _tuples(value) for name, value in described["labels"].items()}
            return cls(
                dataset=Dataset(
                    **{name: _tuples(value) for name, value in described.items()}, path=Path(), cases=()
                ),
                channels=tuple(_channel(dict(channel), where) for channel in values["channels"]),
                spacing=_tuples(values["spacing"]),
                crop=_tuples(values["crop"]),
                shape=_tuples(values["shape"]),
                **{name: values[name] for name in LATER if name in values},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise SegdistillError(f"{where} is not a whole plan ({error!r}); preprocess again") from error

    @classmethod
    def from_json(cls, text: str, where: str = "plan") -> Plan:
        """The inverse of `to_json`."""
        try:
            return cls.from_dict(json.loads(text), where)
        except json.JSONDecodeError as error:
            raise SegdistillError(f"{where} is not JSON ({error}); preprocess again") from error


def make_plan(
    dataset: Dataset,
    *,
    spacing: Literal["median"] | Sequence[float | None] | None = "median",
    crop: Sequence[Any] | None = None,
    channels: Mapping[str, Any] | None = None,
    interpolation: Literal["cubic", "linear"] = "cubic",
    label_interpolation: Literal["linear", "nearest"] = "linear",
    statistics_cases: Sequence[str],
    workers: int = 1,
) -> Plan:
    """Decide how to preprocess, from the headers of some cases and, where an intensity asks, their voxels.

    Args:
        spacing: "median" of `statistics_cases` on each axis (photographs keep their pixels), a list of mm for
            the canonical axes with None to keep one, or None to keep all.
        crop: as in `plan_grid`; lists as they come from a recipe are fine.
        channels: overrides by channel name, {"PET_SUV": {"type": "window", "low": 0, "high": 20}}.
        interpolation: of images.
        label_interpolation: of labels; `linear` on the one-hot map of each class.
        statistics_cases: ids of the training cases; no other case has a say.

    Raises:
        SegdistillError: unknown case or channel, settings out of range, no voxel to draw statistics from.
    """
    cases = [dataset.case(id) for id in statistics_cases]
    if not cases:
        raise SegdistillError("no training case to plan from; the training set is empty")
    parts = _intensities(dataset, channels or {})
    geometries = [read_geometry(case.images[0]) for case in cases]
    chosen = _spacing(spacing, geometries, dataset.spatial_dims)
    plan = Plan(
        dataset=replace(dataset, cases=(), path=Path()),
        channels=tuple(Channel(name, part, {}) for name, part in zip(dataset.channels, parts, strict=True)),
        spacing=chosen,
        crop=_tuples(list(crop)) if crop is not None else None,
        shape=(),
        interpolation=interpolation,
        label_interpolation=label_interpolation,
        mask_first=any(isinstance(part, Masked) and part.masks for part in parts),
    )
    shapes = [plan.grid(geometry).target for geometry in geometries]
    plan = replace(plan, shape=tuple(int(n) for n in np.median(shapes, axis=0)))
    return replace(plan, channels=_measured(dataset, plan.channels, cases, workers))


def _intensities(dataset: Dataset, overrides: Mapping[str, Any]) -> list[Intensity]:
    for name in overrides:
        if name not in dataset.channels:
            raise SegdistillError(
                f"data.channels.{name}: no such channel; {dataset.name} has {', '.join(dataset.channels)}"
            )
    return [
        make_intensity(overrides.get(name, {"type": guess_kind(name)}), f"data.channels.{name}")
        for name in dataset.channels
    ]


def _spacing(
    wanted: str | Sequence[float | None] | None, geometries: Sequence[Geometry], dims: int
) -> tuple[float | None, ...] | None:
    if wanted == "median":
        if dims == 2:
            return None
        each = [plan_grid(geometry, None, dims).spacing for geometry in geometries]
        return tuple(float(step) for step in np.median(each, axis=0))
    if isinstance(wanted, str):
        raise SegdistillError(f"data.spacing: {wanted!r} must be median, null, or a list of mm for each axis")
    return None if wanted is None else tuple(wanted)


def _measured(
    dataset: Dataset, channels: tuple[Channel, ...], cases: Sequence[Case], workers: int
) -> tuple[Channel, ...]:
    wanted = {
        k: channel.intensity for k, channel in enumerate(channels) if isinstance(channel.intensity, Measured)
    }
    if not wanted:
        return channels
    draw = partial(_draw, dataset=replace(dataset, cases=()), wanted=wanted)
    drawn = in_processes(draw, cases, workers=workers, description="Measuring intensities")
    result = list(channels)
    for k, part in wanted.items():
        values = np.concatenate([of_case[k] for of_case in drawn])
        if not values.size:
            raise SegdistillError(
                f"data.channels.{channels[k].name}: no voxel to measure in the {len(cases)} training cases; "
                "are their labels empty? Else override it with {type: zscore} or {type: window, ...}"
            )
        result[k] = replace(channels[k], statistics=part.measure(values))
    return tuple(result)


def _draw(case: Case, dataset: Dataset, wanted: Mapping[int, Measured]) -> dict[int, np.ndarray]:
    """Up to VALUES_A_CASE values of each channel that asks for them, the same ones every time."""
    try:
        image, geometry = read_channels(case.images, dataset.channels)
        foreground = _foreground(case, dataset, geometry)
        rng = np.random.default_rng(0)
        drawn = {}
        for k, part in wanted.items():
            values = part.select(image[k], foreground)
            drawn[k] = (
                values if len(values) <= VALUES_A_CASE else rng.choice(values, VALUES_A_CASE, replace=False)
            )
        return drawn
    except SegdistillError as error:
        raise SegdistillError(f"case {case.id}: {error}") from error


def _foreground(case: Case, dataset: Dataset, grid: Geometry) -> np.ndarray:
    if case.label is None:
        return np.zeros(grid.shape, bool)
    return np.asarray((read_classes(case.label, dataset, case.images[0], grid) > 0).any(axis=0))


def _one_of(choices: Sequence[str], value: Any, where: str) -> None:
    if value not in choices:
        raise SegdistillError(f"{where}: {value!r} must be one of {', '.join(choices)}")


def _channel(values: dict[str, Any], where: str) -> Channel:
    name, statistics = values.pop("name"), values.pop("statistics")
    return Channel(name, make_intensity(values, f"{where}: channels.{name}"), statistics)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
