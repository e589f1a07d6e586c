from __future__ import annotations

import pytest

from segdistill.reference.markdown import prose


@pytest.mark.parametrize(
    "text, markdown",
    [
        ("a * b * c, `d * e`", r"a \* b \* c, `d * e`"),
        ("sum_k q_k, ||s||_1 - ||t||_2", r"sum_k q_k, ||s||\_1 - ||t||\_2"),
        ("x <br> and x <= 1", r"x \<br> and x <= 1"),
        ("as it is:\n- one\n  and more\n- two\nThen.", "as it is:\n\n- one\n  and more\n- two\n\nThen."),
        ("the sum a\n- b, and\n+ c", "the sum a\n\\- b, and\n\\+ c"),
        ("Smith,\n2020. Then", "Smith,\n2020\\. Then"),
        ("KL([a, b](c))", r"KL([a, b]\(c))"),
        (
            "(doi:10.1109/ICME5.2021.94), so.",
            "([doi:10.1109/ICME5.2021.94](https://doi.org/10.1109/ICME5.2021.94)), so.",
        ),
    ],
)
def test_prose_is_shown_as_it_is_written(text: str, markdown: str) -> None:
    assert prose(text) == markdown
