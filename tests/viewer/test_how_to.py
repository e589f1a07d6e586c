"""The page docs/how-to/view.md, followed: all of its commands, and its keys."""

from __future__ import annotations

import re
import shlex
import webbrowser
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "view.md"
SCRIPT = Path(__file__).parents[2] / "src" / "segdistill" / "viewer" / "controls.js"


def lines() -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return [
        line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]


def test_every_command_of_the_page(
    home: Any, command: Any, drawing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)

    def stop(server: ThreadingHTTPServer) -> None:
        raise KeyboardInterrupt  # Ctrl-C

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", stop)
    names = {"S1_P001": home.cases[0], "S1_P002": home.cases[1]}
    assert len(lines()) >= 5
    for line in lines():
        words = [names.get(word, word) for word in shlex.split(line)]
        assert words[0] == "segdistill"
        before = len(opened)
        answer = command(*words[1:])
        assert answer.code == 0, f"{line}\n{answer.err}"
        if words[1] == "view" and "--out" not in words:
            assert len(opened) == before + 1 and answer.out.strip() == opened[-1]
            assert opened[-1].startswith("http://127.0.0.1:")
    assert Path("case_S1_P001/index.html").is_file()


def test_the_keys_of_the_page_are_those_of_the_script() -> None:
    told = set(
        re.findall(r"^\| .*", PAGE.read_text(encoding="utf-8").split("## Keys")[1].split("##")[0], re.M)
    )
    keys = {key for row in told for key in re.findall(r"`(.)`", row.split("|")[1])}
    script = SCRIPT.read_text(encoding="utf-8").split("const KEYS = {")[1].split("\n};")[0]
    known = set(re.findall(r'^  "?(\S)"?: ', script, re.M))
    assert keys - {"1", "9"} == known
