"""What is shown: the live table within a terminal's size, and plain lines."""

import math
import time

import pytest

from hydra_plugins.process_launcher._jobs import Job, Run, State, time_left
from hydra_plugins.process_launcher._table import Lines, Progress, clock, display, summary, table


def _runs(states: dict[State, int]) -> list[Run]:
    runs: list[Run] = []
    for state, count in states.items():
        for _ in range(count):
            number = len(runs)
            name = f"crnn-bilstm-2x16 [a={number}] seed={number}"  # brackets are markup to rich
            run = Run(number, Job(str(number), name), f"python app.py seed={number}", state)
            runs.append(run)
            if state in ("running", "failed", "finished"):
                run.started, run.share, run.text = time.monotonic() - 60, 0.25, "epoch 5/20  val/acc 0.713"
            if state in ("failed", "finished"):
                run.ended, run.reasons = time.monotonic(), ["exit code 3"] if state == "failed" else []
    return runs


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 24), (40, 10)])
def test_sixty_jobs_fit_the_terminal(width: int, height: int) -> None:
    console = pytest.importorskip("rich.console").Console(record=True, width=width, height=height)
    runs = _runs({"finished": 20, "there already": 6, "running": 2, "failed": 2, "pending": 30})
    console.print(table(runs, time.monotonic() - 600, width, height))
    lines = console.export_text().splitlines()
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    if width >= 80:
        assert [line.split("seed=")[1].split()[:3:2] for line in lines[1:5]] == [
            ["26", "running"],
            ["27", "running"],
            ["28", "failed"],
            ["29", "failed"],
        ]
        assert "[a=26]" in lines[1] or "…" in lines[1]
        assert " 25% epoch 5/20" in lines[1]
        assert lines[1].split()[-2:] == ["1:00", "3:00"]
        assert lines[5].split()[-1] == "pending"
        assert lines[-2].strip() == "and 8 finished, 27 pending, 6 there already"
        assert lines[-1].strip() == "26/60 done, 2 failed, 10:00 elapsed, about 15:00 left"


def test_few_jobs_keep_their_order() -> None:
    console = pytest.importorskip("rich.console").Console(record=True, width=100, height=24)
    console.print(table(_runs({"finished": 1, "failed": 1, "running": 1, "pending": 1}), 0.0, 100, 24))
    names = [line.split("seed=")[1].split()[0] for line in console.export_text().splitlines()[1:5]]
    assert names == ["0", "1", "2", "3"]


def test_time_left_counts_what_this_launch_gained() -> None:
    run = Run(0, Job("0", "resumed"), "", "running", share=0.75, share_at_start=0.5)
    run.started = time.monotonic() - 100
    assert run.left == pytest.approx(100, rel=0.01)
    assert time_left([run, Run(1, Job("1", "next"), "")], 100) == pytest.approx(500)
    assert math.isnan(time_left([Run(1, Job("1", "next"), "")], 100))


def test_lines_say_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(0, Job("0", "my job"), "python app.py")
    lines = Lines([run])
    lines.show()
    run.begin()
    lines.show()
    run.text, run.share = "epoch 1/2", 0.5
    lines.show()  # the last line is not 30 s old
    lines.times[0] -= 31
    lines.show()
    lines.show()
    run.state, run.ended, run.value, run.text = "finished", run.started + 62, 0.71234, ""
    lines.show()
    assert capsys.readouterr().out.splitlines() == [
        "[0/1] started        my job",
        "[0/1] running        my job  50%  epoch 1/2",
        "[1/1] finished       my job  in 1:02  0.7123",
    ]


def test_summary_names_what_failed() -> None:
    runs = _runs({"finished": 1, "failed": 1})
    runs[1].last_output = ["one", "two"]
    assert summary(runs, 3).splitlines() == [
        "",
        "2 jobs: 1 finished, 1 failed (3 were asked for, but some are the same)",
        "",
        "failed: crnn-bilstm-2x16 [a=1] seed=1",
        "  why:    exit code 3",
        "  repeat: python app.py seed=1",
        "  its last output:",
        "  | one",
        "  | two",
    ]


def test_clock() -> None:
    assert [clock(seconds) for seconds in (7, 750, 3750, math.nan)] == ["0:07", "12:30", "1:02:30", ""]


def test_progress_is_a_line_that_is_overwritten_or_one_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress("checking 17 variants", 17)
    for done in (1, 2, 3):
        now += 15
        progress.show(done)
    progress.end()
    assert capsys.readouterr().out == "checking 17 variants\nchecking 17 variants: 2/17\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress("composing settings")
    now += 0.05
    progress.show(1)
    now += 0.05
    progress.show(2)
    progress.end()
    assert capsys.readouterr().out == "\rcomposing settings\x1b[K\rcomposing settings: 2\x1b[K\r\x1b[K"


def test_streams_that_are_closed_are_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    with display([]) as show:
        show()
    Progress("composing settings").end()
