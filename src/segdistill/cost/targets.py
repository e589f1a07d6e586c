"""What `segdistill cost` can be asked about: networks, presets, runs and the networks of recipes, by name or path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from segdistill.composition import merge, parse_override, shipped
from segdistill.errors import SegdistillError
from segdistill.model import Facts, architecture, facts_of
from segdistill.network_part import complete_network
from segdistill.networks import NETWORKS, PRESETS
from segdistill.notes import note
from segdistill.recipe import Recipe
from segdistill.run import Run

DEFAULT_SIZE = (64, 64, 64)
CHANNELS, CLASSES = 2, 2  # of networks that no data belong to; the numbers of the PET-CT tables
RECIPE = "recipe:"


@dataclass(frozen=True)
class Target:
    """One network that has a price: its part in a recipe's words, and the data that it is for."""

    name: str
    part: Mapping[str, Any]
    facts: Facts


def targets(
    words: Sequence[str], size: tuple[int, ...] | None, channels: int | None, classes: int | None
) -> list[Target]:
    """The networks that the words of a command mean.

    Args:
        words: networks, presets, run folders, recipes (shipped or YAML), `all` for every network, and `key=value`
            settings, which change the networks and recipes among them. A name that is a network and a recipe means the
            network; `recipe:NAME` means the recipe.
        size: voxels of the input; None: a run's or a recipe's patch, else 64 x 64 x 64.
        channels, classes: of the networks' ends; None: a run's or a dataset's own, else 2 and 2.

    Raises:
        SegdistillError: a word that means nothing, or settings that do not fit.
    """
    changes = [word for word in words if "=" in word and not Path(word).exists()]
    asked = _Asked(size, channels, classes, changes)
    named = [word for word in words if word not in changes]
    runs = [word for word in named if _is_run(word)]
    if changes and runs and runs == named:
        raise SegdistillError(f"{changes[0]}: {runs[0]} is a run, and its network is as it was trained")
    if changes and runs:
        note(f"runs are as they were trained; {' '.join(changes)} changes the others")
    found: list[Target] = []
    for word in named:
        found += asked.networks() if word == "all" else asked.of(word)
    return found


@dataclass(frozen=True)
class _Asked:
    """What was said beside the names."""

    size: tuple[int, ...] | None
    channels: int | None
    classes: int | None
    changes: Sequence[str]

    def of(self, word: str) -> list[Target]:
        if _is_run(word):
            return [self._run(word)]
        if word in NETWORKS or word in PRESETS:
            return [self._network(word)]
        name = word.removeprefix(RECIPE)
        if name in shipped() or Path(name).suffix in (".yaml", ".yml"):
            return self._recipe(name)
        if Path(word).is_dir():
            raise SegdistillError(f"{word} is not a run: it has no run.json")
        near = get_close_matches(word, [*NETWORKS, *PRESETS, *shipped(), "all"], n=1)
        raise SegdistillError(
            f"{word}: no network, preset, run folder or recipe{f'; did you mean {near[0]!r}?' if near else ''} "
            "(`segdistill list networks`, `list presets` and `list recipes` show what there is)"
        )

    def networks(self) -> list[Target]:
        """All networks; those that have not the settings that were given are left out, and named."""
        found = []
        for name in NETWORKS:
            try:
                found.append(self._network(name))
            except SegdistillError as error:
                if not self.changes:
                    raise
                note(f"left out: {error}")
        return found

    @property
    def sides(self) -> tuple[int, ...]:
        return self.size or DEFAULT_SIZE

    def _network(self, name: str) -> Target:
        part: dict[str, Any] = {"preset": name} if name in PRESETS else {"type": name}
        for change in sorted(self.changes, key=lambda text: text.partition("=")[0].count(".")):
            said = parse_override(change.removeprefix("student."))
            if said.keys() & {"type", "preset"}:
                raise SegdistillError(f"{change}: name the network or preset instead, `segdistill cost NAME`")
            part = merge(part, said)
        facts = Facts(len(self.sides), self.channels or CHANNELS, self.classes or CLASSES, self.sides)
        return Target(name, complete_network(part, name, student=True), facts)

    def _run(self, path: str) -> Target:
        run = Run.open(path)
        own, part = facts_of(run), architecture(run)["part"]
        if part["type"] == "python":
            raise SegdistillError(
                f"{path} trained a network of your own ({part['class']}); count it in Python: "
                "segdistill.cost.count(network, (channels, *size))"
            )
        facts = replace(
            own,
            in_channels=self.channels or own.in_channels,
            out_channels=self.classes or own.out_channels,
            image_size=self.size or own.image_size,
        )
        return Target(path, part, facts)

    def _recipe(self, name: str) -> list[Target]:
        recipe = Recipe.load(name, overrides=self.changes)
        facts = self._facts(recipe)
        found = [_seeing(f"{recipe.name}: student", recipe.student, facts)]
        for teacher, section in recipe.teachers.items():
            label = f"{recipe.name}: {teacher}"
            if section.run is not None and _is_run(section.run):
                trained = self._run(section.run)
                ends = replace(trained.facts, image_size=facts.image_size)  # it sees what the student sees
                found.append(Target(label, trained.part, ends))
            elif section.network is not None:
                found.append(_seeing(label, section.network, facts))
            elif section.peer is None and section.average is None:
                note(f"left out: {label}, whose network nothing names (teachers.{teacher}.run or .network)")
        for target in found:
            if target.part.get("type") == "python":
                note(f"left out: {target.name}, a network of your own")
        return [target for target in found if target.part.get("type") != "python"]

    def _facts(self, recipe: Recipe) -> Facts:
        """Of the recipe's dataset where it is there; what was asked for goes before."""
        size = self.size or (recipe.data.patch_size and tuple(recipe.data.patch_size)) or None
        channels, classes, dims = CHANNELS, CLASSES, len(size or DEFAULT_SIZE)
        if recipe.data.path is not None and Path(recipe.data.path).is_dir():
            from segdistill.data import open_dataset

            dataset = open_dataset(recipe.data.path, recipe.data.layout)
            if recipe.data.labels is not None:
                dataset = dataset.select(recipe.data.labels)
            channels, classes = len(dataset.channels), dataset.out_channels
            dims = 2 if recipe.data.slices is not None else dataset.spatial_dims
        elif recipe.data.slices is not None:
            dims = 2
        return Facts(
            dims if size is None else len(size),
            self.channels or channels,
            self.classes or classes,
            size or DEFAULT_SIZE[:dims],
        )


def _is_run(path: str) -> bool:
    return (Path(path) / "run.json").is_file()


def _seeing(name: str, part: Mapping[str, Any], facts: Facts) -> Target:
    """A network for the image channels that its part names, or all."""
    channels = len(part["inputs"]) if "inputs" in part else facts.in_channels
    return Target(name, part, replace(facts, in_channels=channels))
