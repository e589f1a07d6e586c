"""The report as one self-contained HTML page: no network, everything escaped."""

from __future__ import annotations

import base64
import hashlib
import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from segdistill.report.figures import Figure, Missing
from segdistill.report.figures.style import for_page
from segdistill.report.page import Page


def render(page: Page) -> str:
    """The page as HTML. Case names, paths and commands come from files: the template escapes them all."""
    environment = Environment(
        loader=PackageLoader("segdistill.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["picture"] = _picture
    environment.filters["unbroken"] = _unbroken
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    text = environment.get_template("page.html.j2").render(page=page)
    script = re.search(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = hashlib.sha256(script[1].encode() if script else b"").digest()
    return text.replace("SCRIPT-DIGEST", base64.b64encode(digest).decode(), 1)


def _unbroken(text: str) -> str:
    """Keep a line from ending inside "p = 0.002", "95 % CI", "18 \u00d7" or "t-test"."""
    text = re.sub(r"\bp ([<=]) (?=0)", "p\u00a0\\1\u00a0", text).replace("t-test", "t\u2011test")
    return text.replace("% CI", "%\u00a0CI").replace(" %", "\u00a0%").replace(" \u00d7", "\u00a0\u00d7")


def _picture(figure: Figure) -> Markup:
    """A figure of lines as SVG that takes the colours of the page, any other as PNG."""
    if figure.svg:
        # matplotlib escapes all text that it writes into an SVG.
        label = Markup('role="img" aria-label="{}"').format(figure.alt)
        return Markup(for_page(figure).replace("<svg ", f"<svg {label} ", 1))
    data = base64.b64encode(figure.png).decode()
    return Markup('<img src="data:image/png;base64,{}" alt="{}">').format(data, escape(figure.alt))
