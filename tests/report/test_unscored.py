from __future__ import annotations

import pytest

from segdistill.report.unscored import resumed


@pytest.mark.parametrize(
    ("command", "goes_on"),
    [
        ("segdistill train r.yaml --out a", "segdistill train r.yaml --out a --resume"),
        ("segdistill distill r 'a b={x: 1}' --overwrite", "segdistill distill r 'a b={x: 1}' --resume"),
        ("segdistill train r --resume --out a", "segdistill train r --out a --resume"),
        ("segdistill study perform STUDY a_seed0", "segdistill study perform STUDY a_seed0"),
        ("segdistill -c 'import x'", None),
        ("segdistill train 'r", None),
        ("", None),
    ],
)
def test_the_command_that_goes_on(command: str, goes_on: str | None) -> None:
    assert resumed(command) == goes_on
