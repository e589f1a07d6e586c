"""Parts of a bundle's config made into objects: here the bundle's own code runs."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import monai
from monai.bundle import ConfigParser

from segdistill.errors import SegdistillError
from segdistill.teachers.monai_bundle.folder import read


class Resolver:
    """The config of a trusted bundle, of which the parts that are asked for are made, and what these need.

    `bundle_root` is the bundle's folder, and `device`, where the config has one, the CPU.
    """

    def __init__(self, folder: Path, config: Path, metadata: Mapping[str, Any], made_with: str) -> None:
        self.folder, self.config, self.made_with = folder, config, made_with
        try:
            self.parser = ConfigParser()
            self.parser.read_config(str(config))
            self.parser.read_meta(dict(metadata))
        except Exception as error:
            raise SegdistillError(f"{config} cannot be read ({error})") from error
        self.parser["bundle_root"] = str(folder)
        self.names = [str(key) for key in read(config) if not str(key).startswith("_")]
        if "device" in self.parser:
            self.parser["device"] = "$torch.device('cpu')"

    def raw(self, name: str) -> Any:
        """A part as it stands in the config, None where there is none of that name."""
        return self.parser.get(name)

    def need(self, name: str, what: str, setting: str) -> None:
        """Refuse a config without the part.

        Raises:
            SegdistillError: it is not there; names that are there are listed.
        """
        if name not in self.parser:
            raise SegdistillError(
                f"{self.config} has no {name!r}, which is to be {what}; it has: {', '.join(self.names) or 'nothing'}. "
                f"Say which it is: source={{type: monai_bundle, {setting}: NAME}}"
            )

    def make(self, name: str) -> Any:
        """The object that a part describes.

        Raises:
            SegdistillError: whatever its code raised, with the versions of MONAI.
        """
        try:
            with importable(self.folder), warnings.catch_warnings():
                # Arguments that MONAI has deprecated since are its authors' affair, and still mean what they meant.
                warnings.simplefilter("ignore", FutureWarning)
                warnings.simplefilter("ignore", DeprecationWarning)
                return self.parser.get_parsed_content(name)
        except Exception as error:  # code of the bundle's may raise anything
            cause = error.__cause__ or error.__context__ or error
            told = f"{type(cause).__name__}: {cause}".strip()
            raise SegdistillError(
                f"{self.config}: {name} could not be made ({told[:500]}). The bundle was made with MONAI "
                f"{self.made_with}, here is {monai.__version__}; its config may need a newer version of the bundle, "
                "or a package that is not installed"
            ) from error

    def text(self, name: str) -> str:
        """A part with its macros replaced, as text."""
        return json.dumps(self.parser.get(name), default=repr, sort_keys=True)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Within the block modules of the bundle can be imported; afterwards others of the same name again.

    Many bundles have a package `scripts`; each must get its own.
    """
    names = {f.stem for f in folder.iterdir() if f.suffix == ".py" or (f.is_dir() and f.name.isidentifier())}
    names -= {"monai", "numpy", "segdistill", "torch", *sys.stdlib_module_names}  # never a second time

    def own() -> dict[str, Any]:
        return {name: module for name, module in sys.modules.items() if name.split(".")[0] in names}

    path, before = list(sys.path), own()
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name in own():
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path
