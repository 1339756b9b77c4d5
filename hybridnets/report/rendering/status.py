"""How far the runs of a folder are, from the folder alone, so that it also works while they run."""

import contextlib
import re
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import get_args

from hybridnets.program import plural
from hybridnets.report.reading.progress import ACCURACY, RunProgress, progress_of, runs_below
from hybridnets.report.reading.results import ReportError
from hybridnets.report.tables.table import wrapped
from hybridnets.report.text import natural, visible
from hybridnets.runs import identities
from hybridnets.runs.claims import BEAT_SECONDS, Watch
from hybridnets.runs.labels import label_variants
from hybridnets.runs.manifest import RequestedRun
from hybridnets.runs.records import RecordError, provenance, result
from hybridnets.runs.store import State, owner, reason

WIDTH = 100  # columns; a note that does not fit beside its run goes below it
LABEL = 40  # columns of a label; longer ones are wrapped
HEADER = ("state", "variant", "run", "epoch", "best val")  # of val/acc


def status_text(folders: list[Path]) -> str:
    """A table of the runs at or below some folders: those that began, and those that sweeps requested.

    Args:
        folders: Folders of runs.

    Raises:
        ReportError: If one of them is not a folder, or if no folder holds a run.
    """
    runs: dict[Path, RequestedRun | None] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            problem = "is a file" if folder.exists() else "does not exist"
            raise ReportError(
                f"FOLDER must be a folder of runs, got {folder}, which {problem}: give the folder of runs"
            )
        requested, broken = runs_below(folder.resolve())
        runs |= requested
        problems += broken
    if not runs:
        remedy = "; ".join(problems) or "train some, or give the folder that they were written to"
        raise ReportError(f"FOLDER must hold runs, got {', '.join(map(str, folders))} without any: {remedy}")
    silent = _silent(list(runs))
    statuses = [_status(folder, requested, silent.get(folder, "")) for folder, requested in sorted(runs.items())]
    lines = [line for _, part in groupby(statuses, _data_folder) for line in (*_table(list(part)), "")]
    counts = Counter(status.state for status in statuses)
    total = ", ".join(f"{counts[kind]} {kind}" for kind in get_args(State) if counts[kind])
    lines.append(f"{plural(len(runs), 'run')}: {total}")
    if counts["stopped"]:
        lines.append("A stopped run continues where it ended when its command is started again.")
    return "\n".join([*lines, *map(wrapped, problems)])


def _status(folder: Path, requested: RequestedRun | None, silence: str) -> RunProgress:
    """How far a run is, with its variant and a note on it."""
    run = progress_of(folder)
    note = _note(folder, run.state, silence)
    with contextlib.suppress(RecordError):
        if record := result.read(folder):
            accuracy, variant = record.best.get(ACCURACY), identities.variant(record.identity)
            return replace(run, epochs=record.epochs, accuracy=accuracy, variant=variant, note=note)
    note = "; ".join(filter(None, (note, run.note)))
    return replace(run, variant=next(_variants(folder, requested), None), note=note)


def _note(folder: Path, now: State, silence: str) -> str:
    """Who runs a run, why it ended, or what is wrong with its result and what to do."""
    if now == "running":
        return f"by {owner(folder)}{silence}"
    if now == "failed":
        return reason(folder) or "its process died"
    if now == "stopped":
        # "on request" or "by SIGTERM": the table says after which epoch, and how the run continues.
        who = re.match(r"(?:stopped |ended )?((?:on|by) \w+)", reason(folder))
        return who[1] if who else ""
    if now != "unreadable":
        return ""
    try:
        result.read(folder)
    except RecordError as error:
        return error.advice.removeprefix(f"{folder}/")
    return ""


def _variants(folder: Path, requested: RequestedRun | None) -> Iterator[identities.Identity]:
    """The variant of a run without a result, as the run itself and as the sweep recorded it, if the folder is named for it."""
    candidates: list[identities.Identity] = []
    with contextlib.suppress(RecordError):
        if (record := provenance.read(folder)) and record.identity:
            candidates.append(record.identity)
    if requested and requested.variant:
        seeds = dict(zip(identities.SEED_KINDS, requested.seeds, strict=True))
        candidates.append({**requested.variant, "seeds": seeds})
    for identity in candidates:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # a damaged file
            if folder.parts[-3:] == identities.folder(identity).parts:
                yield identities.variant(identity)


def _data_folder(status: RunProgress) -> Path:
    return status.folder.parent.parent


def _table(statuses: list[RunProgress]) -> Iterator[str]:
    """The lines of the runs on one data set, below the name of its folder."""
    labels = _labels(statuses)
    statuses = sorted(statuses, key=lambda status: (natural(labels[status.folder]), natural(status.folder.name)))
    rows = [
        (
            status.state,
            visible(labels[status.folder]),
            visible(status.folder.name),
            status.epochs_of,
            "-" if status.accuracy is None else f"{status.accuracy:.4f}",
        )
        for status in statuses
    ]
    wide = min(LABEL, max(len(row[1]) for row in rows))
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    widths[1] = max(wide, len(HEADER[1]))
    folder = _data_folder(statuses[0])
    yield visible(str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder))
    yield from _lines(HEADER, widths, "")
    yield "-" * (sum(widths) + 2 * (len(widths) - 1))
    for row, status in zip(rows, statuses, strict=True):
        yield from _lines(row, widths, visible(status.note))


def _labels(statuses: Iterable[RunProgress]) -> dict[Path, str]:
    """The label of each run's variant, as a report's; the folder's name where nothing says what the variant is."""
    keys = {status.folder: identities.hash_of(status.variant) for status in statuses if status.variant}
    variants = {keys[status.folder]: status.variant for status in statuses if status.variant}
    labels = label_variants(variants, {key: identities.name(settings) for key, settings in variants.items()})
    return {
        status.folder: labels[keys[status.folder]][0] if status.variant else status.folder.parent.name
        for status in statuses
    }


def _lines(cells: tuple[str, ...], widths: list[int], note: str) -> Iterator[str]:
    """A row's lines: words to the left and values to the right; then the note, beside them if it fits, else below."""
    label, *more = textwrap.wrap(cells[1], widths[1], subsequent_indent="  ", break_on_hyphens=False) or [""]
    words = (cells[0], label, cells[2])
    padded = [text.ljust(width) for text, width in zip(words, widths, strict=False)]
    padded += [text.rjust(width) for text, width in zip(cells[3:], widths[3:], strict=True)]
    line, indent = "  ".join(padded), " " * (widths[0] + 2)
    fits = len(line) + 2 + len(note) <= WIDTH
    yield f"{line}  {note}".rstrip() if fits else line.rstrip()
    yield from (indent + rest for rest in more)
    if not fits:
        yield textwrap.fill(
            note, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )


def _silent(folders: list[Path]) -> dict[Path, str]:
    """A note on each run on another host whose heartbeat does not change during one and a half beats."""
    watches = [watch for watch in map(Watch, folders) if _is_silent(watch)]
    if not watches:
        return {}
    time.sleep(1.5 * BEAT_SECONDS)
    note = f", without a heartbeat for {1.5 * BEAT_SECONDS:.0f} s: dead if this continues"
    return {watch.folder: note for watch in watches if _is_silent(watch)}


def _is_silent(watch: Watch) -> bool:
    """Whether a run's owner gives no sign of life; of a folder that may not be listed nothing is known."""
    with contextlib.suppress(PermissionError):
        return watch.state() == "silent"
    return False
