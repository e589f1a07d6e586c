"""Reference pages in Markdown, made from the tables: `python -m segdistill.reference docs/reference`."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from segdistill.atomic import write_text
from segdistill.catalogue import rows
from segdistill.composition import read, shipped
from segdistill.parts import DATA_GIVEN, class_of, schema
from segdistill.recipe import Recipe, Stages, TeacherSection, TermSection

MADE = "Made from the tables of the program by `make reference`; do not edit."
FLAGS = {
    "zero_at_equal": (
        "0 where student and teacher say the same",
        "not 0 where student and teacher say the same",
    ),
    "batch_invariant": (
        "each sample counts by itself",
        "the samples of a batch are compared with each other",
    ),
    "patch_invariant": (
        "a weight means the same at every patch size",
        "what a weight means depends on the patch size",
    ),
    "differentiable_at_equal": (
        "its gradient is 0 where both say the same",
        "its gradient is not 0, or not defined, where both say the same",
    ),
}
LOSSES_INTRO = """\
A distillation loss compares a map of the student with one of a teacher. Symbols: s and t are the maps of student and
teacher, p and q their probabilities; n counts the N voxels, c the C channels, k the K classes, b the B samples of the
batch; y is the label, T the temperature. Class terms are summed over classes and averaged over voxels and batch.
Memory is what a loss holds beside the two maps, in elements."""
RECIPES_INTRO = """\
A recipe is one YAML file: `segdistill distill RECIPE data.path=FOLDER`. Its status says how near it is to its source:
`exact` follows the formulas of the paper or its code, `close` fills gaps as told, `inspired` has the idea only.
The source of each term and what it costs in memory beside its maps are those of its [loss](losses.md). Where there are
several teachers, each term is taken with each of them, and `combine` says what each counts."""
NETWORKS_INTRO = """\
In a recipe: `student: {type: NAME, ...}`, or `teachers.NAME.network`. All are for 2-D and 3-D images with any number of
channels and classes. Terms name their maps by stage: side and stride, such as `encoder/8`, `decoder/1`, `logits`;
`encoder/deepest` and `decoder/last` are in every network that has such a side."""
PARTS = (  # table, word, title, what to know first
    ("projectors", "projector", "Projectors",
     "Bring maps of different width together: `terms.NAME.projector`. They are trained with the student and never "
     "exported."),
    ("where", "where", "Where",
     "Spatial weights, which say at which voxels a term counts: `terms.NAME.where`."),
    ("combinations", "combine", "Combinations",
     "What each of several teachers counts: `combine`."),
    ("weights", "weight", "Weights",
     "Schedules of a term's weight over the epochs: `terms.NAME.weight`; a number alone is a constant. For example "
     "`weight: {type: linear, start: 0, end: 1, epochs: 20}`."),
    ("optimizers", "optimizer", "Optimizers",
     "What changes the student: `train.optimizer`."),
    ("schedules", "schedule", "Schedules",
     "Factors of the learning rate over the epochs: `train.schedule`."),
    ("intensities", "intensity", "Intensities",
     "What becomes of the numbers of an image channel: `data.channels`, for example "
     "`CT: {type: window, low: -200, high: 300}`; guessed from the channel's name where none is given."),
    ("layouts", "layout", "Layouts",
     "How images and labels lie in a folder: `data.layout`; found out where none is given."),
)  # fmt: skip


def pages() -> dict[str, str]:
    """The Markdown of every page, by file name."""
    return {
        "losses.md": losses(),
        "recipes.md": recipes(),
        "networks.md": networks(),
        "parts.md": parts(),
    }


def losses() -> str:
    """The page of losses: distillation losses by kind, then supervised ones."""
    found = rows("losses")
    used = _uses()
    page = ["# Losses", MADE, LOSSES_INTRO, "## Contents", _contents(found, ("kind",))]
    for kind, group in groupby(found, lambda row: row["kind"]):
        page.append(f"## {kind.capitalize()} losses")
        for row in group:
            page += [f"### {row['name']}", _sentence(row["summary"])]
            page += _supervised(row) if kind == "segmentation" else _loss(row, used.get(row["name"], ()))
    return _page(page)


def _supervised(row: Mapping[str, Any]) -> list[str]:
    from segdistill.losses import SEGMENTATION_LOSSES

    part = SEGMENTATION_LOSSES[row["name"]].part
    example = f"segmentation:\n  loss: {_spec(row['name'], SEGMENTATION_LOSSES)}"
    return [f"Source: {prose(row['reference'])}", *_part(part), "Example:", _block("yaml", example)]


def _loss(row: Mapping[str, Any], recipes: Iterable[str]) -> list[str]:
    from segdistill.losses import LOSSES

    loss = LOSSES[row["name"]]
    part = loss.part()
    if "class_prior" in inspect.signature(loss.part).parameters:
        regions = "refused, as it needs the shares of exclusive classes"
    elif getattr(part, "over_classes", False):
        regions = "each reaches it as a two-class problem, inside or outside"
    else:
        regions = "their sigmoid logits reach it as they are"
    widths = "must be equal, or the term has a projector" if needs_equal_width(part) else "may differ"
    if isinstance(getattr(loss.part, "needs_equal_width", None), property):
        widths = f"by default they {widths}; it depends on the settings"
    facts = [
        f"Source: {prose(loss.reference)}",
        f"Memory: `{loss.memory}`",
        f"Needs: {'the label' if getattr(part, 'needs_label', False) else 'the two maps only'}",
        f"Widths of the two maps: {widths}",
        f"Overlapping regions: {regions}",
        "Value: " + "; ".join(words[not getattr(loss, flag)] for flag, words in FLAGS.items()),
    ]
    if recipes:
        facts.append("Recipes: " + ", ".join(f"[{name}](recipes.md#{name})" for name in recipes))
    example = _block("yaml", example_term(row["name"]))
    return [_block("text", loss.formula), _list(facts), *_part(loss.part), "Example:", example]


def needs_equal_width(loss: Any) -> bool:
    """Whether the maps must have as many channels as each other; a loss that does not say must."""
    return bool(getattr(loss, "needs_equal_width", True))


def example_term(name: str) -> str:
    """A term with this loss, every setting written out, as the section `terms` of a recipe."""
    from segdistill.losses import LOSSES

    row = LOSSES[name]
    lines = ["terms:", f"  {name}:", f"    loss: {_spec(name, LOSSES)}"]
    if row.kind in ("feature", "relation"):
        lines += ["    student: encoder/deepest", "    teacher: encoder/deepest"]
        lines += ["    projector: convolution"] if needs_equal_width(row.part()) else []
    return "\n".join([*lines, "    weight: 1.0"])


def recipes() -> str:
    """The page of recipes: the header of each file, and what it adds up."""
    found = rows("recipes")
    page = ["# Recipes", MADE, RECIPES_INTRO, "## Contents", _contents(found, ("kind", "status"))]
    page.append("## The recipes")
    for row in found:
        recipe, raw = Recipe.load(row["name"]), read(row["name"])
        facts = [f"Kind: {row['kind']}", f"Status: {row['status']}"]
        facts += [f"Source: {prose(row['reference'])}"] if row["reference"] else []
        facts += [f"Needs: {', '.join(row['needs'])}"] if row["needs"] else []
        page += [f"### {row['name']}", _sentence(row["summary"]), _list([*facts, *_roles(recipe, raw)])]
        page.append(_header(shipped()[row["name"]].read_text(encoding="utf-8")))
        if recipe.kind != "protocol":
            page += ["What it adds up:", _block("text", equation(recipe)), _terms(recipe, raw)]
        page += ["Example:", _block("bash", example_command(recipe))]
    return _page(page)


def _roles(recipe: Recipe, raw: Mapping[str, Any]) -> list[str]:
    """Who teaches whom, in what phases; what of the recipe the published code does otherwise."""
    told = [f"Student: {_network(raw['student'])}"] if "student" in raw else []
    for name, section in recipe.teachers.items():
        told.append(f"Teacher `{name}`: {_teacher(section, raw['teachers'][name].get('network'))}")
    if "combine" in raw:
        kind = recipe.combine["type"]
        told.append(f"Teachers are combined by [{kind}](parts.md#combine-{kind})")
    if recipe.phases:
        total = sum(phase.share for phase in recipe.phases)
        for phase in recipe.phases:
            acting = (
                "all terms" if phase.terms is None else ", ".join(f"`{n}`" for n in phase.terms) or "no term"
            )
            words = [f"{phase.share / total:.0%} of the epochs", acting]
            words += [f"segmentation x {phase.segmentation:g}"] if phase.segmentation != 1 else []
            words += [] if phase.student else ["the student does not learn"]
            words += [] if phase.reconstruction else ["projectors do not learn by losses of their own"]
            told.append(f"Phase `{phase.name}`: {', '.join(words)}")
    if "code" in raw:
        changed = ", ".join(f"`{place}`" for place in _places(raw["code"]))
        told.append(f"`parity=code` follows the published code, which differs in {changed}")
    return told


def _teacher(section: TeacherSection, network: Any) -> str:
    """What a teacher is, and the network that the recipe gives it."""
    words = f"a run, by default `{section.run}`" if section.run else "a run or a network of your own"
    if section.peer is not None:
        words = "a peer, trained beside the student"
        words += f", for site `{section.peer.site}`" if section.peer.site else ""
    if section.average is not None:
        words = f"the moving average of the student's weights, momentum {section.average.momentum:g}"
    if network is not None:
        words += f"; its network is {_network(network)}"
        words += ", trained first where the run does not exist yet" if section.frozen else ""
    words += "; it sees another view of the image" if section.view is not None else ""
    return words + ("" if section.weight == 1 else f"; weight {section.weight:g}")


def _network(spec: Any) -> str:
    """A network as the recipe writes it, with a link."""
    spec = {"type": spec} if isinstance(spec, str) else spec
    name = spec.get("preset") or spec["type"]
    return f"[{name}](networks.md#{name}), {_code(_flow(spec))}"


def equation(recipe: Recipe) -> str:
    """The sum that a recipe minimises: `weight x loss(student stage, teacher stage)`, a line each."""
    supervised = recipe.segmentation
    parts = [f"{supervised.weight:g} x {supervised.loss['type']}(student logits, label)"]
    for term in recipe.terms.values():
        for own, other in term.stage_pairs():
            who = "student" if term.teacher_is else " and ".join(term.teachers or ["teacher"])
            call = f"{term.loss['type']}(student {_stages(own)}, {who} {_stages(other)})"
            parts.append(f"{_weight(term)} x {call}")
    if recipe.critic is not None:
        parts.append(f"{recipe.critic.weight:g} x critic(student logits, teacher logits)")
    return "total = " + "\n      + ".join(parts)


def _terms(recipe: Recipe, raw: Mapping[str, Any]) -> str:
    """Of each term: the formula of its loss, the source, the settings that the recipe gives, and what it costs."""
    from segdistill.losses import LOSSES

    kind = recipe.segmentation.loss["type"]
    told = [f"supervised: [{kind}](losses.md#{kind}){_given(raw.get('segmentation', {}).get('loss'))}"]
    for name, term in recipe.terms.items():
        kind = term.loss["type"]
        row = LOSSES[kind]
        lines = [
            f"`{name}`: [{kind}](losses.md#{kind}){_given(raw['terms'][name]['loss'])}",
            f"formula: {_code(row.formula)}",
            f"source: {prose(row.reference)}",
            *_options(term),
            f"memory: {_code(row.memory)}",
        ]
        told.append("\n  - ".join(lines))
    return _list(told)


def _given(loss: Any) -> str:
    """The settings that a recipe gives a loss."""
    settings = (
        {key: value for key, value in loss.items() if key != "type"} if isinstance(loss, Mapping) else {}
    )
    return f" with {_code(_flow(settings))}" if settings else ", by default"


def _options(term: TermSection) -> list[str]:
    """What else a term says of how its maps are compared."""
    told = []
    if isinstance(term.weight, Mapping):
        told.append(f"weight: {_link('weight', term.weight)}")
    if term.where is not None:
        told.append(f"where: {_link('where', term.where)}")
    if term.projector is not None:
        told.append(f"projector: {_link('projector', term.projector)}")
    if term.resize == "student":
        told.append("the student's map is brought to the size of the teacher's")
    return told


def example_command(recipe: Recipe) -> str:
    """The command line that runs a recipe."""
    if recipe.kind == "protocol":
        return f"segdistill distill hinton {recipe.name} data.path=FOLDER"
    if not recipe.terms:
        return f"segdistill train {recipe.name} data.path=FOLDER"
    to_name = [
        f"teachers.{name}.run={section.run or f'runs/{name}'}"
        for name, section in recipe.teachers.items()
        if section.frozen and section.network is None
    ]
    return " ".join([f"segdistill distill {recipe.name} data.path=FOLDER", *to_name])


def networks() -> str:
    """The page of networks and presets."""
    from segdistill.networks import NETWORKS, PRESETS

    contents = _contents([*rows("networks"), *rows("presets")], ("kind",))
    page = ["# Networks", MADE, NETWORKS_INTRO, "## Contents", contents, "## The networks"]
    for row in rows("networks"):
        page += [f"### {row['name']}", _sentence(row["summary"]), f"Source: {prose(row['reference'])}"]
        page += _part(NETWORKS[row["name"]].part)
        page += ["Example:", _block("yaml", f"student: {_spec(row['name'], NETWORKS)}")]
    page += [
        "## Presets",
        "Published sizes, written `student: {preset: NAME}`; any setting can be changed beside it.",
    ]
    for name, preset in PRESETS.items():
        sizes = [f"{dims}-D: {_code(_flow(preset.expand(dims)))}" for dims in preset.settings]
        page += [
            f"### {name}",
            _sentence(preset.summary),
            _list([f"Source: {prose(preset.reference)}", *sizes]),
        ]
    return _page(page)


def parts() -> str:
    """The page of all other parts of a recipe."""
    contents, page = [], []
    for what, word, title, know in PARTS:
        found = rows(what)
        contents += [{**row, "anchor": f"{word}-{row['name']}"} for row in found]
        page += [f"## {title}", know]
        for row in found:
            page.append(f"### {word}: {row['name']}")
            if what == "layouts":
                module = inspect.getmodule(_table(what)[row["name"]].read)
                page += [prose(inspect.getdoc(module) or "")]
                continue
            page += [f"Source: {prose(row['reference'])}"] if row["reference"] else []
            page += _part(class_of(_table(what)[row["name"]]))
            if getattr(_table(what)[row["name"]], "always", False):
                page.append("It is used where the widths agree, too.")
    return _page(["# Parts", MADE, "## Contents", _contents(contents, ("kind",)), *page])


def _table(what: str) -> Mapping[str, Any]:
    """The table itself, of which `catalogue.rows` tells."""
    from segdistill.data import LAYOUTS
    from segdistill.data.intensity import INTENSITIES
    from segdistill.projectors import PROJECTORS
    from segdistill.schedules import WEIGHTS
    from segdistill.teachers.combination import COMBINATIONS
    from segdistill.training.optimization import OPTIMIZERS, SCHEDULES
    from segdistill.where import WHERE

    tables: dict[str, Mapping[str, Any]] = {
        "projectors": PROJECTORS, "where": WHERE, "combinations": COMBINATIONS, "weights": WEIGHTS,
        "optimizers": OPTIMIZERS, "schedules": SCHEDULES, "intensities": INTENSITIES, "layouts": LAYOUTS,
    }  # fmt: skip
    return tables[what]


def _uses() -> dict[str, list[str]]:
    """Which recipes take a loss in their terms."""
    uses: dict[str, list[str]] = {}
    for name in shipped():
        for kind in dict.fromkeys(term.loss["type"] for term in Recipe.load(name).terms.values()):
            uses.setdefault(kind, []).append(name)
    return uses


@dataclass
class Docstring:
    """A docstring in the Google style, taken apart."""

    text: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    refuses: str = ""

    @classmethod
    def of(cls, part: Any) -> Docstring:
        """The docstring of a part."""
        text, *sections = re.split(
            r"^(Args|Attributes|Raises):\n", inspect.getdoc(part) or "", flags=re.MULTILINE
        )
        told = cls(text.strip())
        for title, body in zip(sections[::2], sections[1::2], strict=True):
            entries = re.findall(r"^ {4}(\S[^:]*): (.*(?:\n {5,}.*|\n(?=\n {5}))*)", body, flags=re.MULTILINE)
            joined = {name: " ".join(meaning.split()) for name, meaning in entries}
            if title == "Raises":
                told.refuses = " ".join(joined.values())
            else:
                told.settings |= joined
        return told


def _part(part: Any) -> list[str]:
    """What a part's docstring says, its settings, and what follows from the data."""
    told = Docstring.of(part)
    described = schema(part).model_json_schema()
    required = described.get("required", ())
    lines = []
    for name, spec in described.get("properties", {}).items():
        default = "required" if name in required else f"default `{_flow(spec['default'])}`"
        meaning = f": {prose(told.settings[name])}" if name in told.settings else ""
        lines.append(f"`{name}` ({kind_of(spec)}; {default}){meaning}")
    page = [prose(told.text)]
    page += ["Settings:", _list(lines)] if lines else ["It has no settings."]
    given = [f"`{name}`" for name in inspect.signature(part).parameters if name in DATA_GIVEN]
    page += [f"Follows from the data: {', '.join(given)}."] if given else []
    return page + ([f"Refused: {prose(told.refuses)}"] if told.refuses else [])


