"""Headless Chromium, driven by the WebDriver protocol itself: JSON over HTTP, so that no package is needed for it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--window-size=1440,900",
)  # fmt: skip
KEYS = {"PageUp": "\ue00e", "PageDown": "\ue00f", "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014",
        "ArrowDown": "\ue015", "Tab": "\ue004"}  # fmt: skip


class Browser:
    """One window."""

    def __init__(self, driver: str, session: str) -> None:
        self._base = f"{driver}/session/{session}"

    def ask(self, method: str, path: str, **body: Any) -> Any:
        return ask(method, f"{self._base}/{path}", body if method == "POST" else None)

    def open(self, address: str) -> None:
        self.ask("POST", "url", url=address)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.ask("POST", "execute/sync", script=script, args=list(arguments))

    def until(self, expression: str, seconds: float = 60) -> Any:
        """Wait until an expression is true; its value."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {expression}")):
            assert time.monotonic() < end, f"{expression} is {value!r} after {seconds} s: {self.messages()}"
            time.sleep(0.1)
        return value

    def press(self, *keys: str) -> None:
        """Keys, one after the other, as a person presses them."""
        values = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": value} for value in values for kind in ("keyDown", "keyUp")]
        self.ask("POST", "actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def messages(self) -> list[str]:
        """What the console said since it was asked last: warnings and errors."""
        entries = self.ask("POST", "se/log", type="browser")
        return [each["message"] for each in entries if each["level"] in ("WARNING", "SEVERE")]

    def picture(self) -> bytes:
        return base64.b64decode(self.ask("GET", "screenshot"))

    def scheme(self, name: str) -> None:
        """Prefer a light or a dark page."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        command = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        self.ask("POST", "goog/cdp/execute", **command)

    def size(self, width: int, height: int) -> None:
        self.ask("POST", "window/rect", width=width, height=height)


def ask(method: str, address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(error.read().decode()) from None


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, ended with the block."""
    assert CHROMIUM is not None and DRIVER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    driver, session = f"http://127.0.0.1:{port}", ""
    try:
        end = time.monotonic() + 30
        while True:
            try:
                if ask("GET", f"{driver}/status")["ready"]:
                    break
            except OSError:
                assert time.monotonic() < end, "chromedriver does not answer"
                time.sleep(0.1)
        options = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}
        }  # fmt: skip
        answer = ask("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": wanted}})
        session = answer["sessionId"]
        yield Browser(driver, session)
    finally:
        if session:
            ask("DELETE", f"{driver}/session/{session}")
        process.terminate()
        process.wait(10)
