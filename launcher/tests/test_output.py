"""The live table within a terminal's size, plain lines, and the summary."""

import math
import time

import pytest

from hydra_plugins.process_launcher._jobs import PlannedJob, State, TrackedJob, estimate_remaining
from hydra_plugins.process_launcher._output import Lines, Progress, build_table, clock, display, summarize


def make_jobs(states: dict[State, int]) -> list[TrackedJob]:
    jobs: list[TrackedJob] = []
    for state, count in states.items():
        for _ in range(count):
            number = len(jobs)
            name = f"crnn-bilstm-2x16 [a={number}] seed={number}"  # brackets are markup to rich
            job = TrackedJob(number, PlannedJob(str(number), name), f"python app.py seed={number}", state)
            jobs.append(job)
            if state in ("running", "failed", "finished"):
                job.started, job.share, job.text = time.monotonic() - 60, 0.25, "epoch 5/20  val/acc 0.713"
            if state in ("failed", "finished"):
                job.ended, job.reasons = time.monotonic(), ["exit code 3"] if state == "failed" else []
    return jobs


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 24), (40, 10)])
def test_sixty_jobs_fit_the_terminal(width: int, height: int) -> None:
    console = pytest.importorskip("rich.console").Console(record=True, width=width, height=height)
    jobs = make_jobs({"finished": 20, "already done": 6, "running": 2, "failed": 2, "pending": 30})
    console.print(build_table(jobs, time.monotonic() - 600, width, height))
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
        assert lines[-2].strip() == "and 8 finished, 27 pending, 6 already done"
        assert lines[-1].strip() == "26/60 done, 2 failed, 10:00 elapsed, about 15:00 left"


def test_a_short_table_keeps_the_order() -> None:
    console = pytest.importorskip("rich.console").Console(record=True, width=100, height=24)
    console.print(build_table(make_jobs({"finished": 1, "failed": 1, "running": 1, "pending": 1}), 0.0, 100, 24))
    names = [line.split("seed=")[1].split()[0] for line in console.export_text().splitlines()[1:5]]
    assert names == ["0", "1", "2", "3"]


def test_the_remaining_time_follows_the_progress_of_this_launch() -> None:
    job = TrackedJob(0, PlannedJob("0", "resumed"), "", "running", share=0.75, share_at_start=0.5)
    job.started = time.monotonic() - 100
    assert job.remaining == pytest.approx(100, rel=0.01)
    assert estimate_remaining([job, TrackedJob(1, PlannedJob("1", "next"), "")], 100) == pytest.approx(500)
    assert math.isnan(estimate_remaining([TrackedJob(1, PlannedJob("1", "next"), "")], 100))


def test_lines_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    job = TrackedJob(0, PlannedJob("0", "my job"), "python app.py")
    lines = Lines([job])
    lines.update()
    job.start()
    lines.update()
    job.text, job.share = "epoch 1/2", 0.5
    lines.update()  # prints nothing: the last line is less than 30 s old
    lines.times[0] -= 31
    lines.update()
    lines.update()
    job.state, job.ended, job.value, job.text = "finished", job.started + 62, 0.71234, ""
    lines.update()
    assert capsys.readouterr().out.splitlines() == [
        "[0/1] started        my job",
        "[0/1] running        my job  50%  epoch 1/2",
        "[1/1] finished       my job  in 1:02  0.7123",
    ]


def test_the_summary_lists_failed_jobs() -> None:
    jobs = make_jobs({"finished": 1, "failed": 1})
    jobs[1].last_output = ["one", "two"]
    assert summarize(jobs, 3).splitlines() == [
        "",
        "2 jobs: 1 finished, 1 failed (3 requested, some of them identical)",
        "",
        "failed: crnn-bilstm-2x16 [a=1] seed=1",
        "  why:    exit code 3",
        "  repeat: python app.py seed=1",
        "  last output:",
        "  | one",
        "  | two",
    ]


def test_clock() -> None:
    assert [clock(seconds) for seconds in (7, 750, 3750, math.nan)] == ["0:07", "12:30", "1:02:30", ""]


def test_progress_is_an_overwritten_line_or_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress("checking 17 variants", 17)
    for steps in (1, 2, 3):
        now += 15
        progress.show(steps)
    progress.end()
    assert capsys.readouterr().out == "checking 17 variants\nchecking 17 variants: 2/17\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress("composing configurations")
    now += 0.05
    progress.show(1)
    now += 0.05
    progress.show(2)
    progress.end()
    assert capsys.readouterr().out == "\rcomposing configurations\x1b[K\rcomposing configurations: 2\x1b[K\r\x1b[K"


def test_closed_streams_are_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    with display([]) as refresh:
        refresh()
    Progress("composing configurations").end()
