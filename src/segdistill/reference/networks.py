"""The page of networks and presets."""

from __future__ import annotations

from collections.abc import Mapping

from segdistill.catalogue import in_millions, rows
from segdistill.networks import NETWORKS, PRESETS
from segdistill.parts import complete
from segdistill.reference.markdown import block, bullets, code, contents, document, prose, sentence
from segdistill.reference.settings import described, in_a_line, with_defaults

INTRO = """\
In a recipe: `student: {type: NAME, ...}`, or `teachers.NAME.network`. All are for 2-D and 3-D images with any number of
channels and classes. Terms name their maps by stage: side and stride, such as `encoder/8`, `decoder/1`, `logits`;
`encoder/deepest` and `decoder/last` are in every network that has such a side.

Beside its settings a network can have `width: 1/4`, the same topology at a quarter of its widths, and a student
`like: TEACHER` or `budget: {parameters: 500k}` ([how-to](../how-to/networks.md)). What each costs:
[networks](../results/networks/README.md)."""


def page() -> str:
    """Networks with their settings, then the published sizes."""
    blocks = [INTRO, contents([*rows("networks"), *rows("presets")], "kind"), "## The networks"]
    sizes = {row["name"]: row["size"] for row in [*rows("networks"), *rows("presets")]}
    for name, network in NETWORKS.items():
        blocks += [f"### {name}", sentence(network.summary), f"Source: {prose(network.reference)}"]
        blocks += [*described(network.part), bullets(_facts(name, sizes[name]))]
        example = f"student: {with_defaults(name, NETWORKS)}"
        blocks += ["Example:", block("yaml", example)]
    blocks += [
        "## Presets",
        "Published sizes, written `student: {preset: NAME}`; any setting can be changed beside it.",
    ]
    for name, preset in PRESETS.items():
        settings = [f"{dims}-D: {code(in_a_line(preset.expand(dims)))}" for dims in preset.settings]
        facts = [f"Source: {prose(preset.reference)}", f"Parameters: {in_millions(sizes[name])}", *settings]
        blocks += [f"### {name}", sentence(preset.summary), bullets(facts)]
    return document("Networks", *blocks)


def _facts(name: str, sizes: Mapping[str, int]) -> list[str]:
    """What the table says of a network at its defaults."""
    row, settings = NETWORKS[name], complete(NETWORKS, name, name)
    widths = ", ".join(code(setting) for setting in row.widths)
    return [
        f"Parameters at the defaults: {in_millions(sizes)}",
        f"Sides of images: multiples of {row.multiple(settings)}",
        f"Width: {widths}, so `width: 1/2` and `budget` are for it" if widths else "Width: one only",
    ]
