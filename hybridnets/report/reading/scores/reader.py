"""Reads a file of scores of any project: a table with the score of each run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hybridnets.report.reading.results import FinishedRun, ReportError, RunSet
from hybridnets.report.reading.scores import ambiguities, cell_values
from hybridnets.report.reading.scores.column_roles import ColumnRoles, assign_roles, unusual_flag
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
    class, next to the file), seconds and parameters; and status or failed, which say how a run ended. Every other
    column with at most one value per variant is an axis: a setting by which tables are ordered. The table may be wide: with
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
    return read_table(path, table, choice)


def read_table(path: Path, table: TextTable, choice: Choice) -> RunSet:
    """The runs of a table of scores.

    Args:
        path: The file or folder that it was read from.
        table: The table.
        choice: Which of the source's columns became variant, seed and score.

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
    roles = assign_roles(long_table.rows)
    rows = _of_one_setting(long_table.rows, roles, left_out)
    mark = cell_values.find_decimal_mark(row.values["score"] for row in rows)
    if roles.split_is_part:
        rows = [replace(row, values={**row.values, "split": ""}) for row in rows]
    rows, notes_on_cells = ambiguities.drop_unreadable(_without_split_numbers(rows, table, left_out))
    lines, repeated = _build_runs(places, rows, roles, mark, left_out)
    finished = [run for run in lines if run.scores]
    problems = [*_unused_columns(places, long_table.rows, roles), *left_out.sentences(places)]
    if not finished:
        none = f"none of {len(lines)} {long_table.unit}s has a score" if lines else "no row at all"
        raise ReportError(f"{path} must have a usable row, got none: {visible('; '.join(problems) or none)}")
    ambiguities.refuse_mixed_scales(places, lines)
    ambiguities.refuse_tiny(path, finished)
    finished, more_problems = _with_agreeing_predictions(path, finished)
    total = len(long_table.rows) + len(table.too_long)
    notes = [*table.notes, *long_table.notes, *_notes_on_numbers(rows, mark), *notes_on_cells]
    notes += _notes_on_columns(rows, roles, table.separator)
    if any(run.ratio and not run.split for run in finished):
        notes.append("n_train and n_val ignored, because no column split distinguishes the splits")
    if repeated:
        repeats = count_of(repeated, total, long_table.unit, verb=("repeats another and is", "repeat others and are"))
        notes.append(f"{repeats} skipped")
    return RunSet(
        (path.resolve(),),
        tuple(finished),
        (*problems, *more_problems),
        missing=tuple(run for run in lines if not run.scores),
        partial=f"{count_of(left_out.count, total, left_out.unit)} left out" if left_out.count else "",
        predictions=not all(cell_values.is_missing(row.values.get("predictions", "")) for row in rows),
        head=(
            *choice.sentences,
            *first_sentences(left_out, len(lines) - len(finished), total, _pairs_without_row(lines), notes),
        ),
        score_name=choice.score_name,
    )


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
    """The rows of the first data set, and of the first setting of each variant that has several with the same seed."""
    first_level = {name: next(row.values[name] for row in rows if row.values[name]) for name in roles.data}
    first_setting: dict[str, Mapping[str, str]] = {}
    kept = []
    for row in rows:
        variant = row.values["variant"]
        setting = {name: row.values[name] for name in roles.distinguishing}
        mixed = next((name for name in roles.data if row.values[name] != first_level[name]), "")
        if mixed:
            advice = f"put each {mixed} into a separate file"
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
    builder = RunBuilder(places, roles.states, axes, mark)
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
    pairs = {(run.name, run.seeds) for run in runs}
    names, seeds = (len(set(side)) for side in zip(*pairs, strict=True))
    return names * seeds - len(pairs), names * seeds


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
