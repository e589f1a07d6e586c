"""The page as HTML: one template, everything in it escaped, nothing from elsewhere."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from segdistill.errors import SegdistillError
from segdistill.report.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from segdistill.report.words import fixed, points
from segdistill.viewer.cases import Gallery, Layer, Shown, Volume
from segdistill.viewer.volumes import DIFFERENCES

HERE = Path(__file__).parent
VENDOR = HERE / "vendor"
NIIVUE = "niivue.umd.js"
SCRIPTS = ("volumes.js", "drawing.js", "panels.js", "controls.js")  # in this order
OWN = (*SCRIPTS, "viewer.css")
VENDORED = (NIIVUE, "LICENSE-niivue.txt")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""What a browser may do with the page: read what lies beside it, and nothing else (data: is NiiVue's font)."""

CLASS_COLOURS = (ORANGE, GREEN, YELLOW, BLUE, VERMILION)
DIFFERENCE_COLOURS = (SKY, PURPLE, "#ffffff")
IGNORED_COLOUR = "#808080"


@dataclass(frozen=True)
class Files:
    """All files of the page by their name beside it; what is not here is not served or written."""

    page: str
    fixed: Mapping[str, Path]
    volumes: Mapping[str, Volume]


def files_of(gallery: Gallery, *, packed: bool = False, paths: bool = False) -> Files:
    """The page of a gallery with all that it needs.

    Args:
        packed: volumes are scripts, which a browser also reads from a disk, without a server.
        paths: name the files of the images on the page. A case's id is all that it tells of a patient otherwise.

    Raises:
        SegdistillError: NiiVue was not fetched.
    """
    if any(not (VENDOR / name).is_file() for name in VENDORED):
        raise SegdistillError(
            f"NiiVue, which draws the page, is not in {VENDOR}; fetch it once: make viewer (in the folder of the "
            "source, with access to registry.npmjs.org)"
        )
    volumes: dict[str, Volume] = {}
    told = [_case(case, number, volumes, packed, paths) for number, case in enumerate(gallery.cases)]
    data = {
        "packed": packed,
        "flat": gallery.spatial_dims == 2,
        "masks": _legend(gallery),
        "differences": [
            {"name": name, "colour": _rgb(colour)}
            for name, colour in zip(DIFFERENCES, DIFFERENCE_COLOURS, strict=True)
        ],
        "cases": told,
    }
    page = _environment().get_template("page.html.j2").render(
        gallery=gallery, data=data, policy=POLICY, scripts=(NIIVUE, *SCRIPTS), names=_names(gallery)
    )  # fmt: skip
    lie = {name: HERE / name for name in OWN} | {name: VENDOR / name for name in VENDORED}
    return Files(page, lie, volumes)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("segdistill.viewer", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["percent"] = _percent
    return environment


def _percent(value: float) -> str:
    return fixed(points(value))


def _case(case: Shown, number: int, volumes: dict[str, Volume], packed: bool, paths: bool) -> dict[str, Any]:
    """What the script is told of a case; its volumes are put among the others."""
    layers = []
    for index, layer in enumerate(case.layers):
        name = f"volumes/{number}-{index}{'.js' if packed else '.nii.gz'}"
        volumes[name] = layer.read
        layers.append(_layer(layer, name, paths))
    return {"id": case.id, "layers": layers, "dice": _table(case), "notes": list(case.notes)}


def _table(case: Shown) -> dict[str, Any]:
    """Dice in percent: the classes, with several of them their mean too, and a row for each answer."""
    classes = list(next(iter(case.dice.values())))
    several = len(classes) > 1
    rows = [[*values.values(), *([_mean(values)] if several else [])] for values in case.dice.values()]
    return {
        "classes": [*classes, "mean"] if several else classes,
        "answers": list(case.dice),
        "rows": [[_percent(value) for value in row] for row in rows],
    }


def _layer(layer: Layer, name: str, paths: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"title": layer.title, "kind": layer.kind, "file": name}
    return told | ({"paths": [str(path) for path in layer.files]} if paths else {})


def _mean(values: Mapping[str, float]) -> float:
    known = [value for value in values.values() if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _names(gallery: Gallery) -> list[str]:
    """The overlays of all cases in the order in which they are drawn; the number of each is its key."""
    return list(
        dict.fromkeys(
            layer.title
            for case in gallery.cases
            for layer in case.layers
            if layer.kind in ("mask", "difference")
        )
    )


def _legend(gallery: Gallery) -> list[dict[str, Any]]:
    colours = [
        _rgb(CLASS_COLOURS[number % len(CLASS_COLOURS)], number // len(CLASS_COLOURS))
        for number in range(len(gallery.classes))
    ]
    legend: list[dict[str, Any]] = [
        {"name": name, "colour": colour} for name, colour in zip(gallery.classes, colours, strict=True)
    ]
    return [*legend, {"name": "ignored", "colour": _rgb(IGNORED_COLOUR)}] if gallery.ignored else legend


def _rgb(colour: str, lighter: int = 0) -> list[int]:
    """A colour as three numbers, each time halfway lighter where the colours begin anew."""
    values = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    for _ in range(min(lighter, 3)):
        values = [(value + 255) // 2 for value in values]
    return values


def pack(name: str, content: bytes) -> bytes:
    """A volume as a script that hands it to the page."""
    return b'viewerVolume("%s", "%s");\n' % (name.encode(), base64.b64encode(content))
