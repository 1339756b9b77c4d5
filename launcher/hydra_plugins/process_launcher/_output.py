"""What the user sees of the jobs: a live table in a terminal, plain lines elsewhere, and a summary at the end."""

import contextlib
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

from ._jobs import State, TrackedJob, estimate_remaining

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LINE_SECONDS = 30.0  # between two plain lines about one job's progress
REFRESH_SECONDS = 0.1  # between two changes of a line in a terminal
STYLES: dict[State, tuple[str, str]] = {  # symbol and colour
    "running": ("▶", "cyan"),
    "failed": ("✗", "red"),
    "stopped": ("■", "yellow"),
    "pending": ("·", "dim"),
    "elsewhere": ("~", "blue"),
    "finished": ("✓", "green"),
    "already done": ("✓", "dim"),
}


@contextlib.contextmanager
def display(jobs: list[TrackedJob]) -> Iterator[Callable[[], None]]:
    """Give a function that shows the jobs' current states; the last state stays on the screen."""
    start = time.monotonic()
    terminal = _find_terminal()
    if terminal is None or find_spec("rich") is None:
        yield Lines(jobs).update
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=terminal)
    with Live(console=console, auto_refresh=False) as live:
        yield lambda: live.update(build_table(jobs, start, *console.size), refresh=True)


