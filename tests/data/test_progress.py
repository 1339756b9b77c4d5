"""What takes long says how far it is: in a terminal by a bar, elsewhere by lines in the log."""

import logging
import re
from io import StringIO

import pytest

from hybridnets.data import progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def count(unit: str) -> None:
    with progress.progress("reading", 2_000_000, unit, done=500_000) as advance:
        advance(500_000)
        advance(1_000_000)


@pytest.mark.parametrize(
    ("unit", "lines"),
    [
        (progress.BYTES, ["reading: 2.0 MB", "reading: 1.0 MB of 2.0 MB", "reading: 2.0 MB of 2.0 MB"]),
        (
            "files",
            ["reading: 2,000,000 files", *(f"reading: {n} of 2,000,000 files" for n in ("1,000,000", "2,000,000"))],
        ),
    ],
)
def test_without_a_terminal_it_is_lines_of_the_log(
    unit: str, lines: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with caplog.at_level(logging.INFO):
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
        count(unit)
        assert caplog.messages == lines
        caplog.clear()
        monkeypatch.setattr(progress, "LINE_SECONDS", 1e9)
        count(unit)
        assert caplog.messages == lines[:1]
    assert stream.getvalue() == ""


def test_in_a_terminal_it_is_a_bar(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with caplog.at_level(logging.INFO):
        count(progress.BYTES)
    assert re.search(r"reading:  25%\|.*500k/2\.00M", terminal.getvalue())
    assert not caplog.messages
