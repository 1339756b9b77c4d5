"""A command's signals and streams, in short scripts that use nothing else and so start in a tenth of a second."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAD = "import os, signal, sys\nfrom hybridnets import signals\nsignals.install('it', then=': again goes on')\n"


def run_script(body: str, *options: str, shell: str = '"$@"', cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a script that has called `signals.install`, from a shell that may redirect its streams."""
    return subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, *options, "-c", HEAD + body],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # A shell's & ignores Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_no_file_gets_the_descriptor_of_a_closed_stream(tmp_path: Path) -> None:
    body = """
with open("file", "w") as file:
    file.write(str(file.fileno() > 2))
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
    os.system("echo child; echo child >&2")
assert sys.stdin.read() == ""
"""
    assert run_script(body, shell='"$@" <&- >&- 2>&-', cwd=tmp_path).returncode == 0
    assert (tmp_path / "file").read_text() == "True"
    process = run_script("print('out')", shell='"$@" 2>&-')
    assert (process.returncode, process.stdout) == (0, "out\n")


@pytest.mark.parametrize("options", [(), ("-u",)])
def test_a_process_outlives_the_reader_of_its_output(tmp_path: Path, options: tuple[str, ...]) -> None:
    body = """
print("first", flush=True)
sys.stdin.readline()  # until the reader is gone
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
    process.stdout = None  # so that communicate() does not read it
    assert (process.communicate("now\n", timeout=60)[1], process.returncode) == ("", 0)
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_ends_the_process_at_once_or_after_cleaning_up(number: signal.Signals) -> None:
    message = f"it: ended by {number.name}: again goes on\n"
    process = run_script(
        f"signals.at_end(lambda: os.write(1, b'last'))\nsignal.raise_signal({number})\nprint('not reached')"
    )
    assert (process.returncode, process.stdout, process.stderr) == (128 + number, "last", message)
    body = f"""
try:
    with signals.unwinding():
        signal.raise_signal({number})
finally:
    print("cleared away")
"""
    process = run_script(body)
    assert (process.returncode, process.stdout, process.stderr) == (128 + number, "cleared away\n", message)


def test_a_second_signal_does_not_wait() -> None:
    body = """
try:
    with signals.unwinding(): signal.raise_signal(signal.SIGINT)
finally:
    signal.raise_signal(signal.SIGINT)
    print("not reached")
"""
    process = run_script(body)
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "it: ended by SIGINT: again goes on\n")


def test_a_signal_whose_exception_python_loses_is_sent_again() -> None:
    """Python only prints an exception that is raised in a destructor, and continues."""
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
    process = run_script(body)
    assert (process.returncode, process.stdout, process.stderr) == (
        143,
        "cleared away\n",
        "it: ended by SIGTERM: again goes on\n",
    )


def test_a_signal_is_remembered_if_a_library_replaces_its_exception() -> None:
    body = """
try:
    with signals.unwinding():
        try: signal.raise_signal(signal.SIGINT)
        except BaseException as error: raise ImportError("initialization failed") from error
except ImportError: sys.exit(signals.exit_code())
"""
    process = run_script(f"assert signals.exit_code() is None{body}")
    assert (process.returncode, process.stderr) == (130, "it: ended by SIGINT: again goes on\n")


def test_ignored_signals_stay_ignored_and_forked_processes_end_quietly() -> None:
    process = run_script("signal.raise_signal(signal.SIGHUP)\nprint('goes on')", shell="trap '' HUP; \"$@\"")
    assert (process.returncode, process.stdout, process.stderr) == (0, "goes on\n", "")
    body = """
if not (child := os.fork()):
    signal.raise_signal(signal.SIGTERM)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
"""
    process = run_script(body)
    assert (process.returncode, process.stderr) == (0, "")


def test_nothing_slow_is_imported_before_signals_are_handled() -> None:
    process = run_script("print(sorted({'torch', 'numpy', 'hydra', 'logging', 'subprocess'} & set(sys.modules)))")
    assert process.stdout == "[]\n"
    for name in ("train.py", "report.py", "features.py"):
        head = (ROOT / name).read_text().split("signals.install")[0]
        lines = [line for line in head.splitlines() if line.startswith(("import ", "from "))]
        assert {line.split()[1].split(".")[0] for line in lines} <= {*sys.stdlib_module_names, "hybridnets"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "body",
    [
        "print('not flushed before the end')",
        "print('x' * 100_000, flush=True)\nopen('reached', 'w')",
        "try: print('x', flush=True)\nexcept (OSError, Exception): open('reached', 'w')",
        "import argparse\nargparse.ArgumentParser().parse_args(['--help'])",
    ],
)
def test_output_that_cannot_be_printed_is_one_sentence(body: str, tmp_path: Path) -> None:
    process = run_script(body, shell='"$@" > /dev/full', cwd=tmp_path)
    assert (process.returncode, process.stderr) == (2, "it: the output cannot be printed (No space left on device)\n")
    assert not (tmp_path / "reached").exists()


def test_a_working_folder_that_was_deleted_is_one_sentence(tmp_path: Path) -> None:
    process = run_script("print('reached')", shell='mkdir gone; cd gone; rmdir ../gone; "$@"', cwd=tmp_path)
    sentence = "it: the working folder must exist, and was deleted: change to another, as by cd ~\n"
    assert (process.returncode, process.stdout, process.stderr) == (2, "", sentence)
