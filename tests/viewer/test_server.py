"""The server: this computer alone, by the secret word alone, the files of the page alone."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from segdistill.errors import SegdistillError
from segdistill.viewer import page
from segdistill.viewer.cases import gather
from segdistill.viewer.page import Files
from segdistill.viewer.server import Served, serving


@pytest.fixture
def address(home: Any, drawing: Path) -> Iterator[str]:
    with serving(page.files_of(gather(home.run))) as (where, server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield where
        finally:
            server.shutdown()
            thread.join()


def get(address: str, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    """An answer to a path exactly as it is written."""
    split = urlsplit(address)
    connection = http.client.HTTPConnection(split.hostname or "", split.port or 0, timeout=30)
    try:
        connection.putrequest(method, path)
        connection.putheader("Connection", "close")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def test_the_address_is_local_and_secret(address: str) -> None:
    split = urlsplit(address)
    assert split.hostname == "127.0.0.1"
    assert re.fullmatch(r"/[\w-]{43}/", split.path), "32 random bytes"


def test_each_start_has_a_word_of_its_own(home: Any, drawing: Path) -> None:
    files = page.files_of(gather(home.run))
    with serving(files) as (one, _), serving(files) as (other, _):
        assert urlsplit(one).path != urlsplit(other).path


def test_the_page_and_its_files_are_served(address: str) -> None:
    word = urlsplit(address).path
    kinds = {
        "": "text/html", "controls.js": "text/javascript", "viewer.css": "text/css", page.NIIVUE: "text/javascript",
        "LICENSE-niivue.txt": "text/plain", "volumes/0-0.nii.gz": "application/gzip",
    }  # fmt: skip
    for name, kind in kinds.items():
        status, content, headers = get(address, word + name)
        assert status == 200 and content and headers["Content-Type"].startswith(kind), name
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert get(address, word + name, "HEAD")[:2] == (200, b"")


@pytest.mark.parametrize("path", ["/", "", "/controls.js", "/wrong/", "/wrong/controls.js", "//", "/../"])
def test_without_the_word_nothing_is_served(address: str, path: str) -> None:
    status, content, _ = get(address, path or "/")
    assert status == 403 and b"segdistill view" in content


def test_a_word_that_only_begins_right_is_refused(address: str) -> None:
    word = urlsplit(address).path.strip("/")
    for wrong in (word[:-1], word + "x", word.swapcase(), word):
        status, _, _ = get(address, f"/{wrong}")  # the last without its slash
        assert status == 403


@pytest.mark.parametrize(
    "name",
    [
        "../server.py", "..%2fserver.py", "%2e%2e/server.py", "server.py", "page.html.j2", "volumes", "volumes/",
        "volumes/../controls.js", "volumes/0-0.nii.gz/", "volumes/99-0.nii.gz", "/etc/passwd", "../../../../etc/passwd",
        "vendor/niivue.umd.js", "./controls.js", "controls.js%00",
    ],
)  # fmt: skip
def test_no_other_file_is_served(address: str, name: str) -> None:
    status, content, _ = get(address, urlsplit(address).path + name)
    assert status == 404 and b"no such file" in content


def test_a_tab_that_is_closed_half_way_is_no_error(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    split = urlsplit(address)
    for _ in range(5):
        with socket.create_connection((split.hostname, split.port)) as tab:
            # Closing then sends a reset, as a browser does that no longer wants an answer.
            tab.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tab.sendall(f"GET {split.path}volumes/0-0.nii.gz HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert get(address, split.path)[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_other_methods_are_refused(address: str) -> None:
    assert get(address, urlsplit(address).path, "POST")[0] == 501


def test_an_image_that_is_gone_is_told_and_the_server_goes_on(address: str, home: Any) -> None:
    for image in (home.path / "data" / "imagesTr").iterdir():
        image.unlink()
    word = urlsplit(address).path
    status, content, _ = get(address, word + "volumes/0-0.nii.gz")
    assert status == 500 and b"does not exist" in content
    assert get(address, word)[0] == 200


def test_volumes_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def volume(name: str) -> bytes:
        made.append(name)
        return name.encode() * 10

    monkeypatch.setattr("segdistill.viewer.server.KEPT", 20)
    served = Served(Files("", {}, {name: lambda name=name: volume(name) for name in "abc"}))
    for name in "aabbaca":
        assert served.read(name) == name.encode() * 10
    assert made == ["a", "b", "c"], "the eldest, b, went when c came"


def test_a_port_that_is_taken(home: Any, drawing: Path) -> None:
    files = page.files_of(gather(home.run))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SegdistillError, match=f"port {port} .* taken .*--port"), serving(files, port):
            pass
