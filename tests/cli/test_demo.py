"""The demo says what it does and how long it takes before it does it."""

import re
from pathlib import Path

import pytest

from hybridnets.cli import demo, report, training


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
        ["train", "-cn", "demo", "hydra.launcher.jobs=3", f"out={out}"],
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
