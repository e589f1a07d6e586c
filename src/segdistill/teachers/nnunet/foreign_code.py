"""Run by the Python of nnU-Net's environment, never imported by segdistill: what code a model would run there.

    python foreign_code.py [PACKAGE ...]

It prints one line, `{"version": "2.8.1", "digest": "..."}`: hexadecimal digits of the sources of nnunetv2, of its
networks, of the packages that are named and of the trainers in the folders of nnUNet_extTrainer, and of the versions
of all that is installed. Nothing of it is imported, so none of it runs. Without nnU-Net it ends with a message.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

NNUNET, NETWORKS = "nnunetv2", "dynamic_network_architectures"
TRAINERS = "nnUNet_extTrainer"  # the variable, as nnU-Net spells it
TOLD_BY_VERSION = {"torch"}  # gigabytes of libraries
CODE = {".py", ".so", ".pyd"}


def installed() -> list[str]:
    """`name version` of every distribution, sorted."""
    return sorted({f"{found.metadata['Name']} {found.version}" for found in metadata.distributions()})


def places(package: str) -> list[Path]:
    """The folders of a package, or the file of a module; none where it is not there."""
    found = importlib.util.find_spec(package)
    if found is None:
        return []
    if found.submodule_search_locations is not None:
        return [Path(place) for place in found.submodule_search_locations]
    return [Path(found.origin)] if found.origin and Path(found.origin).is_file() else []


def digest_of(packages: Sequence[str], folders: Sequence[Path], versions: Sequence[str]) -> str:
    """Digits of the code of packages and folders, wherever they lie, and of versions."""
    digest = hashlib.blake2b(json.dumps(list(versions)).encode(), digest_size=16)
    named = [(package, place) for package in sorted(set(packages)) for place in places(package)]
    for name, place in [*named, *(("trainers", folder) for folder in folders)]:
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.suffix in CODE]
        for relative, file in sorted((file.relative_to(place).as_posix(), file) for file in files):
            if file.is_file():
                content = file.read_bytes()
                digest.update(f"{name} {relative} {len(content)}\n".encode())
                digest.update(content)
    return digest.hexdigest()


def main() -> None:
    """Tell it."""
    sys.path.pop(0)  # this file's folder holds modules that nnU-Net does not know
    if not places(NNUNET):
        sys.exit(f"{sys.executable} has no {NNUNET}")
    try:
        version = metadata.version(NNUNET)
    except metadata.PackageNotFoundError:  # a copy on the path, or a fork that is installed by another name
        version = "unknown"
    packages = {NNUNET, NETWORKS, *sys.argv[1:]} - TOLD_BY_VERSION
    folders = [Path(folder) for folder in os.environ.get(TRAINERS, "").split(os.pathsep) if folder]
    told = {"version": version, "digest": digest_of(sorted(packages), folders, installed())}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
