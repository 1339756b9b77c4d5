"""Serves a report's folder to browsers of this machine, and nothing else."""

import contextlib
import mimetypes
import re
import threading
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hybridnets.report.reading.results import ReportError
from hybridnets.report.rendering.files import PAGE, RECORD, recorded_files

LOOPBACK = "127.0.0.1"
HOSTS = (LOOPBACK, "localhost")
HOST = re.compile(r"([^\s/?#:[\]]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")  # name and port of a request's header
LARGEST_PORT = 65535
TEXT = {".csv", ".md", ".tex", ".txt"}  # shown in the browser; it would download them by their own types
LARGEST_WAIT = 10.0  # seconds for a request that does not come


class _Server(ThreadingHTTPServer):
    """A server of one folder.

    Args:
        port: The port; 0 for a free one.
        folder: The folder.
    """

    daemon_threads = True

    def __init__(self, port: int, folder: Path) -> None:
        self.folder = folder
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a request that is malformed or cut short: it concerns nobody but its sender."""


class _Handler(BaseHTTPRequestHandler):
    """Answers requests for files that the report's record lists."""

    server: _Server
    timeout = LARGEST_WAIT
    server_version, sys_version = "hybridnets", ""

    def do_GET(self) -> None:
        """Sends a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Sends what precedes a file."""
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        # A page of another site can make its own name mean 127.0.0.1 (DNS rebinding), but still sends that name.
        names = self.headers.get_all("Host", [])
        host = HOST.fullmatch(names[0].strip()) if len(names) == 1 else None
        if not host or host[1].lower() not in HOSTS:
            self._refuse(HTTPStatus.FORBIDDEN if host else HTTPStatus.BAD_REQUEST)
            return
        content = self._content()
        if content is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        name, data = content
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _type_of(name))
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")  # the page changes while runs are trained
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def _content(self) -> tuple[str, bytes] | None:
        """The requested file's name and content; None where the report has no such file."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        name = path.removeprefix("/") or PAGE
        folder = self.server.folder
        if name not in recorded_files(folder) | {RECORD}:
            return None
        file = folder / name
        try:
            if not file.resolve().is_relative_to(folder.resolve()):  # a link to somewhere else
                return None
            return name, file.read_bytes()
        except (OSError, ValueError):
            return None

    def _refuse(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing: the terminal shows how far the runs are."""


def _type_of(name: str) -> str:
    suffix = Path(name).suffix
    kind = "text/plain" if suffix in TEXT else mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") or suffix in (".json", ".svg") else kind


def parse_port(text: str) -> int:
    """The port that --serve names; 0 where it names none.

    Raises:
        ReportError: If it is no port.
    """
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and int(text) <= LARGEST_PORT):
        raise ReportError(f"--serve must be a port from 1 to {LARGEST_PORT}, or 0 for a free one, got {text}")
    return int(text)


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """Serves a report's folder on the loopback interface while the body runs; gives the page's address.

    Args:
        folder: The report's folder.
        port: The port; 0 for a free one.

    Raises:
        ReportError: If the port cannot be used.
    """
    try:
        server = _Server(port, folder)
    except OSError as error:
        raise ReportError(
            f"--serve cannot use port {port} ({error.strerror}): give another, or none for a free one"
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