def kind_of(spec: Mapping[str, Any]) -> str:
    """A JSON schema in words: `number > 0`, `one of ...`, `list of 2 to 8 integers >= 1`."""
    if "anyOf" in spec:
        return " or ".join(kind_of(choice) for choice in spec["anyOf"])
    if "enum" in spec:
        return "one of " + ", ".join(f"`{_flow(choice)}`" for choice in spec["enum"])
    if spec["type"] == "array":
        items = spec.get("prefixItems") or [spec["items"]]
        kinds = list(dict.fromkeys(kind_of(item) for item in items))
        least, most = spec.get("minItems"), spec.get("maxItems")
        count = f"{least}" if least == most else f"{least or 0} to {most}" if most else f"{least} or more"
        return "list of" + (f" {count} x" if least or most else "") + " " + " and ".join(kinds)
    words = {"boolean": "true or false", "string": "text", "null": "null"}.get(spec["type"], spec["type"])
    low, high = (
        spec.get("minimum", spec.get("exclusiveMinimum")),
        spec.get("maximum", spec.get("exclusiveMaximum")),
    )
    if low is not None and high is not None:
        opening, closing = "[" if "minimum" in spec else "(", "]" if "maximum" in spec else ")"
        words += f" in {opening}{low:g}, {high:g}{closing}"
    elif low is not None:
        words += f" {'>=' if 'minimum' in spec else '>'} {low:g}"
    elif high is not None:
        words += f" {'<=' if 'maximum' in spec else '<'} {high:g}"
    return words + (f", a multiple of {spec['multipleOf']:g}" if "multipleOf" in spec else "")


