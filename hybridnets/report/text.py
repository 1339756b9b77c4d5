"""The comparison as text for a terminal of 120 columns."""

import itertools
import textwrap

from hybridnets.report.differences import Comparison
from hybridnets.report.variants import Section, Variant
from hybridnets.stats import Summary

WIDTH = 120
LABEL = 30  # columns of a label, which goes on below where it is longer

ACCURACIES = """\
Accuracy in percent, mean ± standard deviation over the runs (n - 1). test: at the epoch that was best on val.
* optimistic: val at the epoch that was chosen on it; beside it val at the last epoch.
runs: 2/3 when two are finished of three asked for. parameters: as Keras counts. s/epoch: median over epochs and runs.
s/run: mean over runs of all their epochs."""
DIFFERENCES = """\
Accuracy differences in points, variant minus baseline, paired by seed: both runs of a pair saw the same split of the
same data. n: pairs. won: pairs that favour the variant : the baseline.
* optimistic: val at the epoch that was chosen on it.
95 % interval of the mean, plain paired t: {questions}.
Not corrected for the number of comparisons ({count})."""


def told(
    sections: list[Section], comparisons: dict[str, list[Comparison]], notes: list[str], problems: list[str]
) -> str:
    """All tables and what is to be said beside them.

    Args:
        sections: The variants by data set.
        comparisons: The comparisons by data set.
        notes: Sentences on what could not be compared, or only with care.
        problems: Sentences on files and runs that are left out.
    """
    parts = []
    for section in sections:
        count = sum(len(variant.runs) for variant in section.variants)
        title = f"{section.data}: {_number(len(section.variants), 'variant')}, {_number(count, 'run')}"
        parts += [f"{title}\n{'=' * len(title)}", _variants(section.variants)]
        if comparisons[section.data]:
            parts.append(_differences(comparisons[section.data]))
    if notes:
        parts.append("\n".join(["Notes", *map(_item, notes)]))
    if problems:
        parts.append("\n".join([f"Missing or left out ({len(problems)})", *map(_item, problems)]))
    return "\n\n".join(parts)


def _variants(variants: list[Variant]) -> str:
    header = ["variant", "runs", "test", "val at best *", "val at last", "parameters", "s/epoch", "s/run", "epochs"]
    rows = [header]
    for variant in variants:
        runs = variant.runs
        rows.append(
            [
                variant.label,
                f"{len(runs)}/{len(runs) + variant.missing}" if variant.missing else str(len(runs)),
                *(_percent(variant.scores(score)) for score in ("test", "val_best", "val_last")),
                *(f"{variant.parameters:,}", _seconds(variant.epoch_seconds), _seconds(variant.run_seconds)),
                _span([run.epochs for run in runs]),
            ]
        )
    hardware = sorted({run.hardware for variant in variants for run in variant.runs} - {""})
    mixed = "Seconds of different hardware do not compare" if len(hardware) > 1 else "Seconds on"
    where = [_wrapped(f"{mixed}: {'; '.join(hardware)}.")] if hardware else []
    return "\n".join([_table(rows), "", ACCURACIES, *where])


def _differences(comparisons: list[Comparison]) -> str:
    by_baseline: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_baseline.setdefault(comparison.baseline.label, []).append(comparison)
    tables = []
    for baseline, group in by_baseline.items():
        rows = [["variant", "accuracy", "n", "mean", "sd", "min", "max", "95 % interval", "won"]]
        for comparison in group:
            both = zip(_difference(comparison, "test"), _difference(comparison, "val_best"), strict=True)
            rows.append([comparison.variant.label, "test\nval *", *("\n".join(cells) for cells in both)])
        tables.append(f"{_wrapped(f'Differences from {baseline}')}\n\n{_table(rows, left=2)}")
    questions = sorted({comparison.question or "n/a, for some seeds share a split" for comparison in comparisons})
    caption = DIFFERENCES.format(count=len(comparisons), questions="; or ".join(questions))
    return "\n\n".join([*tables, caption])


def _difference(comparison: Comparison, score: str) -> list[str]:
    d = comparison.differences(score)
    interval = f"n/a ({d.why})"
    if d.interval:
        interval = f"{_points(d.interval[0])} to {_points(d.interval[1])}"
    if comparison.question is None:
        interval = "n/a (shared splits)"
    sd = "n/a" if d.sd is None else f"{100 * d.sd:.2f}"
    return [
        *(str(d.n), _points(d.mean), sd, _points(d.minimum), _points(d.maximum), interval),
        f"{d.positive} : {d.negative}",
    ]


def _table(rows: list[list[str]], left: int = 1) -> str:
    """Columns under a ruled header, the first `left` aligned to the left; a long first cell goes on in the next line."""
    grid = [[_label(row[0]), *(cell.split("\n") for cell in row[1:])] for row in rows]
    widths = [max(len(line) for cell in column for line in cell) for column in zip(*grid, strict=True)]
    text = []
    for row in grid:
        for cells in itertools.zip_longest(*row, fillvalue=""):
            padded = [
                c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            ]
            text.append("  ".join(padded).rstrip())
    return "\n".join([text[0], "-" * (sum(widths) + 2 * len(widths) - 2), *text[1:]])


def _label(label: str) -> list[str]:
    return textwrap.wrap(label, LABEL, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _percent(found: Summary) -> str:
    sd = "n/a " if found.sd is None else f"{100 * found.sd:.2f}"
    return f"{100 * found.mean:.2f} ± {sd}"


def _points(difference: float) -> str:
    return f"{round(100 * difference, 2) + 0.0:+.2f}"  # no -0.00


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "n/a"
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}"


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)}"


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _item(sentence: str) -> str:
    return "- " + _wrapped(sentence).replace("\n", "\n  ")


def _wrapped(sentence: str) -> str:
    """In lines that never cut a word: a path is there to be copied."""
    return textwrap.fill(sentence, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
