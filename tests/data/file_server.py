"""A server on this machine that publishes files, with the faults of servers."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves files under paths that name the server's faults, and records the requests.

    Args:
        content: The files by name; or the content of one that every path leads to.
    """

    def __init__(self, content: bytes | Mapping[str, bytes]) -> None:
        self.requests: list[tuple[str, str | None]] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                byte_range = self.headers.get("Range")
                requests.append((self.path, byte_range))
                name = self.path.rpartition("/")[2]
                body = content if isinstance(content, bytes) else content.get(name, b"")
                if "missing" in self.path or not body:
                    self.send_error(404)
                    return
                if "slow" in self.path:
                    time.sleep(0.3)
                if "wrong" in self.path:
                    body = bytes(byte ^ 1 for byte in body)
                if "page" in self.path:
                    body = b"<html>please log in</html>"
                start = 0
                if byte_range and "norange" not in self.path:
                    start = int(byte_range.removeprefix("bytes=").rstrip("-"))
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body) - start))
                self.end_headers()
                stop = start + 1 + (len(body) - start) // 2 if "breaks" in self.path and start < 1000 else len(body)
                self.wfile.write(body[start:stop])

            def do_HEAD(self) -> None:  # which libraries ask first
                requests.append((self.path, None))
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/{path}"


@contextmanager
def serving(content: bytes | Mapping[str, bytes]) -> Iterator[Server]:
    """A server that ends with the block."""
    server = Server(content)
    try:
        yield server
    finally:
        server.http.shutdown()
        server.thread.join()
        server.http.server_close()
