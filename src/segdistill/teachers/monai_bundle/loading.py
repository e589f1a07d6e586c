"""The start of a bundle's preprocessing, which reads files: left out, since a case arrives as an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai.transforms import Compose, EnsureChannelFirst, EnsureChannelFirstd, LoadImage, LoadImaged

from segdistill.errors import SegdistillError
from segdistill.teachers.monai_bundle.metadata import Metadata
from segdistill.teachers.monai_bundle.resolving import Resolver

LOADING = (LoadImage, LoadImaged)
CHANNELS = (EnsureChannelFirst, EnsureChannelFirstd)


@dataclass(frozen=True)
class Loaded:
    """How the bundle's transforms expect a case that has been loaded.

    Attributes:
        transforms: those that follow, as they are.
        key: of the image in the dictionary; None: the transforms take the image itself.
        swapped: photographs have their columns first, as MONAI's readers give them.
    """

    transforms: Compose
    key: str | None
    swapped: bool


def without_loading(resolver: Resolver, name: str, metadata: Metadata) -> Loaded:
    """Make the bundle's preprocessing without what reads files and finds the channel axis.

    Raises:
        SegdistillError: it cannot be made, is no composition of transforms, or loads several images by name.
    """
    place = f"{resolver.config}: {name}"
    keys, swapped = _switch_off(resolver, name)
    made = resolver.make(name)
    if not isinstance(made, Compose):
        raise SegdistillError(f"{place}: expected a Compose of transforms, it is {type(made).__name__}")
    steps = []
    dictionary = keys is not None
    for step in made.flatten().transforms:
        if isinstance(step, LOADING):
            swapped = _swaps(step if isinstance(step, LoadImage) else step._loader)
            keys, dictionary = keys or getattr(step, "keys", None), isinstance(step, LoadImaged)
        elif not isinstance(step, CHANNELS):
            steps.append(step)
            dictionary = dictionary or hasattr(step, "keys")
    key = _image_key(keys, resolver, metadata, place) if dictionary else None
    rest = Compose(steps, map_items=made.map_items, lazy=made.lazy, overrides=made.overrides)
    return Loaded(rest, key, swapped)


def _switch_off(resolver: Resolver, name: str) -> tuple[tuple[str, ...] | None, bool]:
    """Switch off loading in the config, so that its reader need not be installed; its keys, and whether it swaps."""
    keys, swapped = None, False
    found = resolver.raw(name)
    steps = found.get("transforms") if isinstance(found, Mapping) else None
    for number, step in enumerate(steps if isinstance(steps, list) else []):
        target = str(step.get("_target_", "")).rsplit(".", 1)[-1] if isinstance(step, Mapping) else ""
        if target not in ("LoadImage", "LoadImaged", "LoadImageD", "LoadImageDict"):
            continue
        place = f"{name}::transforms::{number}"
        if "keys" in step:
            told = resolver.make(f"{place}::keys")
            keys = (told,) if isinstance(told, str) else tuple(told)
        reader = str(resolver.make(f"{place}::reader")).rsplit(".", 1)[-1] if step.get("reader") else ""
        reverse = step.get("reverse_indexing", reader != "ITKReader")
        swapped = bool(reverse) == (reader != "ITKReader") and reader != "NumpyReader"
        resolver.parser[f"{place}::_disabled_"] = True
    return keys, swapped


def _swaps(loader: Any) -> bool:
    """Whether a photograph is read with its columns first."""
    for reader in reversed(loader.readers):
        if type(reader).__name__ == "PILReader":
            return bool(reader.reverse_indexing)
        if type(reader).__name__ == "ITKReader":
            return not reader.reverse_indexing
    return False


def _image_key(keys: Any, resolver: Resolver, metadata: Metadata, place: str) -> str:
    told = resolver.raw("image_key")
    wanted = told if isinstance(told, str) else metadata.image_key
    if keys is None or wanted in keys:
        return wanted
    if len(keys) == 1:
        return str(keys[0])
    raise SegdistillError(
        f"{place} loads several images ({', '.join(map(str, keys))}), none of them called {wanted!r}. A case has one "
        "image with all of its channels: name another preprocessing, or add one to the config that loads one"
    )
