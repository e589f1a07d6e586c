"""The page of networks and presets."""

from __future__ import annotations

from segdistill.catalogue import rows
from segdistill.networks import NETWORKS, PRESETS
from segdistill.reference.markdown import block, bullets, code, contents, document, prose, sentence
from segdistill.reference.settings import described, in_a_line, with_defaults

INTRO = """\
In a recipe: `student: {type: NAME, ...}`, or `teachers.NAME.network`. All are for 2-D and 3-D images with any number of
channels and classes. Terms name their maps by stage: side and stride, such as `encoder/8`, `decoder/1`, `logits`;
`encoder/deepest` and `decoder/last` are in every network that has such a side."""


def page() -> str:
    """Networks with their settings, then the published sizes."""
    blocks = [INTRO, contents([*rows("networks"), *rows("presets")], "kind"), "## The networks"]
    for name, network in NETWORKS.items():
        blocks += [f"### {name}", sentence(network.summary), f"Source: {prose(network.reference)}"]
        example = f"student: {with_defaults(name, NETWORKS)}"
        blocks += [*described(network.part), "Example:", block("yaml", example)]
    blocks += [
        "## Presets",
        "Published sizes, written `student: {preset: NAME}`; any setting can be changed beside it.",
    ]
    for name, preset in PRESETS.items():
        sizes = [f"{dims}-D: {code(in_a_line(preset.expand(dims)))}" for dims in preset.settings]
        facts = bullets([f"Source: {prose(preset.reference)}", *sizes])
        blocks += [f"### {name}", sentence(preset.summary), facts]
    return document("Networks", *blocks)
