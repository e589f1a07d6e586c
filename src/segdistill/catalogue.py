"""What can be named in a recipe, as rows for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from segdistill.parts import class_of, schema

Row = dict[str, Any]


def rows(what: str) -> list[Row]:
    """The rows of a table: name, kind, status, reference, summary; parameters where it is a part, needs of a recipe."""
    return {
        "networks": _networks,
        "presets": _presets,
        "recipes": _recipes,
        "losses": _losses,
        "projectors": _projectors,
        "where": _where,
        "combinations": _combinations,
        "layouts": _layouts,
        "intensities": _intensities,
        "optimizers": _optimizers,
        "schedules": _schedules,
        "weights": _weights,
        "sources": _sources,
    }[what]()


def _row(name: str, *, kind: str = "", status: str = "", reference: str = "", summary: str = "") -> Row:
    return {"name": name, "kind": kind, "status": status, "reference": reference, "summary": summary}


def _parameters(row: Any) -> Row:
    """Names, types, bounds and defaults, as JSON schema properties."""
    return schema(class_of(row)).model_json_schema().get("properties", {})


def _networks() -> list[Row]:
    from segdistill.networks import NETWORKS

    return [
        _row(name, kind="network", reference=row.reference, summary=row.summary)
        | {"size": _sizes({dims: {"type": name} for dims in (2, 3)}), "parameters": _parameters(row)}
        for name, row in NETWORKS.items()
    ]


def _presets() -> list[Row]:
    from segdistill.networks import PRESETS

    return [
        _row(name, kind="preset", reference=row.reference, summary=row.summary)
        | {"size": _sizes(row.settings)}
        for name, row in PRESETS.items()
    ]


def _sizes(parts: Mapping[int, Mapping[str, Any]]) -> dict[str, int]:
    """Parameters for the input and the numbers of channels and classes that `segdistill cost` takes by itself."""
    from segdistill.cost.meta import WithoutMemory
    from segdistill.cost.targets import CHANNELS, CLASSES, DEFAULT_SIZE
    from segdistill.model import Facts, build_network

    sizes = {}
    with WithoutMemory():
        for dims, part in sorted(parts.items()):
            network = build_network(
                part, Facts(dims, CHANNELS, CLASSES, DEFAULT_SIZE[:dims]), str(part["type"])
            )
            sizes[f"{dims}d"] = sum(p.numel() for p in network.parameters())
    return sizes


def in_millions(sizes: Mapping[str, int]) -> str:
    """Numbers of parameters by dimensions, in words, with what they were counted for."""
    from segdistill.cost.targets import CHANNELS, CLASSES, DEFAULT_SIZE

    told = ", ".join(f"{count / 1e6:.2f} M in {dims[0]}-D" for dims, count in sizes.items())
    return f"{told} (all parameters; {CHANNELS} channels, {CLASSES} classes, {DEFAULT_SIZE[0]} a side)"


def _recipes() -> list[Row]:
    from segdistill.composition import shipped

    found = []
    for name, path in shipped().items():
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        told = {key: recipe.get(key) or "" for key in ("kind", "status", "reference", "summary")}
        found.append(_row(name, **told) | {"needs": recipe.get("needs") or []})
    return found


def _losses() -> list[Row]:
    from segdistill.losses import LOSSES, SEGMENTATION_LOSSES

    found = [
        _row(name, kind=row.kind, reference=row.reference, summary=row.summary)
        | {"parameters": _parameters(row)}
        for name, row in LOSSES.items()
    ]
    return found + [
        _row(name, kind="segmentation", reference=row.reference, summary=row.summary)
        | {"parameters": _parameters(row)}
        for name, row in SEGMENTATION_LOSSES.items()
    ]


def _projectors() -> list[Row]:
    from segdistill.projectors import PROJECTORS

    return [
        _row(name, kind="projector", reference=row.reference, summary=row.summary)
        | {"parameters": _parameters(row)}
        for name, row in PROJECTORS.items()
    ]


def _where() -> list[Row]:
    from segdistill.where import WHERE

    return _parts(WHERE, "spatial weight")


def _combinations() -> list[Row]:
    from segdistill.teachers.combination import COMBINATIONS

    return _parts(COMBINATIONS, "combination")


def _layouts() -> list[Row]:
    from segdistill.data import LAYOUTS

    return [
        _row(name, kind="layout", reference=row.reference, summary=row.summary)
        for name, row in LAYOUTS.items()
    ]


def _sources() -> list[Row]:
    from segdistill.teachers.sources import SOURCES

    return [
        _row(name, kind="source of teachers", reference=row.reference, summary=row.summary)
        | {"parameters": _parameters(row)}
        for name, row in SOURCES.items()
    ]


def _intensities() -> list[Row]:
    from segdistill.data.intensity import INTENSITIES

    return _parts(INTENSITIES, "intensity")


def _optimizers() -> list[Row]:
    from segdistill.training.optimization import OPTIMIZERS

    return _parts(OPTIMIZERS, "optimizer")


def _schedules() -> list[Row]:
    from segdistill.training.optimization import SCHEDULES

    return _parts(SCHEDULES, "learning-rate schedule")


def _weights() -> list[Row]:
    from segdistill.schedules import WEIGHTS

    return _parts(WEIGHTS, "weight of a term")


def _parts(table: dict[str, type], kind: str) -> list[Row]:
    """Rows of a table of bare classes: the first line of the docstring is the summary."""
    return [
        _row(name, kind=kind, summary=(part.__doc__ or "").strip().splitlines()[0])
        | {"parameters": _parameters(part)}
        for name, part in table.items()
    ]
