"""Reads a file of scores of any project: a table with the score of each run."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

from hybridnets.report.reading.results import FinishedRun, ReportError, RunSet
from hybridnets.report.reading.score_kind import NO_OPTIONS, ScoreKind, ScoreOptions, score_kind
from hybridnets.report.reading.scores import ambiguities, cell_values
from hybridnets.report.reading.scores.column_names import DIRECTIONS, METRICS, UNITS, normalise, parse_direction
from hybridnets.report.reading.scores.column_roles import ColumnRoles, assign_roles, unusual_flag
from hybridnets.report.reading.scores.folds import with_folds
from hybridnets.report.reading.scores.left_out import LeftOutRows, count_of, first_sentences
from hybridnets.report.reading.scores.long_form import ScoreRow, to_long_form
from hybridnets.report.reading.scores.mapping import AS_IT_IS, Choice, Reading, name_columns
from hybridnets.report.reading.scores.run_rows import RowError, RunBuilder
from hybridnets.report.reading.scores.text_table import Places, TextTable, parse_table
from hybridnets.report.text import visible

SUFFIXES = (".csv", ".tsv", ".txt")
ROUNDING = 1e-3  # between a rounded score and the accuracy of its predictions


def read_scores(path: Path, reading: Reading = AS_IT_IS) -> RunSet:
    """The runs of a file of scores.

    Columns: variant, seed and score; if they are known also split (anything that is equal for equal splits), n_train
    and n_val (images trained on and held out, for the corrected test), predictions (a .npz or .csv with index, label and
    class, next to the file), seconds and parameters; status or failed, which say how a run ended; dataset, which makes each
    of its values a data set of its own; and metric, unit and direction, which say what the scores are. Every other column
    with at most one value per variant is an axis: a setting by which tables are ordered. The table may be wide: with
    one row per seed and one column per variant, or the other way round. A score that is empty, nan or NA is missing; a
    run failed if status or failed says so, or if its score is infinite.

    Args:
        path: The table: cells separated by commas, semicolons or tabs.
        reading: Which column is what, where their names do not say it.

    Raises:
        ReportError: If it cannot be read, has no usable row, or has scores of mixed scales or too small for any test.
    """
    try:
        table = parse_table(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read as a table of scores ({error})") from None
    table, choice = name_columns(path, table, reading)
    return read_table(path, table, choice, reading.scores)


def read_table(path: Path, table: TextTable, choice: Choice, options: ScoreOptions = NO_OPTIONS) -> RunSet:
    """The runs of a table of scores.

    Args:
        path: The file or folder that it was read from.
        table: The table.
        choice: Which of the source's columns became variant, seed and score.
        options: What the command line says of the scores.

    Raises:
        ReportError: As `read_scores`.
    """
    places = Places(path, table.places)
    try:
        long_table = to_long_form(table)
    except ValueError as error:
        raise ReportError(visible(f"{path} {error}")) from None
    left_out = LeftOutRows(long_table.unit)
    _leave_out_long_lines(table, left_out)
    chosen, notes_on_folds = with_folds(_of_one_metric(path, long_table.rows, options.name), left_out)
    roles = assign_roles(chosen)
    rows = _of_one_setting(chosen, roles, left_out)
    ambiguities.refuse_mixed_units(places, rows)
    kind, notes_on_name = _kind(path, rows, options, choice.score_name)
    mark = cell_values.find_decimal_mark(row.values["score"] for row in rows)
    if roles.split_is_part:
        rows = [replace(row, values={**row.values, "split": ""}) for row in rows]
    rows, notes_on_cells = ambiguities.drop_unreadable(_without_split_numbers(rows, table, left_out))
    lines, repeated = _build_runs(places, rows, roles, mark, left_out)
    finished = [run for run in lines if run.scores]
    problems = [*_unused_columns(places, chosen, roles), *left_out.sentences(places)]
    _refuse_no_score(path, lines, long_table.unit, problems)
    ambiguities.refuse_mixed_scales(places, lines)
    ambiguities.refuse_tiny(path, finished)
    finished, more_problems = _with_agreeing_predictions(path, finished)
    total = len(long_table.rows) + len(table.too_long)
    notes = [*table.notes, *long_table.notes, *notes_on_folds, *_notes_on_numbers(rows, mark), *notes_on_cells]
    notes += notes_on_name + [kind.assumed] * bool(kind.assumed)
    notes += [
        f"the column {name} ignored, because it does not say lower or higher" for name in _unread_directions(rows)
    ]
    notes += _notes_on_columns(rows, roles, table.separator)
    if any(run.ratio and not run.split for run in finished):
        notes.append("n_train and n_val ignored, because no column split distinguishes the splits")
    if repeated:
        repeats = count_of(repeated, total, long_table.unit, verb=("repeats another and is", "repeat others and are"))
        notes.append(f"{repeats} skipped")
    pair = "fold" if all(run.fold for run in lines) else "seed"
    return RunSet(
        (path.resolve(),),
        tuple(finished),
        (*problems, *more_problems),
        missing=tuple(run for run in lines if not run.scores),
        partial=f"{count_of(left_out.count, total, left_out.unit)} left out" if left_out.count else "",
        predictions=not all(cell_values.is_missing(row.values.get("predictions", "")) for row in rows),
        head=(
            *choice.sentences,
            *first_sentences(left_out, len(lines) - len(finished), total, _pairs_without_row(lines), notes, pair),
        ),
        score=kind,
    )


def _refuse_no_score(path: Path, lines: Collection[FinishedRun], unit: str, problems: Sequence[str]) -> None:
    if not any(run.scores for run in lines):
        none = f"none of {len(lines)} {unit}s has a score" if lines else "no row at all"
        raise ReportError(f"{path} must have a usable row, got none: {visible('; '.join(problems) or none)}")


def _kind(path: Path, rows: Sequence[ScoreRow], options: ScoreOptions, column_name: str) -> tuple[ScoreKind, list[str]]:
    """What the scores are, by the command line, or else by a column with one value; and notes on what differs."""

    def stated(names: Iterable[str]) -> tuple[str, str]:
        """The column among some names that has one value in all rows, and the value."""
        columns = {normalise(column): column for column in (rows[0].values if rows else ())}
        for name in (name for name in names if name in columns):
            values = {row.values[columns[name]] for row in rows} - {""}
            if len(values) == 1:
                return name, values.pop()
        return "", ""

    column, direction = stated(sorted(DIRECTIONS))
    lower = parse_direction(direction, column) if direction else None
    if lower is None and column in ("lower_is_better", "higher_is_better"):
        raise ReportError(f"{path}: the column {column} must say lower or higher, got {visible(direction)}")
    lower = lower if options.lower_is_better is None else options.lower_is_better
    own = stated(sorted(METRICS))[1] or column_name
    notes = []
    if options.name and own and normalise(own) not in ("score", normalise(options.name)):
        notes.append(f"the score as {options.name}, because --metric says so: the file calls it {own}")
    unit_column, unit = stated(sorted(UNITS))
    units = [text for row in rows for column, text in row.values.items() if normalise(column) == unit_column]
    if without := units.count(""):
        notes.append(f"the unit {unit} for all scores, although {without:,} of {len(units):,} rows name none")
    return score_kind(options.name or own, path.stem, lower, options.unit or unit), notes


def _unread_directions(rows: Sequence[ScoreRow]) -> Iterator[str]:
    """The columns that seem to say which scores are better, and do not say it in one way."""
    for column in rows[0].values if rows else ():
        values = {row.values[column] for row in rows} - {""}
        if normalise(column) == "direction" and (len(values) != 1 or parse_direction(values.pop(), column) is None):
            yield column


def _of_one_metric(path: Path, rows: Sequence[ScoreRow], name: str) -> Sequence[ScoreRow]:
    """The rows of the requested metric, where a column names the metric of each row and has this one."""
    for column in (column for column in (rows[0].values if rows else ()) if normalise(column) in METRICS):
        chosen = [row for row in rows if normalise(row.values[column]) == normalise(name)]
        if name and chosen:
            return chosen
        names = list(dict.fromkeys(row.values[column] for row in rows if row.values[column]))
        if name and len(names) > 1:
            raise ReportError(f"{path}: --metric must be one of {', '.join(names)}, got {visible(name)}")
    return rows


def _leave_out_long_lines(table: TextTable, left_out: LeftOutRows) -> None:
    kind = "more cells than the header"
    for line in table.too_long:
        left_out.add(
            line.number, f"it has {kind} (put quotes around a decimal comma, or semicolons between cells)", kind
        )


def _without_split_numbers(rows: Sequence[ScoreRow], table: TextTable, left_out: LeftOutRows) -> list[ScoreRow]:
    """The rows whose score is not the first part of a number with a decimal comma."""
    column = ambiguities.column_after_score(rows) if table.separator == "," else ""
    kept = []
    for row in rows:
        if number := ambiguities.number_split_into_comment(row, column):
            kind = f"score and {column} may be one number"
            advice = f"put quotes around the number, or rename the column {column}"
            left_out.add(row.line, f"{kind} with a decimal comma, got {number}: {advice}", kind)
        else:
            kept.append(row)
    return kept


def _of_one_setting(rows: Sequence[ScoreRow], roles: ColumnRoles, left_out: LeftOutRows) -> list[ScoreRow]:
    """The rows of the first part or metric, and of the first setting of each variant that has several with the same seed."""
    first_level = {name: next(row.values[name] for row in rows if row.values[name]) for name in roles.data}
    first_setting: dict[str, Mapping[str, str]] = {}
    kept = []
    for row in rows:
        variant = row.values["variant"]
        setting = {name: row.values[name] for name in roles.distinguishing}
        mixed = next((name for name in roles.data if row.values[name] != first_level[name]), "")
        if mixed:
            advice = (
                f"choose one with --metric, as --metric {row.values[mixed] or 'NAME'}"
                if normalise(mixed) in METRICS
                else f"put each {mixed} into a separate file"
            )
            left_out.add(
                row.line,
                f"{variant} has {mixed} {row.values[mixed] or 'nothing'} here, but only the first, {first_level[mixed]}, is "
                f"reported: {advice}",
                f"{mixed} other than {first_level[mixed]}",
                advice,
            )
        elif setting != (earlier := first_setting.setdefault(variant, setting)):
            advice = "give each setting a variant name"
            left_out.add(
                row.line,
                f"{variant} has {_list_setting(setting)} here and {_list_setting(earlier)} above, but a variant has only one "
                f"setting: {advice}",
                f"{' or '.join(roles.distinguishing)} other than the variant's first",
                advice,
            )
        else:
            kept.append(row)
    return kept


def _list_setting(levels: Mapping[str, str]) -> str:
    return ", ".join(f"{axis} {level or 'nothing'}" for axis, level in levels.items())


def _unused_columns(places: Places, rows: Sequence[ScoreRow], roles: ColumnRoles) -> Iterator[str]:
    """A sentence on each column that is no setting, because its values differ between the runs of a variant."""
    for name in roles.unused:
        first: dict[str, str] = {}
        for row in rows:
            variant, value = row.values["variant"], row.values[name]
            if value and value != (earlier := first.setdefault(variant, value)):
                yield (
                    f"{places.of(row.line)}: {variant} has {name} {value} here and {name} {earlier} above, but a variant has "
                    f"only one setting: the column {name} is ignored"
                )
                break


def _build_runs(
    places: Places, rows: Sequence[ScoreRow], roles: ColumnRoles, mark: str, left_out: LeftOutRows
) -> tuple[dict[FinishedRun, int], int]:
    """The runs, each once, with their lines; and how many rows repeat another."""
    axes: dict[str, dict[str, str]] = {}
    for row in rows:
        levels = axes.setdefault(row.values["variant"], {})
        levels |= {name: value for name in (*roles.settings, *roles.distinguishing) if (value := row.values[name])}
    builder = RunBuilder(places, roles, axes, mark)
    by_hash: dict[str, FinishedRun] = {}
    lines: dict[FinishedRun, int] = {}
    repeated = 0
    for row in rows:
        try:
            run = builder.run(row)
        except RowError as error:
            left_out.add(row.line, str(error), error.kind)
            continue
        first = by_hash.setdefault(run.hash, run)
        if first is run:
            lines[run] = row.line
        elif (first.scores, first.diverged) == (run.scores, run.diverged):
            repeated += 1
        else:
            sentence = f"{run.name} has seed {run.seed} twice; the first counts"
            left_out.add(row.line, sentence, "the same variant and seed twice")
    return lines, repeated


def _pairs_without_row(runs: Iterable[FinishedRun]) -> tuple[int, int]:
    """How many pairs of variant and seed have no row in the file, and how many pairs there are."""
    by_data: dict[str, set[tuple[str, tuple[int, int, int]]]] = {}
    for run in runs:
        by_data.setdefault(run.data, set()).add((run.name, run.seeds))
    expected = sum(prod(len(set(side)) for side in zip(*pairs, strict=True)) for pairs in by_data.values())
    return expected - sum(map(len, by_data.values())), expected


def _with_agreeing_predictions(path: Path, runs: list[FinishedRun]) -> tuple[list[FinishedRun], list[str]]:
    """The runs with their scores as shares if these are the accuracies of the predictions; else without predictions."""
    predicted = [run for run in runs if run.outcomes and not run.diverged]
    if not predicted:
        return runs, []
    for scale in (1, 100):
        if all(abs(run.scores["score"] / scale - run.outcomes["score"].accuracy) < ROUNDING for run in predicted):
            return [replace(run, scores={"score": run.scores["score"] / scale}) for run in runs], []
    problem = f"{path}: the accuracies of the predictions are not the scores, so nothing is compared image by image"
    return [replace(run, outcomes={}) for run in runs], [problem]


def _notes_on_numbers(rows: Sequence[ScoreRow], mark: str) -> Iterator[str]:
    """Notes on numbers and seeds that are not written as Python writes them."""
    scores = [row.values["score"] for row in rows]
    if percent := next((text for text in scores if text.endswith("%") and cell_values.is_number(text)), ""):
        value = cell_values.parse_number(percent, mark or ".")
        yield f"scores with a % sign as shares ({percent} as {value:g})"
    if comma := next((text for text in scores if "," in text and cell_values.is_number(text)), ""):
        commas = {",": "decimal commas", ".": "commas between groups of digits"}.get(mark)
        if commas:
            yield f"{commas} ({comma} as {cell_values.parse_number(comma, mark):g})"
    if seed := next((text for row in rows if not (text := row.values["seed"]).lstrip("+-").isdigit()), ""):
        try:
            yield f"seeds by their number ({seed} as {cell_values.parse_seed(seed)})"
        except ValueError:
            return


def _notes_on_columns(rows: Sequence[ScoreRow], roles: ColumnRoles, separator: str) -> Iterator[str]:
    """Notes on columns that may have been meant otherwise."""
    if separator == ",":
        yield from ambiguities.notes_on_split_numbers(rows, roles.unused)
    if unusual := unusual_flag(rows, roles.states):
        column, word = unusual
        yield f"everything but no in the column {column} as a failure ({word})"
    if roles.unused:
        yield f"columns ignored, because they differ between the runs of a variant: {', '.join(roles.unused)}"
