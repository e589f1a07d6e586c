"""What a study asks for, as typed data: groups of runs, how they vary, profiles of its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, PositiveInt, model_validator

from segdistill.composition import merge, parse_override, read, read_yaml
from segdistill.errors import SegdistillError
from segdistill.parts import unknown
from segdistill.recipe import IDENTITY
from segdistill.sections.section import Section, section
from segdistill.study.standing_alone import with_recipes

FULL = "full"
"""The profile of a study as it is written."""

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]*(_[A-Za-z0-9-]+)*$"
Name = Annotated[str, Field(pattern=PATTERN)]
"""Of a group or an option: a part of folder names."""


def _each_once(numbers: list[int]) -> list[int]:
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise ValueError(f"{twice[0]} is there twice; each run is made once")
    return numbers


Numbers = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(_each_once)]
"""Seeds or folds."""


def _of_runs(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that are sections, as far as the study itself reads them."""
    for name in ("data", "train"):
        if name in settings and not isinstance(settings[name], Mapping):
            raise ValueError(
                f"{name}: expected a section such as {{{EXAMPLES[name]}}}, got {settings[name]!r}"
            )
    return settings


EXAMPLES = {"data": "path: FOLDER", "train": "epochs: 50"}
Layer = Annotated[dict[str, Any], AfterValidator(_of_runs)]
"""Settings that are laid over a recipe's."""


class Option(Section):
    """One way in which runs of a group vary: what of the group it replaces, and what it lays over it."""

    recipe: str | None = None
    """One of the study's own, a shipped one, or a file: beside the study's, else seen from the working directory."""
    settings: Layer = {}
    """A layer over the group's settings."""
    teachers: dict[str, str | None] = {}
    """Over the group's; null takes a teacher out."""


class Group(Option):
    """Runs that differ by seed, fold and the options along which they vary: a row of the table, or several."""

    about: str = ""
    vary: dict[Name, dict[Name, Option]] = {}
    """Dimensions, each with its options; every combination is run."""
    every: Literal["teachers", "terms"] | None = None
    """Also vary over all subsets of the teachers, or of the recipe's terms, but for the empty one: a student alone is a
    group of its own."""
    keep: list[str] = []
    """Teachers or terms that are in every subset."""
    seeds: Numbers | None = None
    folds: Numbers | None = None


class PhantomSection(Section):
    """Synthetic patients, where no data are named."""

    patients: Annotated[int, Field(ge=4)] = 24
    size: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 64, 48)
    difficulty: Annotated[float, Field(ge=0, le=1)] = 0.25
    seed: int = 0


class Study(Section):
    """A study: its groups of runs and what they have in common."""

    name: Name = "study"
    summary: str = ""
    reference: str = ""
    differs: str = ""
    """What differs from the paper."""
    settings: Layer = {}
    """A layer of the recipe of every run, over which those of its group and options are laid."""
    recipes: dict[str, Layer] = {}
    """Recipes of its own, as groups name them; those that lie in files are written here."""
    groups: Annotated[dict[Name, Group], Field(min_length=1)]
    seeds: Numbers = [0]
    folds: Numbers = [0]
    phantom: PhantomSection | None = None
    """Made where `settings.data.path` is not given."""
    profiles: dict[Name, dict[str, Any]] = {}
    """Layers over the study itself, by name: smaller ones to try it on; null takes a group or an option out."""

    def recipe(self, name: str) -> str | Mapping[str, Any]:
        """What a group names: a recipe of the study's own, else the name of a shipped one."""
        return {"name": name, **self.recipes[name]} if name in self.recipes else name

    @model_validator(mode="after")
    def _says_seeds_and_folds_once(self) -> Study:
        """Each run has its own; one in the settings would be without effect."""
        train, splits = self.settings.get("train", {}), self.settings.get("data", {}).get("splits")
        if "seed" in train and [train["seed"]] != self.seeds:
            raise ValueError(
                f"settings.train.seed: the runs have the seeds {self.seeds}; say `seeds` instead"
            )
        if isinstance(splits, Mapping) and "fold" in splits and [splits["fold"]] != self.folds:
            raise ValueError(
                f"settings.data.splits.fold: the runs have the folds {self.folds}; say `folds` instead"
            )
        return self


def shipped() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(str(resources.files("segdistill.study") / "shipped"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load(
    source: str | Path | Mapping[str, Any],
    *,
    profile: str = FULL,
    layers: Sequence[str | Path] = (),
    overrides: Sequence[str] = (),
) -> Study:
    """A study, checked, with a profile laid over it.

    Args:
        source: a shipped name, a YAML file or plain data. Recipes that it names by their files are looked for beside
            it, then in the working directory.
        profile: of its own; `full` is the study as it is written.
        layers: recipes (such as a protocol) that are laid over the settings of all runs.
        overrides: `key.path=value` over the settings of all runs. What a group or an option sets of its own, it keeps
            (see `segdistill.study.own_values`).

    Raises:
        SegdistillError: no such study or profile, or a key or value that is none.
    """
    if isinstance(source, Mapping):
        plain = with_recipes(source, None)
    else:
        path = file_of(source)
        told = read_yaml(path, f"study {path}", "groups, settings, seeds, ...")
        plain = with_recipes({"name": path.stem, **told}, path.parent)
    profiles = plain.get("profiles") or {}
    if profile != FULL:
        if not isinstance(profiles, Mapping) or profile not in profiles:
            raise SegdistillError(f"profile: {unknown(profile, [FULL, *profiles])}")
        if not isinstance(profiles[profile], Mapping):
            raise SegdistillError(
                f"profiles.{profile}: expected sections of a study (settings, groups, seeds, ...), got "
                f"{type(profiles[profile]).__name__}"
            )
        plain = merge(plain, profiles[profile])
    for layer in told_of_all(layers, overrides):
        plain = merge(plain, {"settings": layer})
    return section(Study, _without_removed(plain), "")


def told_of_all(layers: Sequence[str | Path], overrides: Sequence[str]) -> list[dict[str, Any]]:
    """What is laid over the settings of all runs, as plain data: recipes without their names, then overrides."""
    recipes = [{key: value for key, value in read(layer).items() if key not in IDENTITY} for layer in layers]
    return recipes + [parse_override(override) for override in overrides]


def _without_removed(plain: dict[str, Any]) -> dict[str, Any]:
    """The study without the groups and options that a profile set to null."""
    groups = plain.get("groups")
    if not isinstance(groups, Mapping):
        return plain
    kept = {}
    for name, group in groups.items():
        if isinstance(group, Mapping) and isinstance(group.get("vary"), Mapping):
            vary = {
                dimension: {key: option for key, option in options.items() if option is not None}
                if isinstance(options, Mapping)
                else options
                for dimension, options in group["vary"].items()
            }
            kept[name] = {**group, "vary": vary}
        elif group is not None:
            kept[name] = group
    return {**plain, "groups": kept}


def file_of(source: str | Path) -> Path:
    """The file of a study, shipped or the user's.

    Raises:
        SegdistillError: there is none.
    """
    path = shipped().get(str(source), Path(source))
    if not path.is_file():
        raise SegdistillError(f"study {str(source)!r}: no such file, and {unknown(str(source), shipped())}")
    return path


def to_yaml(study: Study) -> str:
    """The study with every default, as YAML."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
