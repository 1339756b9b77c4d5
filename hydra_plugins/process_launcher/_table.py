"""What is shown while the jobs run: one live table in a terminal, plain lines elsewhere, a summary at the end."""

import contextlib
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

from ._jobs import Run, State, time_left

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LINE_SECONDS = 30.0  # between two plain lines about one job's progress
CALM_SECONDS = 0.1  # between two changes of a line
LOOKS: dict[State, tuple[str, str]] = {  # mark and colour
    "running": ("▶", "cyan"),
    "failed": ("✗", "red"),
    "stopped": ("■", "yellow"),
    "pending": ("·", "dim"),
    "elsewhere": ("~", "blue"),
    "finished": ("✓", "green"),
    "there already": ("✓", "dim"),
}


@contextlib.contextmanager
def display(runs: list[Run]) -> Iterator[Callable[[], None]]:
    """Give the function that shows the runs as they are now; the last state shown stays on the screen."""
    began = time.monotonic()
    terminal = _terminal()
    if terminal is None or find_spec("rich") is None:
        yield Lines(runs).show
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=terminal)
    with Live(console=console, auto_refresh=False) as live:
        yield lambda: live.update(table(runs, began, *console.size), refresh=True)


def _terminal() -> TextIO | None:
    """The stream on which lines can be overwritten; None where there is none, also where streams are closed."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if stream and stream.isatty()]
    return streams[0] if streams and os.environ.get("TERM") != "dumb" else None


class Progress:
    """How far something is that comes before the jobs: a line that is overwritten; without a terminal one now and then.

    Args:
        words: What is being done.
        total: How many steps that has; 0 where nobody knows.
    """

    def __init__(self, words: str, total: int = 0) -> None:
        self.words, self.total = words, total
        self.terminal = _terminal()
        self.every = CALM_SECONDS if self.terminal else LINE_SECONDS
        self.shown = -math.inf
        self.show(0)

    def show(self, done: int) -> None:
        """Tell it, unless it was told just now.

        Args:
            done: Steps behind us.
        """
        if (now := time.monotonic()) - self.shown < self.every:
            return
        self.shown = now
        line = self.words + (f": {done}" if done else "") + (f"/{self.total}" if done and self.total else "")
        if self.terminal:
            self.terminal.write(f"\r{line}\x1b[K")
            self.terminal.flush()
        else:
            print(line, flush=True)

    def end(self) -> None:
        """Make room for what comes next."""
        if self.terminal:
            self.terminal.write("\r\x1b[K")
            self.terminal.flush()


def table(runs: list[Run], began: float, width: int, height: int) -> "Table":
    """The runs as a table that fits the terminal: all in order, or those that matter most and counts of the rest."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    rows, rest = _choose(runs, height - 4)  # head, two lines of caption, one to spare
    wide = width >= 100
    longest = max(len(run.job.name) for run in rows)
    grid = Table(box=None, expand=True, padding=(0, 1, 0, 0), caption_justify="left", caption_style="bold")
    grid.add_column("job", no_wrap=True, width=min(longest, width * 2 // 5))
    grid.add_column("state", no_wrap=True)
    if wide:
        grid.add_column("", width=12)
    grid.add_column("", justify="right", width=4)
    grid.add_column("progress", ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column("time", justify="right", no_wrap=True)
    grid.add_column("left", justify="right", no_wrap=True)
    for run in rows:
        mark, style = LOOKS[run.state]
        known = run.share > 0 and run.state not in ("finished", "there already")
        cells: list[Any] = [_shorten(run.job.name, width * 2 // 5), Text(f"{mark} {run.state}", style=style)]
        cells += [ProgressBar(1.0, run.share) if known else ""] if wide else []
        words = _words(run) if wide else " ".join(_words(run).split())
        cells += [f"{run.share:.0%}" if known else "", Text(words), clock(run.elapsed), clock(run.left)]
        grid.add_row(*cells, style="dim" if run.state in ("pending", "there already") else "")
    counts = "and " + ", ".join(f"{n} {state}" for state, n in rest.items()) + "\n" if rest else ""
    grid.caption = Text(counts + _caption(runs, began), no_wrap=True, overflow="ellipsis")
    return grid


def _choose(runs: list[Run], room: int) -> tuple[list[Run], Counter[str]]:
    """The runs to show in `room` lines, and how many others there are in each state."""
    if len(runs) <= room:
        return runs, Counter()
    pending = [run for run in runs if run.state == "pending"]
    latest = sorted((run for run in runs if run.state == "finished"), key=lambda run: -run.ended)
    rows = [run for run in runs if run.state in ("running", "elsewhere")]
    rows += [run for run in runs if run.state in ("failed", "stopped")]
    rows += pending[:3] + latest + pending[3:] + [run for run in runs if run.state == "there already"]
    room = max(1, room - 1)  # a line for the rest
    return rows[:room], Counter(run.state for run in rows[room:])


def _caption(runs: list[Run], began: float) -> str:
    elapsed = time.monotonic() - began
    count = _count(runs)
    parts = [f"{count['finished'] + count['there already']}/{len(runs)} done"]
    parts += [f"{count[state]} {state}" for state in ("failed", "blocked") if count[state]]
    parts += [f"{clock(elapsed)} elapsed"]
    left = time_left(runs, elapsed)
    parts += [f"about {clock(left)} left"] if left > 0 else []
    return ", ".join(parts)


class Lines:
    """Plain lines: what began, what ended and how, and now and then how far it is."""

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        self.states: dict[int, State] = {run.number: "pending" for run in runs}
        self.texts: dict[int, str] = {}
        self.times: dict[int, float] = {}

    def show(self) -> None:
        """Print what is new."""
        now = time.monotonic()
        for run in self.runs:
            if run.state != self.states[run.number]:
                ended = run.state in ("finished", "failed") and not math.isnan(run.started)
                if self.states[run.number] == "pending" and ended:  # since the last look
                    self._print("started", run.job.name, _why(run))
                self.states[run.number] = run.state
                self.texts[run.number], self.times[run.number] = run.text, now
                self._print("started" if run.state == "running" else run.state, run.job.name, self._ending(run))
            elif run.text != self.texts.get(run.number, run.text) and now - self.times[run.number] >= LINE_SECONDS:
                self.texts[run.number], self.times[run.number] = run.text, now
                self._print("running", run.job.name, f"{run.share:.0%}", run.text)

    def _ending(self, run: Run) -> str:
        if run.state == "running":
            return _why(run)
        took = clock(run.elapsed) if run.state in ("finished", "failed", "stopped") else ""
        return "  ".join(part for part in (took and f"in {took}", _words(run)) if part)

    def _print(self, state: str, *parts: str) -> None:
        done = sum(state in ("finished", "there already") for state in self.states.values())
        print(f"[{done}/{len(self.runs)}] {state:13}", *(part for part in parts if part), sep="  ", flush=True)


def summary(runs: list[Run], requested: int) -> str:
    """Counts, and of each job that failed the reason, the command that repeats it and its last output."""
    count = _count(runs)
    states = ("finished", "there already", "running", "elsewhere", "failed", "blocked", "stopped", "pending")
    counts = [f"{count[state]} {state}" for state in states]
    lines = ["", f"{len(runs)} jobs: " + ", ".join(text for text in counts if not text.startswith("0 "))]
    lines[1] += _apart(runs, requested)
    if count["stopped"] or count["pending"]:
        lines.append("The same command goes on where this one ended.")
    for run in runs:
        if run.state == "failed" and not run.blocked_by:
            lines += ["", f"failed: {run.job.name}", f"  why:    {run.reason}", f"  repeat: {run.repeat}"]
            lines += ["  its last output:"] if run.last_output else ["  it printed nothing"]
            lines += [f"  | {line}" for line in run.last_output]
            blocked = [other for other in runs if other.blocked_by is run]
            lines += [f"blocked by {run.job.name}:"] * bool(blocked) + [f"  {other.job.name}" for other in blocked]
    return "\n".join(lines)


def _count(runs: list[Run]) -> Counter[str]:
    """How many there are in each state, and of the failed ones those apart that were never started for it."""
    return Counter("blocked" if run.blocked_by else run.state for run in runs)


def _apart(runs: list[Run], requested: int) -> str:
    """In which the jobs differ from those that were asked for, in brackets; empty where they do not."""
    added = sum(run.added for run in runs)
    notes = [f"{requested} were asked for, but some are the same"] if requested > len(runs) - added else []
    notes += [f"{added} added: needed by others"] if added else []
    return f" ({'; '.join(notes)})" if notes else ""


def foreseen(runs: list[Run], requested: int, jobs: int) -> str:
    """What would run and what is there already, and what it would cost by what earlier jobs tell."""
    count = Counter(run.state for run in runs)
    lines = [f"{len(runs)} jobs: {count['pending']} would run, {count['there already']} there already"]
    lines[0] += f", {count['elsewhere']} in other hands" if count["elsewhere"] else ""
    lines[0] += f", {count['failed']} would not be started" if count["failed"] else ""
    lines[0] += _apart(runs, requested)
    for run in runs:
        begun = f", from {run.share:.0%} on ({run.text})" if run.share > 0 else ""
        words = {
            "pending": f"would run{_after(run)}{begun}",
            "elsewhere": f"in other hands ({run.text})",
            "failed": f"would not be started: {run.reason}",
        }
        lines.append(f"  {run.job.name}: {words.get(run.state, run.state)}{_why(run) and f'  ({_why(run)})'}")
    costs = {run: run.job.cost() for run in runs if run.state == "pending"}
    seconds = {run: whole * (1 - run.share) for run, (whole, _) in costs.items() if not math.isnan(whole)}
    sizes = [size for _, size in costs.values() if not math.isnan(size)]
    ends: dict[Run, float] = {}  # of each, were there room for all
    for run in costs:
        ends[run] = seconds.get(run, 0.0) + max((ends.get(need, 0.0) for need in run.needs), default=0.0)
    if seconds:
        unknown = (
            f", and {len(costs) - len(seconds)} jobs of which nothing is known" if len(seconds) < len(costs) else ""
        )
        # The longest, with what it waits for, is a lower bound, however many run at a time.
        time_needed = max(sum(seconds.values()) / jobs, *ends.values())
        lines.append(
            f"about {clock(time_needed)} with {jobs} at a time, and {sum(sizes) / 1e6:,.0f} MB of disk, by what earlier jobs "
            f"took{unknown}"
        )
    elif costs:
        lines.append("time and disk are unknown: no earlier job tells")
    return "\n".join([*lines, "nothing was started"])


def clock(seconds: float) -> str:
    """A duration as 0:07, 12:30 or 1:02:30; nothing where it is unknown."""
    if math.isnan(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shorten(name: str, width: int) -> "Text":
    """Cut in the middle: names often differ in their ends only."""
    from rich.text import Text

    return Text(name if len(name) <= width else f"{name[: width // 3]}…{name[width // 3 + 1 - width :]}")


def _why(run: Run) -> str:
    """Why it is there, where nobody asked for it."""
    return f"added: needed by {_first(run.needed_by)}" if run.added else ""


def _after(run: Run) -> str:
    """What it waits for."""
    return f" after {_first(run.awaits)}" if run.awaits else ""


def _first(runs: list[Run]) -> str:
    """The first one's name, and how many follow."""
    return runs[0].job.name + (f" and {len(runs) - 1} more" if runs[1:] else "")


def _words(run: Run) -> str:
    """What the table says of a run's progress or end."""
    if run.state == "failed":
        return run.reason
    if run.text or run.value is None:
        return run.text or (_after(run).strip() or _why(run) if run.state in ("pending", "running") else "")
    return f"{run.value:.4g}" if isinstance(run.value, float) else " ".join(repr(run.value).split())[:60]
