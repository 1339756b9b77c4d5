"""A command's streams and signals, on scripts of a few lines that use nothing else; each begins in a tenth of a second."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAD = "import os, signal, sys\nfrom hybridnets import signals\nsignals.install('it', then=': again goes on')\n"


def script(body: str, *options: str, shell: str = '"$@"', cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a script that has installed the signals, by a shell that may redirect it."""
    return subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, *options, "-c", HEAD + body],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # A shell's & has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_no_file_takes_the_place_of_a_stream_that_is_closed(tmp_path: Path) -> None:
    body = """
with open("file", "w") as file:
    file.write(str(file.fileno() > 2))
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
    os.system("echo child; echo child >&2")
assert sys.stdin.read() == ""
"""
    assert script(body, shell='"$@" <&- >&- 2>&-', cwd=tmp_path).returncode == 0
    assert (tmp_path / "file").read_text() == "True"
    done = script("print('out')", shell='"$@" 2>&-')
    assert (done.returncode, done.stdout) == (0, "out\n")


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path, options: tuple[str, ...]) -> None:
    body = """
print("first", flush=True)
sys.stdin.readline()  # until the reader has gone
for _ in range(3):
    print("x" * 100_000, flush=True)
os.system("echo a child, too")
print("not flushed before the end")
open("done", "w").close()
"""
    process = subprocess.Popen(
        [sys.executable, *options, "-c", HEAD + body],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "first\n"
    process.stdout.close()
    process.stdout = None  # so that it is not read any more
    assert (process.communicate("now\n", timeout=60)[1], process.returncode) == ("", 0)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_ends_at_once_or_lets_what_is_half_made_be_cleared_away(number: signal.Signals) -> None:
    told = f"it: ended by {number.name}: again goes on\n"
    done = script(f"signals.at_end(lambda: os.write(1, b'last'))\nsignal.raise_signal({number})\nprint('not reached')")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "last", told)
    body = f"""
try:
    with signals.unwinding():
        signal.raise_signal({number})
finally:
    print("cleared away")
"""
    done = script(body)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "cleared away\n", told)


def test_a_second_signal_does_not_wait() -> None:
    body = """
try:
    with signals.unwinding(): signal.raise_signal(signal.SIGINT)
finally:
    signal.raise_signal(signal.SIGINT)
    print("not reached")
"""
    done = script(body)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "it: ended by SIGINT: again goes on\n")


def test_a_signal_that_python_loses_comes_again() -> None:
    """In a destructor nobody can catch its exception: Python would print it, and go on."""
    body = """
import time
class Loses:
    def __del__(self): signal.raise_signal(signal.SIGTERM)
try:
    with signals.unwinding():
        Loses()
        time.sleep(30)
        print("not reached")
finally:
    print("cleared away", flush=True)
"""
    done = script(body)
    assert (done.returncode, done.stdout, done.stderr) == (
        143,
        "cleared away\n",
        "it: ended by SIGTERM: again goes on\n",
    )


def test_a_signal_that_a_library_takes_for_another_error_is_still_known() -> None:
    body = """
try:
    with signals.unwinding():
        try: signal.raise_signal(signal.SIGINT)
        except BaseException as error: raise ImportError("initialization failed") from error
except ImportError: sys.exit(signals.exit_code())
"""
    done = script(f"assert signals.exit_code() is None{body}")
    assert (done.returncode, done.stderr) == (130, "it: ended by SIGINT: again goes on\n")


def test_what_is_ignored_stays_so_and_copies_end_quietly() -> None:
    done = script("signal.raise_signal(signal.SIGHUP)\nprint('goes on')", shell="trap '' HUP; \"$@\"")
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on\n", "")
    body = """
if not (child := os.fork()):
    signal.raise_signal(signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
"""
    done = script(body)
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_slow_is_imported_before_signals_are_handled() -> None:
    done = script("print(sorted({'torch', 'numpy', 'hydra', 'logging', 'subprocess'} & set(sys.modules)))")
    assert done.stdout == "[]\n"
    for name in ("train.py", "report.py", "features.py"):
        head = (ROOT / name).read_text().split("signals.install")[0]
        lines = [line for line in head.splitlines() if line.startswith(("import ", "from "))]
        assert {line.split()[1].split(".")[0] for line in lines} <= {*sys.stdlib_module_names, "hybridnets"}
