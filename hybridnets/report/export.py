"""The comparison as CSV: plain fractions in full precision, an empty cell where there is no number."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from hybridnets.report.differences import Comparison
from hybridnets.report.results import ReportError
from hybridnets.report.variants import Section
from hybridnets.runs.files import write_text

# Each table yields its header and then its rows.
Row = Sequence[str | int | float | None]


def export(folder: Path, sections: list[Section], comparisons: dict[str, list[Comparison]]) -> list[str]:
    """Writes variants.csv, differences.csv and runs.csv, each whole or not at all, and returns these names.

    Args:
        folder: Where to; made if it is not there.
        sections: The variants by data set.
        comparisons: The comparisons by data set.

    Raises:
        ReportError: If the folder cannot be made or written to.
    """
    tables = {
        "variants.csv": _variants(sections),
        "differences.csv": _differences(comparisons),
        "runs.csv": _runs(sections),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            file = io.StringIO()
            csv.writer(file, lineterminator="\n").writerows(rows)
            write_text(folder / name, file.getvalue())
    except OSError as error:
        raise ReportError(f"--csv must be a folder that can be written to, got {folder} ({error.strerror})") from None
    return list(tables)


def _variants(sections: list[Section]) -> Iterator[Row]:
    accuracies = [f"{score}_acc_{what}" for score in ("test", "val_best", "val_last") for what in ("mean", "sd")]
    costs = ["parameters", "epoch_seconds_median", "run_seconds_mean", "epochs_min", "epochs_max"]
    yield ["data", "variant", "runs", "runs_asked", *accuracies, *costs]
    for section in sections:
        for variant in section.variants:
            found = [variant.scores(score) for score in ("test", "val_best", "val_last")]
            epochs = [run.epochs for run in variant.runs]
            yield [
                *(section.data, variant.label, len(variant.runs), len(variant.runs) + variant.missing),
                *(number for each in found for number in (each.mean, each.sd)),
                *(variant.parameters, variant.epoch_seconds, variant.run_seconds, min(epochs), max(epochs)),
            ]


def _differences(comparisons: dict[str, list[Comparison]]) -> Iterator[Row]:
    what = ["mean", "sd", "min", "max", "interval_low", "interval_high", "won", "lost", "seeds"]
    yield ["data", "variant", "baseline", "accuracy", "n", *what]
    for data, group in comparisons.items():
        for comparison in group:
            seeds = " ".join(run.seed for run, _ in comparison.pairs)
            for score in ("test", "val_best"):
                d = comparison.differences(score)
                interval = (d.interval if comparison.question else None) or (None, None)
                yield [
                    *(data, comparison.variant.label, comparison.baseline.label, score, d.n, d.mean, d.sd),
                    *(d.minimum, d.maximum, *interval, d.positive, d.negative, seeds),
                ]


def _runs(sections: list[Section]) -> Iterator[Row]:
    accuracies = ["best_epoch", "val_best_acc", "val_last_acc", "test_acc"]
    seeds = ["seed_split", "seed_init", "seed_order"]
    yield ["data", "variant", *seeds, *accuracies, "parameters", "epochs", "seconds", "folder", "hash"]
    for section in sections:
        for variant in section.variants:
            for run in variant.runs:
                yield [
                    *(section.data, variant.label, *run.seeds),
                    *(run.best_epoch, run.val_best, run.val_last, run.test, run.parameters, run.epochs),
                    *(run.seconds, run.relative.as_posix(), run.hash),
                ]
