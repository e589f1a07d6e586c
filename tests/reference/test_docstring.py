from __future__ import annotations

from segdistill.reference.docstring import Docstring


class Brush:
    """Paints (Painter, 2020, arXiv:2001.00001).

    More of it.

    Args:
        width: of a hair; or
            of all: both.
        size: of it all.

    Raises:
        ValueError: no
            hairs.
    """


def test_docstring_is_taken_apart() -> None:
    told = Docstring.of(Brush)
    assert told.text == "Paints (Painter, 2020, arXiv:2001.00001).\n\nMore of it."
    assert told.settings == {"width": "of a hair; or of all: both.", "size": "of it all."}
    assert told.refuses == "no hairs."
