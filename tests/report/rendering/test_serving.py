"""The report's folder is served to this machine's browsers, and nothing else is."""

import http.client
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hybridnets.report import ReportError
from hybridnets.report.rendering.serving import parse_port, serving
from hybridnets.runs import Run

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def folder(tmp_path: Path, finished: Callable[..., Run], report: Callable[..., int]) -> Path:
    """A report next to a secret, with a foreign file and a link in its folder."""
    finished("cnn")
    finished("crnn")
    folder = tmp_path / "report"
    assert report(tmp_path, "--to", folder) == 0
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "foreign.txt").write_text("secret", encoding="utf-8")
    link = folder / "tables" / "runs.csv"
    link.unlink()
    link.symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def ask(folder: Path) -> Iterator[Ask]:
    with serving(folder, 0) as address:
        port = urlsplit(address).port or 0
        assert address == f"http://127.0.0.1:{port}/"

        def request(path: str, host: str | None = None, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", f"127.0.0.1:{port}" if host is None else host)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

        yield request


def test_files_of_the_report_are_served_with_their_types(folder: Path, ask: Ask) -> None:
    page = (folder / "index.html").read_bytes()
    for path in ("/", "/index.html", "/index.html?again", "/%69ndex.html"):
        status, headers, body = ask(path)
        assert (status, headers["Content-Type"], body) == (200, "text/html; charset=utf-8", page)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask("/tables/digits-variants.csv")[1]["Content-Type"] == "text/plain; charset=utf-8"
    assert ask("/figures/digits-accuracy.svg")[1]["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert ask("/figures/digits-accuracy.png")[1]["Content-Type"] == "image/png"
    assert ask("/report.json")[0] == 200
    assert ask("/for_your_paper.txt")[2] == (folder / "for_your_paper.txt").read_bytes()
    status, headers, body = ask("/", method="HEAD")
    assert (status, int(headers["Content-Length"]), body) == (200, len(page), b"")


@pytest.mark.parametrize(
    "path",
    [
        *("/foreign.txt", "/tables/runs.csv", "/../secret.txt", "/%2e%2e/secret.txt", "//etc/passwd", "/etc/passwd"),
        *(
            "/tables",
            "/tables/",
            "/figures/",
            "/nothing",
            "/tables/../foreign.txt",
            "/index.html%00.txt",
            "/./index.html",
        ),
    ],
)
def test_nothing_else_is_served(ask: Ask, path: str) -> None:
    status, _, body = ask(path)
    assert (status, body) == (404, b"")


def test_other_methods_are_refused(ask: Ask) -> None:
    assert ask("/", method="POST")[0] == 501


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1]", "0.0.0.0"),
        *("evil.example@127.0.0.1", "evil.example@localhost:80", "localhost@evil.example"),
    ],
)
def test_a_foreign_name_for_this_machine_is_refused(ask: Ask, host: str) -> None:
    status, _, body = ask("/", host)
    assert (status, body) == (403, b"")


@pytest.mark.parametrize(
    "host",
    ["[::1", "::1]", "local host", "localhost:123456", "localhost:http", "localhost:1:2", "localhost/x", "localhost?"],
)
def test_a_malformed_name_is_a_bad_request(ask: Ask, host: str) -> None:
    status, _, body = ask("/", host)
    assert (status, body) == (400, b"")


def test_names_of_this_machine_are_served_at_any_port(ask: Ask) -> None:
    for host in ("localhost", "localhost:9000", "127.0.0.1", "LOCALHOST:1"):  # a tunnel has a port of its own
        assert ask("/", host)[0] == 200


def test_only_the_loopback_interface_listens(folder: Path) -> None:
    with serving(folder, 0) as address, socket.socket() as other:
        other.bind(("127.0.0.2", urlsplit(address).port or 0))  # fails where the server listens on every interface


def test_a_port_that_cannot_be_used_is_one_sentence(
    folder: Path, report: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert report(folder.parent, "--to", folder, "--serve", port) == 2
    error = capsys.readouterr().err
    assert f"hybridnets report: --serve cannot use port {port} (" in error
    assert error.count("\n") == 1
    for bad in ("70000", "-1", "eighty", "1.5"):
        with pytest.raises(ReportError, match="--serve must be a port from 1 to 65535, or 0 for a free one, got"):
            parse_port(bad)
    assert (parse_port(""), parse_port("0"), parse_port("8080")) == (0, 0, 8080)


def test_serving_needs_a_page(tmp_path: Path, report: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert report(tmp_path, "--serve", "0", "--no-page") == 2
    assert "--watch and --serve need the page: leave out --no-page" in capsys.readouterr().err
    assert report(tmp_path, "--watch", "--verify") == 2
    assert "--watch makes a report, and --verify makes none: give one of them" in capsys.readouterr().err
