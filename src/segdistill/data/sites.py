"""The site that an image is from, found in the name of its case."""

from __future__ import annotations

import re

from segdistill.errors import SegdistillError


def site_in(name: str, expression: str) -> str | None:
    """What the regular expression finds in a case's name: its first group, or the whole match; None: it finds nothing.

    Where it finds nothing but the empty text, the site is `all`.

    Raises:
        SegdistillError: no regular expression.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise SegdistillError(f"data.sites: {expression!r} is no regular expression ({error})") from None
    found = pattern.search(name)
    if found is None:
        return None
    return (found.group(1) if pattern.groups else found.group(0)) or "all"
