"""The demo says what it does and how long it takes before it does it."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hybridnets.cli import demo, report, training
from hybridnets.config.overrides import quote_paths


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines of the sweep and of the report, which are not run."""
    lines: list[list[str]] = []

    def called(argv: list[str]) -> int:
        lines.append(argv)
        return 0

    for module in (training, report):
        monkeypatch.setattr(module, "main", called)
    return lines


def test_the_demo_measures_an_epoch_first(
    tmp_path: Path, calls: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my runs"
    assert demo.main(["demo", "--out", str(out), "--jobs", "3"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == (
        f"demo: 12 runs of CNN, ECNN, CRNN and ECRNN on 1,797 handwritten digits, then a report in {out / 'digits' / 'report'}"
    )
    assert second == "measuring an epoch ..."
    assert re.fullmatch(r"an epoch of the largest network takes \d+\.\d s here: all of it about \d+ min or less", third)
    assert not out.exists()  # what was measured is not kept
    assert calls == [
        ["train", "-cn", "demo", "hydra.launcher.jobs=3", f'out="{out}"'],
        ["report", str(out / "digits")],
    ]


def test_the_demo_measures_nothing_where_runs_are_finished(
    tmp_path: Path, calls: list[list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "digits" / "cnn" / "seed=0-123456"
    run.mkdir(parents=True)
    (run / "result.json").touch()
    monkeypatch.setattr(demo, "_measure", None)
    assert demo.main(["demo", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("then a report; finished runs are not trained again\n")
    assert len(calls) == 2


def test_a_sweep_that_failed_is_not_reported_on(
    tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "main", lambda _: 1)
    monkeypatch.setattr(demo, "_measure", lambda _: None)
    assert demo.main(["demo", "--out", str(tmp_path)]) == 1
    assert calls == []


@pytest.mark.parametrize(
    "text",
    ["my runs", "a,b", 'it\'s "x"', "${seed}", "\\${seed}", "glob(x)", "[1,2]", "~nobody-here", "a=b", "7", " x"],
)
def test_the_demos_folder_is_taken_as_it_is(
    text: str, tmp_path: Path, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_measure", lambda _: None)
    monkeypatch.chdir(tmp_path)
    assert demo.main(["demo", f"--out={text}"]) == 0
    (override,) = (OverridesParser.create().parse_override(quote_paths(word)) for word in calls[0] if "out=" in word)
    assert not override.is_sweep_override()
    assert OmegaConf.create({"seed": 0, "out": str(override.value())}).out == text


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the process")
def test_a_demo_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 1000\n")
    sleeper.chmod(0o755)
    script = f"import sys\nfrom hybridnets.cli import demo\nsys.executable = {str(sleeper)!r}\ndemo.main(['demo'])"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (child := children.read_text().strip()):
        assert process.poll() is None
        time.sleep(0.05)
    while b"1000" not in Path("/proc", child, "cmdline").read_bytes():
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 300  # of the sleeper's 1000 s
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(process: str) -> bool:
    """Whether a process runs; nobody may ever wait for one whose parent is dead."""
    try:
        return "State:\tZ" not in Path("/proc", process, "status").read_text()
    except FileNotFoundError:
        return False
