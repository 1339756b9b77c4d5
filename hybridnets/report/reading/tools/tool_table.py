"""From the runs of another tool to a table of scores, one row per run, which reading/scores reads as any other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.reading.score_kind import is_lower_better
from hybridnets.report.reading.scores import cell_values, mapping
from hybridnets.report.reading.scores.column_names import normalise
from hybridnets.report.reading.scores.mapping import Choice, Reading
from hybridnets.report.reading.scores.proposals import SEEDS, ColumnKinds, last_part
from hybridnets.report.reading.scores.reader import read_table
from hybridnets.report.reading.scores.text_table import Line, TextTable
from hybridnets.report.reading.tools.tool_runs import ToolRun, ToolRuns
from hybridnets.report.text import visible

DIVERGED = "diverged"  # in the place of a score that is not finite
STATUS = "status"


def read_tool_runs(source: ToolRuns, reading: Reading) -> RunSet:
    """The runs of another tool, as a report reads those of a table of scores.

    Args:
        source: The runs.
        reading: Which setting or metric is what, and which value of the metric counts.

    Raises:
        ReportError: If there is none, if nothing is known of their scores, or as `read_table`.
    """
    if not source.runs:
        why = "; ".join(source.problems) or "none was recorded"
        raise ReportError(f"{source.path} must hold a run of {source.tool} that can be read, got none: {why}")
    at = reading.at or "last"
    table, kinds = tool_table(source, at, reading.scores.lower_is_better)
    given = mapping.find_columns(source.path, table.header, reading)
    choice = mapping.choose(source.path, table, kinds, reading, given)
    if choice is None:  # which only a table of rows may be
        raise ReportError(f"{source.path} has runs of {source.tool} without settings and metrics")
    named = mapping.rename(_chosen_columns(table, kinds, choice), choice.roles)
    named, repeated = _without_superseded(named, choice)
    runs = read_table(source.path, named, choice, reading.scores)
    key = choice.score_name
    notes = [
        _how(source, key, at, not runs.score.higher_is_better),
        *choice.sentences,
        *repeated,
        *_short_histories(source.runs, key, at),
    ]
    notes += _differing_labels(mapping.rename(table, choice.roles), kinds)
    rest = runs.head[len(choice.sentences) :]
    return replace(runs, head=(*map(visible, notes), *rest), problems=(*map(visible, source.problems), *runs.problems))


def tool_table(source: ToolRuns, at: str, lower_is_better: bool | None = None) -> tuple[TextTable, ColumnKinds]:
    """The table of all settings, metrics and labels, and which of its columns may be proposed as what.

    Args:
        source: The runs.
        at: Which of a metric's values counts, best or last.
        lower_is_better: Which is the best; None where the metric's name says it.
    """
    states = [STATUS] * any(run.state for run in source.runs)  # which is more than a setting of this name says
    settings = [
        name for name in dict.fromkeys(name for run in source.runs for name in run.settings) if name not in states
    ]
    taken = {*states, *settings}
    metrics = [name for name in dict.fromkeys(name for run in source.runs for name in run.metrics) if name not in taken]
    taken |= {*metrics}
    labels = [name for name in dict.fromkeys(name for run in source.runs for name in run.labels) if name not in taken]
    rows = []
    for number, run in enumerate(source.runs, 1):
        cells = [run.settings.get(name, "") for name in settings]
        cells += [score_cell(run.metrics.get(name, {}), name, at, lower_is_better) for name in metrics]
        cells += [run.labels.get(name, "") for name in labels]
        rows.append(Line(number, [*map(str.strip, cells), *[run.state] * len(states)]))
    places = {number: visible(run.place) for number, run in enumerate(source.runs, 1)}
    table = TextTable([*settings, *metrics, *labels, *states], rows, [], (), "", "run", places)
    return table, ColumnKinds(tuple(settings), tuple(metrics), frozenset(labels))


def score_cell(values: Mapping[float, float], name: str, at: str, lower_is_better: bool | None = None) -> str:
    """A metric's value as a cell; empty if there is none, and a word if the value that counts, or the last, is not finite.

    Args:
        values: The values by step, the first step first.
        name: The metric's name, which says whether the smallest or the largest is the best.
        at: Which of them counts, best or last.
        lower_is_better: Which is the best, whatever the name says; None for what it says.
    """
    if not values:
        return ""
    *_, last = values.values()
    if not math.isfinite(last):
        return DIVERGED
    best = min if (is_lower_better(name) if lower_is_better is None else lower_is_better) else max
    return repr(float(best(filter(math.isfinite, values.values())) if at == "best" else last))


def shortest(value: float) -> float:
    """A value of single precision as the shortest number that means it: 0.7, and not 0.699999988."""
    return float(str(np.float32(value)))


def _chosen_columns(table: TextTable, kinds: ColumnKinds, choice: Choice) -> TextTable:
    """The table with the settings, the state, and what has a role; other metrics and labels are no settings."""
    chosen = {name for names in choice.roles.values() for name in names}
    files = (name for name in table.header if normalise(name) == "predictions")  # to read, if the user says so
    return mapping.without_columns(table, {*kinds.metrics, *kinds.others, *files} - chosen)


def _how(source: ToolRuns, key: str, at: str, lower_is_better: bool) -> str:
    count = len(source.runs)
    value = "last value" if at == "last" else f"{'smallest' if lower_is_better else 'largest'} value"
    optimism = ", which is optimistic: the score itself chose the epoch" if at == "best" else ""
    some = f"{count:,} run{'s' * (count != 1)} of {source.tool}"
    return f"{some} read from {source.path}; the score is the {value} of {key}{optimism}."


def _without_superseded(table: TextTable, choice: Choice) -> tuple[TextTable, list[str]]:
    """The table without runs that did not finish where another with the same variant and seed did."""
    if STATUS not in table.header:
        return table, []
    keys = [n for n, name in enumerate(table.header) if name in choice.roles and name not in ("score", STATUS)]
    status, score = table.header.index(STATUS), table.header.index("score")

    def is_finished(line: Line) -> bool:
        return cell_values.parse_state(line.cells[status]) in ("finished", "") and bool(line.cells[score])

    def key(line: Line) -> tuple[str, ...]:
        return tuple(line.cells[n] for n in keys)

    finished = {key(line) for line in table.rows if is_finished(line)}
    rows = [line for line in table.rows if is_finished(line) or key(line) not in finished]
    count = len(table.rows) - len(rows)
    if not count:
        return table, []
    some = f"{count:,} runs that did not finish are" if count > 1 else "1 run that did not finish is"
    return replace(table, rows=rows), [f"{some} not counted, because another of the same variant and seed finished."]


def _differing_labels(table: TextTable, kinds: ColumnKinds) -> list[str]:
    """A sentence if runs of one variant differ in a part of their configuration that is no setting of the variant."""
    variant, seed = (table.header.index(name) for name in ("variant", "seed" if "seed" in table.header else "fold"))
    seeds = [line.cells[seed] for line in table.rows]
    differing = {}
    for place, name in enumerate(table.header):
        values = [line.cells[place] for line in table.rows]
        measures = len({*values}) * 2 > len(values)  # or a name, or a time
        if name not in kinds.others or last_part(name) in SEEDS or measures or values == seeds:
            continue
        by_variant: dict[str, set[str]] = {}
        for line in table.rows:
            by_variant.setdefault(line.cells[variant], set()).add(line.cells[place])
        if differ := next((levels for levels in by_variant.values() if len(levels) > 1), None):
            differing[name] = " and ".join(sorted(level or "nothing" for level in differ)[:3])
    if not differing:
        return []
    name, levels = next(iter(differing.items()))
    others = f", and in {mapping.list_names([*differing][1:])}" if len(differing) > 1 else ""
    return [f"Runs of one variant differ in {name} ({levels}){others}: --map variant= can tell them apart."]


def _short_histories(runs: Sequence[ToolRun], key: str, at: str) -> list[str]:
    """A sentence if runs of a tool that does not record how they ended have fewer values than others."""
    lengths = {run.place: len(values) for run in runs if not run.state and (values := run.metrics.get(key))}
    longest = max(lengths.values(), default=0)
    short = {place: length for place, length in lengths.items() if length < longest}
    if not short:
        return []
    place, length = next(iter(short.items()))
    some = f"{len(short):,} runs have" if len(short) > 1 else "1 run has"
    return [
        f"{some} fewer values of {key} than the longest, as {place} with {length:,} of {longest:,}: interrupted or stopped "
        f"early, which the files do not say; the {at} one counts."
    ]
