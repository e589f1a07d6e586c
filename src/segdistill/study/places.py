"""Where a study, its images and its teachers lie on this machine, and what stands for that where the study is kept."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from markupsafe import escape

from segdistill.composition import read_yaml
from segdistill.publishable import LOOKS_LIKE_A_PATH, flat
from segdistill.report.markdown import plain
from segdistill.run import Run
from segdistill.study.expansion import RUNS
from segdistill.study.folder import StudyFolder

STUDY, STORE = "STUDY", "STORE"
STANDS_FOR = {
    "data.path": "DATA",
    "data.store": STORE,
    "data.splits.file": "SPLITS",
    "data.unlabelled.path": "UNLABELLED",
    "teachers.*.run": "TEACHERS",
    "teachers.*.path": "TEACHERS",
    "train.mlflow": "MLFLOW",
}
"""By the settings that say where something lies, what stands for the folder that it lies in."""
PICTURE = re.compile(r"base64,[A-Za-z0-9+/=]+")
END = r"(?![\w-]|\.\w)"
"""Where the name of a folder is over."""


@dataclass(frozen=True)
class Places:
    """Places on this machine and what stands for each, the longest first: one may lie in another."""

    names: Mapping[str, str]

    @classmethod
    def of(cls, folder: StudyFolder, also: Mapping[str, str]) -> Places:
        """All that the study and its runs name, and more.

        Absolute ones, and of relative ones those of several folders: `a/b` tells where things lie, `b` does not.
        """
        found = {**also, **_found(folder)}
        telling = {place: name for place, name in found.items() if len(Path(place).parts) > 1}
        return cls(dict(sorted(telling.items(), key=lambda pair: len(pair[0]), reverse=True)))

    def without(self, text: str) -> str:
        """The text with other names for places, where they stand as whole names of folders."""
        names = [*self.names.values()]
        return self._pattern.sub(lambda found: names[(found.lastindex or 0) - 1], text)

    def left_in(self, text: str) -> str | None:
        """An absolute path of this machine that the text says: in such a place, in the home or temporary folder."""
        own = (each for one in (Path.home(), Path(gettempdir())) for each in (one, one.resolve()))
        places = [one for one in (*map(Path, self.names), *own) if one.is_absolute() and len(one.parts) > 1]
        anywhere = rf"(?<![\w.~<-])(?:{'|'.join(_written(str(one)) for one in places)}){END}[^\s\"'<>`]*"
        found = re.search(anywhere, PICTURE.sub("", text))
        return None if found is None else found[0]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Any of the places, each in a group of its own."""
        return re.compile(
            rf"(?<![\w./~<-])(?:{'|'.join(f'({_written(place)})' for place in self.names)}){END}"
        )


def _written(place: str) -> str:
    """A place as a text may have it: as it is, or as a shell, YAML, JSON, Markdown or HTML write its signs."""
    quoted = {place, place.replace("'", "'\"'\"'"), place.replace("'", "''"), json.dumps(place)[1:-1]}
    forms = {form for one in quoted for form in (one, plain(one), str(escape(one)))}
    longest_first = sorted(forms, key=len, reverse=True)
    # YAML breaks long lines at spaces.
    return "|".join(re.escape(one).replace("\\ ", r"\s+") for one in longest_first)


def _found(folder: StudyFolder) -> dict[str, str]:
    """By place, what stands for it: for what lies in the study the study, for anything else its kind and own name."""
    found = dict.fromkeys(_roots(folder), STUDY)
    roots, kinds = [*found], dict[str, list[Path]]()
    named, unnamed = set[str](), dict[str, str]()
    for key, value in _told(folder):
        if any(Path(value).is_relative_to(root) for root in roots):
            continue
        if (kind := _kind(key)) is None:
            if LOOKS_LIKE_A_PATH.search(value):
                unnamed[str(Path(value))] = Path(value).name
            continue
        named.add(str(Path(value)))
        if "://" in value:
            found.setdefault(value, kind)
            continue
        lies = Path(value).expanduser().resolve()
        name = _numbered(kind, kinds.setdefault(kind, []), lies.parent)
        for one in (Path(value), lies):
            found.setdefault(str(one.parent), name)
            if one.parent == Path(one.anchor):  # `/data`: nothing stands for the root
                found.setdefault(str(one), one.name)
    return {place: name for place, name in unnamed.items() if place not in named} | found


def _kind(key: str) -> str | None:
    """What stands for the folder of a place that the setting names; None where it names none."""
    return next((name for place, name in STANDS_FOR.items() if fnmatchcase(f".{key}", f"*.{place}")), None)


def _numbered(kind: str, folders: list[Path], parent: Path) -> str:
    """TEACHERS, TEACHERS2, ...: what lies in two folders under one name stays two. A store is told in two ways."""
    if parent not in folders:
        folders.append(parent)
    number = folders.index(parent) + 1
    return kind if number == 1 or kind == STORE else f"{kind}{number}"


def _roots(folder: StudyFolder) -> Iterator[str]:
    """Where the study lies, and where it lay when its runs were made."""
    yield str(folder.path)
    for one in folder.planned:
        before = _recipe(folder.run(one.name)).get("teachers") or {}
        for name, teacher in one.recipe.teachers.items():
            now, then = Path(teacher.run or ""), Path((before.get(name) or {}).get("run") or "")
            if now.parent == folder.path / RUNS and then.is_absolute() and now.parts[-2:] == then.parts[-2:]:
                yield str(then.parents[1])


def _told(folder: StudyFolder) -> Iterator[tuple[str, str]]:
    """Every text that may be a place, by the setting that says it; by none where a command does."""
    runs = [folder.run(one.name) for one in folder.planned]
    settings = [one.recipe.model_dump(mode="json") for one in folder.planned]
    for content in (*settings, folder.study.model_dump(mode="json"), *map(_recipe, runs)):
        for key, value in flat(content).items():
            several = value if isinstance(value, list) else [value]
            yield from ((key, one) for one in several if isinstance(one, str) and one)
    yield from _words(folder.command)
    for run in runs:
        yield from _recorded(run.info) if run.file("run.json").is_file() else ()


def _recorded(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The places that run.json has: of teachers, of what they were asked beforehand, and in the command."""
    for name, place in (info.get("teachers") or {}).items():
        if place != "python":  # a network that lies nowhere
            yield f"teachers.{name}.run", str(place)
    for name, group in (info.get("groups") or {}).items():
        yield from ((f"teachers.{name}.path", str(member)) for member in group["members"])
    for told in (info.get("knowledge") or {}).values():
        if isinstance(told, Mapping) and isinstance(recording := told.get("cached"), str):
            yield "data.store", str(Path(recording).parents[1])  # STORE/images/knowledge/recording
    yield from _words(info.get("command") or "")


def _words(command: str | list[str]) -> Iterator[tuple[str, str]]:
    """The words of a command, and of `key=value` the value."""
    for word in shlex.split(command) if isinstance(command, str) else map(str, command):
        yield "", word.partition("=")[2] or word


def _recipe(run: Run) -> dict[str, Any]:
    """The recipe of a run as it was written; empty where it was not begun."""
    file = run.file("recipe.yaml")
    return read_yaml(file, str(file), "data, student, train, ...") if file.is_file() else {}
