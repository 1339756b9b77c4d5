"""Anybody's scores: a table with a row for each training, of whatever project."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hybridnets.report.reading.predictions import read_predictions
from hybridnets.report.reading.results import FinishedRun, ReportError, RunSet
from hybridnets.report.reading.scores import cell, doubtful, layout, settings
from hybridnets.report.reading.scores.account import LeftOut, head, part
from hybridnets.report.reading.scores.layout import Entry
from hybridnets.report.reading.scores.sheet import Sheet, sheet
from hybridnets.report.tables.table import visible
from hybridnets.runs import identity as ids
from hybridnets.runs.records.errors import LARGEST_COUNT
from hybridnets.runs.records.predictions import PartPredictions, PredictionsReader

SUFFIXES = (".csv", ".tsv", ".txt")
LARGEST = 1e100  # whose square is a number still
AGREES = 1e-3  # between a score as somebody rounded it and the accuracy of its predictions
CLASSES = 1000  # that are worth a name each
TWICE = "the same variant and seed twice"


class RowError(ValueError):
    """Why a row cannot be used.

    Args:
        sentence: Why, with the value got.
        kind: The same of all rows that are wrong in this way; what stands before the value got, where it is empty.
    """

    def __init__(self, sentence: str, kind: str = "") -> None:
        super().__init__(sentence)
        self.kind = kind or sentence.partition(", got ")[0]


def read(path: Path) -> RunSet:
    """The trainings of a file of scores.

    Columns: variant, seed and score; where they are known also split (anything that is equal for equal splits), n_train
    and n_val (images trained on and held out, for the corrected test), predictions (a .npz or .csv with index, label and
    class, beside the file), seconds and parameters; and status or failed, which say how a training ended. Every other
    column with one value for each variant is an axis: a setting by which tables are ordered. A wide table serves too: a
    row for each seed and a column for each variant, or the other way round. A score that is empty, nan or NA is missing;
    a training failed where status or failed says so, or where its score is infinite.

    Args:
        path: The table: cells separated by commas, semicolons or tabs.

    Raises:
        ReportError: If it cannot be read, has no training that counts, or scores of unlike scale or too small for any test.
    """
    try:
        table = sheet(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} must be a CSV of scores, and cannot be read ({error})") from None
    try:
        found = layout.entries(table)
    except ValueError as error:
        raise ReportError(visible(f"{path} {error}")) from None
    left = LeftOut(found.unit)
    _leave_out_long(table, left)
    columns = settings.columns(found.entries)
    entries = _of_one_setting(found.entries, columns, left)
    mark = cell.decimal_mark(entry.values["score"] for entry in entries)
    if columns.split_is_part:
        entries = [replace(entry, values={**entry.values, "split": ""}) for entry in entries]
    entries, unreadable = doubtful.without_unreadable(_of_whole_scores(entries, table, left))
    lines, repeated = _runs(path, entries, columns, mark, left)
    finished = [run for run in lines if run.scores]
    problems = [*_unused(path, found.entries, columns), *left.sentences(path)]
    if not finished:
        none = f"none of {len(lines)} {found.unit}s has a score" if lines else "no row at all"
        why = visible("; ".join(problems) or none)
        raise ReportError(f"{path} must have a row that can be used, got none: {why}")
    doubtful.refuse_unlike_scales(path, lines)
    doubtful.refuse_tiny(path, finished)
    finished, said = _agreeing(path, finished)
    total = len(found.entries) + len(table.long)
    notes = [*table.notes, *found.notes, *_how_cells_were_read(entries, mark), *unreadable]
    notes += _how_columns_were_read(entries, columns, table.separator)
    if any(run.ratio and not run.split for run in finished):
        notes.append("n_train and n_val are not used, for no column split tells the splits apart")
    if repeated:
        repeats = part(repeated, total, found.unit, verb=("repeats another and is", "repeat others and are"))
        notes.append(f"{repeats} skipped")
    return RunSet(
        (path.resolve(),),
        tuple(finished),
        (*problems, *said),
        missing=tuple(run for run in lines if not run.scores),
        partial=f"{part(left.count, total, left.unit)} left out" if left.count else "",
        predictions=not all(cell.missing(entry.values.get("predictions", "")) for entry in entries),
        head=head(left, len(lines) - len(finished), total, _absent(lines), notes),
    )


def _leave_out_long(table: Sheet, left: LeftOut) -> None:
    for line in table.long:
        why = "it has more cells than the header (a decimal comma needs quotes around its cell, or semicolons between cells)"
        left.add(line.number, why, "more cells than the header")


def _of_whole_scores(entries: Sequence[Entry], table: Sheet, left: LeftOut) -> list[Entry]:
    """The entries whose score is not the part of a number before its decimal comma."""
    column = doubtful.beside_score(entries) if table.separator == "," else ""
    kept = []
    for entry in entries:
        if number := doubtful.two_halves(entry, column):
            why = f"score and {column} may be one number with a decimal comma, got {number}"
            advice = f"put quotes around the number, or give the column {column} another name"
            left.add(entry.line, f"{why}: {advice}", f"a score that may go on in {column}")
        else:
            kept.append(entry)
    return kept


def _of_one_setting(entries: Sequence[Entry], columns: settings.Columns, left: LeftOut) -> list[Entry]:
    """The entries of the first data set, and of the first setting of each variant where it has several of one seed."""
    level = {name: next(entry.values[name] for entry in entries if entry.values[name]) for name in columns.data}
    first: dict[str, Mapping[str, str]] = {}
    kept = []
    for entry in entries:
        variant = entry.values["variant"]
        here = {name: entry.values[name] for name in columns.parting}
        if other := next((name for name in columns.data if entry.values[name] != level[name]), ""):
            left.add(
                entry.line,
                f"{variant} has {other} {entry.values[other] or 'nothing'} here, and only {level[other]} is reported, which "
                f"comes first: give each {other} a file of its own",
                f"another {other} than {level[other]}",
                f"give each {other} a file of its own",
            )
        elif here != (above := first.setdefault(variant, here)):
            left.add(
                entry.line,
                f"{variant} has {_told(here)} here and {_told(above)} above: a variant has one setting, so give it another "
                "name",
                f"another {' or '.join(columns.parting)} than the variant's first",
                "give a variant another name for each setting",
            )
        else:
            kept.append(entry)
    return kept


def _unused(path: Path, entries: Sequence[Entry], columns: settings.Columns) -> Iterator[str]:
    """A sentence on each column that is no setting, for its values differ between the runs of a variant."""
    for name in columns.unused:
        above: dict[str, str] = {}
        for entry in entries:
            if (here := entry.values[name]) and here != (first := above.setdefault(entry.values["variant"], here)):
                yield (
                    f"{path}, line {entry.line}: {entry.values['variant']} has {name} {here} here and {name} {first} above: a "
                    f"variant has one setting, so the column {name} is not used"
                )
                break


def _told(axes: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {level or 'nothing'}" for axis, level in axes.items())


def _runs(
    path: Path, entries: Sequence[Entry], columns: settings.Columns, mark: str, left: LeftOut
) -> tuple[dict[FinishedRun, int], int]:
    """The trainings, each once, with their lines; and how many rows say again what another says."""
    reader, found, lines, repeated = PredictionsReader(), dict[str, FinishedRun](), dict[FinishedRun, int](), 0
    axes: dict[str, dict[str, str]] = {}
    for entry in entries:
        known = axes.setdefault(entry.values["variant"], {})
        known |= {name: value for name in (*columns.settings, *columns.parting) if (value := entry.values[name])}
    for entry in entries:
        try:
            run = _run(path, entry, _state(entry, columns.states), axes[entry.values["variant"]], mark, reader)
        except RowError as error:
            left.add(entry.line, str(error), error.kind)
            continue
        first = found.setdefault(run.hash, run)
        if first is run:
            lines[run] = entry.line
        elif (first.scores, first.diverged) == (run.scores, run.diverged):
            repeated += 1
        else:
            left.add(entry.line, f"{run.name} has seed {run.seed} twice; the first counts", TWICE)
    return lines, repeated


def _state(entry: Entry, states: Sequence[str]) -> str:
    """How a training ended, where the table says it.

    Raises:
        RowError: If it says it in a word that nobody knows.
    """
    try:
        return settings.state(entry, states)
    except ValueError as error:
        rule, _, got = str(error).rpartition(", got ")
        raise RowError(str(error), f"{rule.split()[0]} {got}, which does not say how the training ended") from None


def _absent(runs: Iterable[FinishedRun]) -> tuple[int, int]:
    """How many pairs of a variant and a seed the file has no row of, and how many such pairs there are."""
    pairs = {(run.name, run.seeds) for run in runs}
    names, seeds = (len(set(side)) for side in zip(*pairs, strict=True))
    return names * seeds - len(pairs), names * seeds


def _agreeing(path: Path, runs: list[FinishedRun]) -> tuple[list[FinishedRun], list[str]]:
    """The runs with their scores as shares where predictions say so; without predictions that do not give the scores."""
    known = [run for run in runs if run.outcomes and not run.diverged]
    if not known:
        return runs, []
    for scale in (1, 100):
        if all(abs(run.scores["score"] / scale - run.outcomes["score"].accuracy) < AGREES for run in known):
            return [replace(run, scores={"score": run.scores["score"] / scale}) for run in runs], []
    said = f"{path}: the predictions do not give the scores as accuracies, so nothing is said image by image"
    return [replace(run, outcomes={}) for run in runs], [said]


def _how_cells_were_read(entries: Sequence[Entry], mark: str) -> Iterator[str]:
    """Words on numbers and seeds that are not written as Python writes them."""
    scores = [entry.values["score"] for entry in entries]
    if percent := next((text for text in scores if text.endswith("%") and cell.is_number(text)), ""):
        yield f"scores with a % sign as shares ({percent} as {cell.number(percent, mark or '.'):g})"
    if comma := next((text for text in scores if "," in text and cell.is_number(text)), ""):
        with_mark = "decimal commas" if mark == "," else "commas between groups of digits" if mark == "." else ""
        if with_mark:
            yield f"{with_mark} ({comma} as {cell.number(comma, mark):g})"
    if seed := next((text for entry in entries if not (text := entry.values["seed"]).lstrip("+-").isdigit()), ""):
        try:
            yield f"seeds by their number ({seed} as {cell.seed(seed)})"
        except ValueError:
            return


def _how_columns_were_read(entries: Sequence[Entry], columns: settings.Columns, separator: str) -> Iterator[str]:
    """Words on columns of which others might think otherwise."""
    if separator == ",":
        yield from doubtful.halves_told(entries, columns.unused)
    if unusual := settings.unusual_flag(entries, columns.states):
        yield f"all that {unusual[0]} says besides no as a failure ({unusual[1]})"
    if columns.unused:
        yield f"not used, for they differ between the runs of a variant: {', '.join(columns.unused)}"


def _run(
    path: Path, entry: Entry, state: str, axes: Mapping[str, str], mark: str, reader: PredictionsReader
) -> FinishedRun:
    """One training; without scores where its score is missing.

    Raises:
        RowError: If the row cannot be used.
    """
    values = {key: "" if key in layout.OPTIONAL and cell.missing(text) else text for key, text in entry.values.items()}
    if not values["variant"]:
        raise RowError("variant must be a name, got nothing")
    try:
        seed = cell.seed(values["seed"])
    except ValueError as error:
        raise RowError(str(error)) from None
    failed = state == "failed" or cell.failed(values["score"])
    known = not (failed or state == "unfinished" or cell.missing(values["score"]))
    score = _number(values, "score", mark) if known else 0.0
    outcomes: dict[str, PartPredictions] = {}
    if stored := values.get("predictions"):
        try:
            outcomes = {"score": read_predictions(path.parent / stored, reader)}
        except ValueError as error:
            raise RowError(str(error), str(error).replace(str(path.parent / stored), "predictions")) from None
    identity = {"variant": values["variant"], "seeds": dict.fromkeys(("split", "init", "order"), seed)}
    return FinishedRun(
        folder=path if known or failed else Path(f"{path}, line {entry.line}"),
        hash=ids.digest(identity),
        identity=identity,
        data=visible(path.stem),
        name=values["variant"],
        seeds=(seed, seed, seed),
        scores={"score": score} if known or failed else {},
        split=values.get("split", ""),
        ratio=_ratio(values),
        diverged=failed,
        parameters=int(_amount(values, "parameters")) if values.get("parameters") else None,
        classes=_classes(outcomes.values()),
        outcomes=outcomes,
        epoch_seconds=(_amount(values, "seconds"),) if values.get("seconds") else (),
        axes=axes,
    )


def _number(values: Mapping[str, str], key: str, mark: str = ".") -> float:
    rule = f"{key} must be a number, at most {LARGEST:g}"
    try:
        found = cell.number(values[key], mark)
    except ValueError as error:
        if "which may be" in str(error):
            why = f"{key} must be one number, {error}: write all numbers with the same decimal mark"
            raise RowError(why, f"{key} may be two numbers") from None
        raise RowError(f"{rule}, {error}") from None
    if not abs(found) <= LARGEST:
        raise RowError(f"{rule}, got {values[key]}")
    return found


def _amount(values: Mapping[str, str], key: str) -> float:
    found = _number(values, key)
    if not 0 <= found <= LARGEST_COUNT:
        raise RowError(f"{key} must be a number from 0 to {LARGEST_COUNT:g}, got {values[key]}")
    return found


def _ratio(values: Mapping[str, str]) -> float | None:
    """Images held out for one trained on; None where the table does not tell."""
    sizes = [_number(values, key) for key in ("n_val", "n_train") if values.get(key)]
    if sizes and (len(sizes) < 2 or not 1 <= min(sizes) <= max(sizes) <= LARGEST_COUNT):
        raise RowError(f"n_train and n_val must both be numbers from 1 to {LARGEST_COUNT:g}")
    return sizes[0] / sizes[1] if sizes else None


def _classes(found: Iterable[PartPredictions]) -> tuple[str, ...]:
    most = max((int(column.max()) for each in found for column in (each.label, each.predicted)), default=-1)
    return tuple(map(str, range(most + 1))) if most < CLASSES else ()
