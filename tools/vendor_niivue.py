"""Fetch NiiVue, which draws the page of `segdistill view`, into src/segdistill/viewer/vendor/.

The pinned package is downloaded from registry.npmjs.org, its sha512 is checked, and of its files only the built script
is kept, beside its licence. What is there already and right is left alone, so that it can be run at any time.

    python tools/vendor_niivue.py [--folder FOLDER] [--package FILE.tgz]

Exit codes: 0 done, 1 the registry is out of reach, 2 what came is not what was asked for.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import base64
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path

VERSION = "0.69.0"
URL = f"https://registry.npmjs.org/@niivue/niivue/-/niivue-{VERSION}.tgz"
INTEGRITY = "sha512-YMjQvJgD1W2b7DuoxkwlC4VxbrgIePRJ5qyQzXKxi2v2MBVg285P/CIQyg46oDDGDIcaNlbd+MhtO/edMbXJkA=="
"""Of the package, as the registry's own `dist.integrity` has it."""

SCRIPT = "niivue.umd.js"
MEMBER = f"package/dist/{SCRIPT}"
SCRIPT_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
LICENCE = "LICENSE-niivue.txt"
VENDOR = Path(__file__).parents[1] / "src" / "segdistill" / "viewer" / "vendor"
LICENCE_TEXT = Path(__file__).with_name(LICENCE)
"""The package says that it is under BSD-2-Clause, but does not hold the text; this is that of its repository."""


class Refused(Exception):
    """What came is not what was asked for."""


def is_there(folder: Path) -> bool:
    """Whether a folder holds the pinned script, byte for byte, and its licence."""
    script, licence = folder / SCRIPT, folder / LICENCE
    return (
        script.is_file()
        and hashlib.sha256(script.read_bytes()).hexdigest() == SCRIPT_SHA256
        and licence.is_file()
        and licence.read_bytes() == LICENCE_TEXT.read_bytes()
    )


def download() -> bytes:
    """The package from the registry; OSError where it is out of reach."""
    with urllib.request.urlopen(URL, timeout=60) as response:
        content: bytes = response.read()
    return content


def script_of(package: bytes) -> bytes:
    """The built script in a package; Refused where its integrity is not the pinned one."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != INTEGRITY:
        raise Refused(f"the integrity of the package is {found}, where {INTEGRITY} is pinned")
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            raise Refused(f"the package has no file {MEMBER}")
        return member.read()


def place(script: bytes, folder: Path) -> None:
    """Write the script and the licence; the script last, and under its name only when it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LICENCE).write_bytes(LICENCE_TEXT.read_bytes())
    temporary = folder / f".{SCRIPT}.partial"
    temporary.write_bytes(script)
    temporary.replace(folder / SCRIPT)


def main(words: list[str] | None = None) -> int:
    """Fetch and place; tell what was done."""
    parser = argparse.ArgumentParser(description="Fetch NiiVue for the page of segdistill view.")
    parser.add_argument("--folder", type=Path, default=VENDOR, help="where it goes")
    parser.add_argument(
        "--package", type=Path, help="a package that was downloaded before, for computers offline"
    )
    asked = parser.parse_args(words)
    if is_there(asked.folder):
        print(f"NiiVue {VERSION} is in {asked.folder}")
        return 0
    try:
        package = asked.package.read_bytes() if asked.package else download()
    except OSError as error:
        print(
            f"NiiVue {VERSION} was not fetched ({getattr(error, 'reason', error)}), so `segdistill view` cannot draw; "
            f"all else works. With access to registry.npmjs.org: make viewer. Without: download {URL} elsewhere, "
            f"then python tools/vendor_niivue.py --package niivue-{VERSION}.tgz",
            file=sys.stderr,
        )
        return 1
    try:
        script = script_of(package)
    except Refused as refused:
        print(f"NiiVue {VERSION} is refused: {refused}; nothing was written", file=sys.stderr)
        return 2
    place(script, asked.folder)
    print(f"NiiVue {VERSION} (BSD-2-Clause) is now in {asked.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
