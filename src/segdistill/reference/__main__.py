"""`python -m segdistill.reference FOLDER`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import segdistill.reference
from segdistill.atomic import write_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages into the folder that is named."""
    parser = argparse.ArgumentParser(
        prog="python -m segdistill.reference", description=segdistill.reference.__doc__
    )
    parser.add_argument("folder", type=Path, help="where the pages go, such as docs/reference")
    folder = parser.parse_args(arguments).folder
    for name, text in segdistill.reference.pages().items():
        write_text(folder / name, text)


if __name__ == "__main__":
    main()
