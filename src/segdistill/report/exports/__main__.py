"""`python -m segdistill.report.exports FOLDER`: write evidence.schema.json, the JSON Schema of evidence.json."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from segdistill.atomic import write_text
from segdistill.report.exports.evidence_json import schema


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the schema into the folder that is named."""
    parser = argparse.ArgumentParser(prog="python -m segdistill.report.exports", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the schema goes, such as docs/reference")
    write_text(parser.parse_args(arguments).folder / "evidence.schema.json", schema())


if __name__ == "__main__":
    main()