def prose(text: str) -> str:
    """Plain text as Markdown: `code` and lists stay, other markup is escaped, arXiv and DOI become links."""
    pieces = re.split(r"(`[^`]+`)", text)
    pieces[::2] = [_escaped(piece) for piece in pieces[::2]]
    lines: list[str] = []
    inside = False  # a list
    for line in "".join(pieces).splitlines():
        before = lines[-1] if lines else ""
        item = line.startswith("- ") and (inside or not before or before.endswith((":", ".")))
        if (item and before and not inside) or (inside and before and not item and not line.startswith(" ")):
            lines.append("")
        inside = (bool(line) and (item or (inside and line.startswith(" ")))) or (inside and not line)
        lines.append(line if item else re.sub(r"^(\s*)([-+#>=](?=\s|=)|\d+(?=[.)]\s))", _disarm, line))
    return "\n".join(lines)


def _disarm(start: re.Match[str]) -> str:
    """The start of a line that would be read as that of a list, a heading or a quotation, as plain text."""
    return f"{start[1]}{start[2]}\\" if start[2].isdigit() else f"{start[1]}\\{start[2]}"


def _escaped(text: str) -> str:
    text = re.sub(r"[\\*~]|<(?=[A-Za-z/!?])|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).replace("](", "]\\(")
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi:(10\.\d+/[^\s,;)]*[^\s,;).:])", r"[doi:\1](https://doi.org/\1)", text)


def _header(text: str) -> str:
    """The comment at the head of a recipe; its command lines are blocks."""
    comment = text[: text.index("\nname: ")].splitlines()
    lines = [line.removeprefix("#").removeprefix(" ").rstrip() for line in comment]
    page = []
    for command, group in groupby(lines, lambda line: re.match(r"\s+segdistill ", line) is not None):
        block = "\n".join(line.strip() if command else line for line in group).strip("\n")
        page.append(_block("text", block) if command else prose(block))
    return "\n\n".join(filter(None, page))


def _sentence(text: str) -> str:
    """A summary as a sentence."""
    return prose(text[:1].upper() + text[1:]).removesuffix(".") + "."


def _contents(found: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    """A table of what is on a page."""
    lines = [f"| name | {' | '.join(columns)} | what it is |", "|---" * (len(columns) + 2) + "|"]
    for row in found:
        link = f"[{row['name']}](#{row.get('anchor', row['name'])})"
        cells = [link, *(row[column] for column in columns), prose(row["summary"]).replace("|", "\\|")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _page(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _code(text: str) -> str:
    return f"`{text}`"


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _spec(name: str, table: Mapping[str, Any]) -> str:
    """A part with every default written out, as a recipe says it."""
    return _flow({"type": name, **schema(class_of(table[name]))().model_dump(mode="json")})


def _link(word: str, part: Mapping[str, Any]) -> str:
    return f"[{part['type']}](parts.md#{word}-{part['type']}), {_code(_flow(part))}"


def _stages(stages: Stages) -> str:
    return stages if isinstance(stages, str) else f"[{' + '.join(stages)}]"


def _weight(term: TermSection) -> str:
    return str(term.weight["type"]) + "(epoch)" if isinstance(term.weight, Mapping) else f"{term.weight:g}"


def _places(data: Mapping[str, Any], depth: int = 2) -> list[str]:
    """The paths of what a section changes, two steps deep."""
    found = []
    for key, value in data.items():
        if depth > 1 and isinstance(value, Mapping) and "type" not in value:
            found += [f"{key}.{below}" for below in _places(value, depth - 1)]
        else:
            found.append(key)
    return found


def main() -> None:
    """Write the pages into the folder that is named."""
    parser = argparse.ArgumentParser(prog="python -m segdistill.reference", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pages go, such as docs/reference")
    folder = parser.parse_args().folder
    for name, text in pages().items():
        write_text(folder / name, text)


if __name__ == "__main__":
    main()
