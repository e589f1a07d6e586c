"""Text from files and names, so that it means nothing to LaTeX."""

from __future__ import annotations

import unicodedata

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\u2212": "$-$",
    "\u2013": "--",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u2020": r"\textdagger{}",
} | {character: f"\\{character}" for character in "&%$#_{}"}
LAST_OF_LATIN = "\u017f"  # up to here every LaTeX of today reads UTF-8


def escaped(text: str) -> str:
    """Text in which nothing means anything to LaTeX; characters beyond Latin become their base letter or `?`."""
    found = []
    for character in " ".join(text.split()):
        if character in SPECIAL:
            found.append(SPECIAL[character])
        elif unicodedata.category(character).startswith("C"):
            continue
        elif character <= LAST_OF_LATIN:
            found.append(character)
        else:
            plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
            found.append("".join(SPECIAL.get(one, one) for one in plain) or "?")
    return "".join(found)