def _find_terminal() -> TextIO | None:
    """The stream on which lines can be overwritten; None without one, for instance if streams are closed."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if stream and stream.isatty()]
    return streams[0] if streams and os.environ.get("TERM") != "dumb" else None


class Progress:
    """Progress of the work before the jobs start: an overwritten line in a terminal, a line now and then elsewhere.

    Args:
        activity: What is being done, in a few words.
        total: How many steps it has; 0 if unknown.
    """

    def __init__(self, activity: str, total: int = 0) -> None:
        self.activity, self.total = activity, total
        self.terminal = _find_terminal()
        self.interval = REFRESH_SECONDS if self.terminal else LINE_SECONDS
        self.last_shown = -math.inf
        self.show(0)

    def show(self, steps: int) -> None:
        """Show the progress, unless it was shown a moment ago.

        Args:
            steps: How many steps are done.
        """
        if (now := time.monotonic()) - self.last_shown < self.interval:
            return
        self.last_shown = now
        line = self.activity + (f": {steps}" if steps else "") + (f"/{self.total}" if steps and self.total else "")
        if self.terminal:
            self.terminal.write(f"\r{line}\x1b[K")
            self.terminal.flush()
        else:
            print(line, flush=True)

    def end(self) -> None:
        """Clear the line for what is printed next."""
        if self.terminal:
            self.terminal.write("\r\x1b[K")
            self.terminal.flush()


def build_table(jobs: list[TrackedJob], start: float, width: int, height: int) -> "Table":
    """A table that fits the terminal: all jobs in order, or the most important ones and a count of the others."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    rows, hidden = _choose_rows(jobs, height - 4)  # header, two lines of caption, one spare line
    is_wide = width >= 100
    longest = max(len(job.planned.name) for job in rows)
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), caption_justify="left", caption_style="bold")
    table.add_column("job", no_wrap=True, width=min(longest, width * 2 // 5))
    table.add_column("state", no_wrap=True)
    if is_wide:
        table.add_column("", width=12)
    table.add_column("", justify="right", width=4)
    table.add_column("progress", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    for job in rows:
        symbol, style = STYLES[job.word]
        has_share = job.share > 0 and job.state not in ("finished", "already done")
        cells: list[Any] = [_shorten(job.planned.name, width * 2 // 5), Text(f"{symbol} {job.word}", style=style)]
        cells += [ProgressBar(1.0, job.share) if has_share else ""] if is_wide else []
        details = _details(job) if is_wide else " ".join(_details(job).split())
        cells += [f"{job.share:.0%}" if has_share else "", Text(details), clock(job.elapsed), clock(job.remaining)]
        table.add_row(*cells, style="dim" if job.state in ("pending", "already done") else "")
    counts = "and " + ", ".join(f"{n} {state}" for state, n in hidden.items()) + "\n" if hidden else ""
    table.caption = Text(counts + _caption(jobs, start), no_wrap=True, overflow="ellipsis")
    return table


def _choose_rows(jobs: list[TrackedJob], room: int) -> tuple[list[TrackedJob], Counter[str]]:
    """The jobs that are shown in `room` lines, and how many hidden ones are in each state."""
    if len(jobs) <= room:
        return jobs, Counter()
    pending = [job for job in jobs if job.state == "pending"]
    latest = sorted((job for job in jobs if job.state == "finished"), key=lambda job: -job.ended)
    rows = [job for job in jobs if job.state in ("running", "elsewhere")]
    rows += [job for job in jobs if job.state in ("failed", "stopped")]
    rows += pending[:3] + latest + pending[3:] + [job for job in jobs if job.state == "already done"]
    room = max(1, room - 1)  # one line for the counts
    return rows[:room], Counter(job.word for job in rows[room:])


def _caption(jobs: list[TrackedJob], start: float) -> str:
    elapsed = time.monotonic() - start
    counts = _count_states(jobs)
    parts = [f"{counts['finished'] + counts['already done']}/{len(jobs)} done"]
    parts += [f"{counts[state]} {state}" for state in ("failed", "stopped", "blocked") if counts[state]]
    parts += [f"{clock(elapsed)} elapsed"]
    remaining = estimate_remaining(jobs, elapsed)
    parts += [f"about {clock(remaining)} left"] if remaining > 0 else []
    return ", ".join(parts)


class Lines:
    """Plain lines: which jobs started, which ended and how, and progress now and then."""

    def __init__(self, jobs: list[TrackedJob]) -> None:
        self.jobs = jobs
        self.states: dict[int, State] = {job.number: "pending" for job in jobs}
        self.texts: dict[int, str] = {}
        self.times: dict[int, float] = {}

    def update(self) -> None:
        """Print what has changed."""
        now = time.monotonic()
        for job in self.jobs:
            if job.state != self.states[job.number]:
                has_run = job.state in ("finished", "failed") and not math.isnan(job.started)
                if self.states[job.number] == "pending" and has_run:  # started and ended since the last update
                    self._print("started", job.planned.name, _why_added(job))
                self.states[job.number] = job.state
                self.texts[job.number], self.times[job.number] = job.text, now
                state = "started" if job.state == "running" else job.word
                self._print(state, job.planned.name, self._transition_details(job))
            elif job.text != self.texts.get(job.number, job.text) and now - self.times[job.number] >= LINE_SECONDS:
                self.texts[job.number], self.times[job.number] = job.text, now
                self._print("running", job.planned.name, f"{job.share:.0%}", job.text)

    def _transition_details(self, job: TrackedJob) -> str:
        if job.state == "running":
            return _why_added(job)
        duration = clock(job.elapsed) if job.state in ("finished", "failed", "stopped") else ""
        return "  ".join(part for part in (duration and f"in {duration}", _details(job)) if part)

    def _print(self, state: str, *parts: str) -> None:
        finished = sum(state in ("finished", "already done") for state in self.states.values())
        print(f"[{finished}/{len(self.jobs)}] {state:13}", *(part for part in parts if part), sep="  ", flush=True)


def summarize(jobs: list[TrackedJob], requested: int) -> str:
    """Counts, and for each failed job the reason, the command that repeats it, its last output and what it blocked."""
    counts = _count_states(jobs)
    states = ("finished", "already done", "running", "elsewhere", "failed", "blocked", "stopped", "pending")
    lines = ["", f"{len(jobs)} jobs: " + ", ".join(f"{counts[state]} {state}" for state in states if counts[state])]
    lines[1] += _compare_with_request(jobs, requested)
    if counts["stopped"] or counts["pending"]:
        lines.append("Run the same command again to continue.")
    for job in jobs:
        if job.state == "failed" and not job.blocked_by:
            lines += ["", f"{job.word}: {job.planned.name}", f"  why:    {job.reason}", f"  repeat: {job.repeat}"]
            lines += ["  last output:"] if job.last_output else ["  it printed nothing"]
            lines += [f"  | {line}" for line in job.last_output]
            blocked = [dependent for dependent in jobs if dependent.blocked_by is job]
            lines += [f"blocked by {job.planned.name}:"] * bool(blocked)
            lines += [f"  {dependent.planned.name}" for dependent in blocked]
    return "\n".join(lines)


def _count_states(jobs: list[TrackedJob]) -> Counter[str]:
    """How many jobs are in each state; failed jobs that were never started count as blocked."""
    return Counter("blocked" if job.blocked_by else job.word for job in jobs)


def _compare_with_request(jobs: list[TrackedJob], requested: int) -> str:
    """How the jobs differ from those that the user requested, in brackets; empty if they do not."""
    added = sum(job.added for job in jobs)
    notes = [f"{requested} requested, some of them identical"] if requested > len(jobs) - added else []
    notes += [f"{added} added: needed by others"] if added else []
    return f" ({'; '.join(notes)})" if notes else ""


def forecast(jobs: list[TrackedJob], requested: int, jobs_at_a_time: int) -> str:
    """What would run and what is already done, and what it would cost, estimated from earlier jobs."""
    counts = Counter(job.state for job in jobs)
    lines = [f"{len(jobs)} jobs: {counts['pending']} would run, {counts['already done']} already done"]
    lines[0] += f", {counts['elsewhere']} elsewhere" if counts["elsewhere"] else ""
    lines[0] += f", {counts['failed']} would not be started" if counts["failed"] else ""
    lines[0] += _compare_with_request(jobs, requested)
    for job in jobs:
        resumed = f", continuing from {job.share:.0%} ({job.text})" if job.share > 0 else ""
        descriptions = {
            "pending": f"would run{_waits_for(job)}{resumed}",
            "elsewhere": f"elsewhere ({job.text})",
            "failed": f"would not be started: {job.reason}",
        }
        description = descriptions.get(job.state, job.state)
        lines.append(f"  {job.planned.name}: {description}" + (f"  ({_why_added(job)})" if job.added else ""))
    return "\n".join([*lines, *_forecast_cost(jobs, jobs_at_a_time), "nothing was started"])


def _forecast_cost(jobs: list[TrackedJob], jobs_at_a_time: int) -> list[str]:
    """A line on the time and the disk space that the pending jobs would need; none without pending jobs."""
    costs = {job: job.planned.cost() for job in jobs if job.state == "pending"}
    seconds = {job: total * (1 - job.share) for job, (total, _) in costs.items() if not math.isnan(total)}
    sizes = [size for _, size in costs.values() if not math.isnan(size)]
    if not costs:
        return []
    if not seconds:
        return ["time and disk are unknown: no earlier job to estimate them from"]
    ends: dict[TrackedJob, float] = {}  # when each job would end if all could run at a time
    for job in costs:
        ends[job] = seconds.get(job, 0.0) + max((ends.get(need, 0.0) for need in job.needs), default=0.0)
    # A chain of jobs that need each other takes its time, however many jobs run at a time.
    time_needed = max(sum(seconds.values()) / jobs_at_a_time, *ends.values())
    unknown = f", without {len(costs) - len(seconds)} jobs of unknown cost" if len(seconds) < len(costs) else ""
    return [
        f"about {clock(time_needed)} with {jobs_at_a_time} at a time, and {sum(sizes) / 1e6:,.0f} MB of disk, estimated "
        f"from earlier jobs{unknown}"
    ]


def clock(seconds: float) -> str:
    """A duration as 0:07, 12:30 or 1:02:30; empty if unknown."""
    if math.isnan(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shorten(name: str, width: int) -> "Text":
    """Cut a long name in the middle, as names often differ only at their ends."""
    from rich.text import Text

    return Text(name if len(name) <= width else f"{name[: width // 3]}…{name[width // 3 + 1 - width :]}")


def _why_added(job: TrackedJob) -> str:
    """Why the job runs although the user did not request it."""
    return f"added: needed by {_first_of(job.needed_by)}" if job.added else ""


def _waits_for(job: TrackedJob) -> str:
    return f" after {_first_of(job.unfinished_needs)}" if job.unfinished_needs else ""


def _first_of(jobs: list[TrackedJob]) -> str:
    """The first job's name, and how many follow."""
    return jobs[0].planned.name + (f" and {len(jobs) - 1} more" if jobs[1:] else "")


def _details(job: TrackedJob) -> str:
    """The job's progress, or how it ended, in a few words."""
    if job.state == "failed":
        return job.reason
    if job.text:
        return job.text
    if job.value is None:
        return _waits_for(job).strip() or _why_added(job) if job.state in ("pending", "running") else ""
    return f"{job.value:.4g}" if isinstance(job.value, float) else " ".join(repr(job.value).split())[:60]
