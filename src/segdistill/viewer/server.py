"""The page on this computer alone: on 127.0.0.1, under a secret word, and no file but those of the page."""

from __future__ import annotations

import errno
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from segdistill.errors import SegdistillError
from segdistill.viewer.page import POLICY, Files

HOST = "127.0.0.1"
KEPT = 512 * 2**20  # bytes of volumes that are kept, so that going back to a case is quick
KINDS = {
    "": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".gz": "application/gzip",
}
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Served:
    """The files of a page; volumes are made when they are asked for, one at a time, and the latest are kept."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._one = threading.Lock()

    def read(self, name: str) -> bytes | None:
        """A file by its name beside the page, "" for the page; None where the page has no such file.

        Raises:
            SegdistillError: an image that is damaged or was moved away.
        """
        if name == "":
            return self._files.page.encode()
        if name in self._files.fixed:
            return self._files.fixed[name].read_bytes()
        if name in self._files.volumes:
            return self._volume(name)
        return None

    def _volume(self, name: str) -> bytes:
        with self._one:
            if name not in self._kept:
                self._kept[name] = self._files.volumes[name]()
                while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(name)
            return self._kept[name]


@contextmanager
def serving(files: Files, port: int = 0) -> Iterator[tuple[str, ThreadingHTTPServer]]:
    """A server that listens, and the address of the page, its secret word included. `serve_forever` answers.

    Args:
        port: 0 for any that is free.

    Raises:
        SegdistillError: the port is taken, or not for this user.
    """
    token = secrets.token_urlsafe(32)
    try:
        server = ThreadingHTTPServer((HOST, port), _answering(Served(files), token))
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is taken by another program" if taken else f"cannot be used ({error})"
        raise SegdistillError(
            f"port {port} of {HOST} {why}; choose another --port, or leave it out to take a free one"
        ) from None
    with server:
        yield f"http://{HOST}:{server.server_port}/{token}/", server


def _answering(served: Served, token: str) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        """Answers GET and HEAD for the files of the page to those who know the secret word."""

        protocol_version = "HTTP/1.1"
        server_version = "segdistill"
        sys_version = ""

        def handle(self) -> None:
            with suppress(ConnectionError):  # the tab was closed or loaded anew meanwhile
                super().handle()

        def do_GET(self) -> None:
            word, slash, name = self.path.partition("?")[0].removeprefix("/").partition("/")
            if not slash or not secrets.compare_digest(word.encode(), token.encode()):
                self._send(HTTPStatus.FORBIDDEN, b"403: open the address that segdistill view has printed\n")
                return
            try:
                content = served.read(name)
            except (SegdistillError, OSError) as error:
                self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n".encode())
                return
            if content is None:
                self._send(HTTPStatus.NOT_FOUND, b"404: the page has no such file\n")
            else:
                self._send(HTTPStatus.OK, content, KINDS[Path(name).suffix])

        do_HEAD = do_GET

        def _send(self, status: HTTPStatus, content: bytes, kind: str = KINDS[".txt"]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for header, value in HEADERS.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: addresses hold the secret word."""

    return Answering
