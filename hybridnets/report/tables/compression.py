"""What a code between a network's features and its classifier saves, and what it costs: before against after."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np

from hybridnets import stats
from hybridnets.report.comparing.evidence import NETWORKS, NEW, Comparison
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.overview import over_seeds
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.report.tables.units import LEVELS, NONE, OPTIMISTIC, Unit, adjusted, metric_name, p_value, probability
from hybridnets.report.tables.units import unit as unit_of
from hybridnets.runs.published_figures import PublishedFigures
from hybridnets.runs.records import CodeRecord


def tables(section: DataSetVariants, compressed: Sequence[Comparison], published: PublishedFigures) -> Iterator[Table]:
    """The tables of all variants that code the features of a backbone; none where there is none.

    Args:
        section: The variants.
        compressed: Each of them against its backbone, in pairs of runs on the same images.
        published: Figures by class to stand beside ours; they are about test.
    """
    if not compressed:
        return
    unit = unit_of(section)
    yield _curve(compressed, section.metrics, unit)
    for metric in section.metrics:
        yield _before_and_after(compressed, metric, unit, f"compression-{metric}")
    for metric in section.metrics:
        for n, comparison in enumerate(compressed, start=1):
            if names := _names(comparison, metric):
                beside = published if metric == "test" else PublishedFigures()
                yield _classes(comparison, names, metric, unit, beside, f"classes-{n}-{metric}")


def code_of(comparison: Comparison) -> CodeRecord:
    """The code of a comparison's variant, by its first pair."""
    code = comparison.pairs[0][0].code
    assert code is not None
    return code


def _curve(compressed: Sequence[Comparison], metrics: Sequence[str], unit: Unit) -> Table:
    """What each code saves and what is left of the accuracy."""
    metric = metrics[0]
    rows = []
    for comparison in compressed:
        variant, code, e = comparison.variant, code_of(comparison), comparison.evidence(metric)
        errors = [run.code.error for run, _ in comparison.pairs if run.code]
        means = [fmean(run.scores[m] for run, _ in comparison.pairs) for m in reversed(metrics)]
        test, d = over_seeds(e), e.differences
        rows.append(
            row(
                variant.label,
                Cell(", ".join(filter(None, (variant.finished, variant.trouble))), len(variant.runs)),
                Cell(f"{100 * code.compression:.1f}", code.compression),
                " x ".join(map(str, code.shape)),
                Cell(f"{code.numbers:,}", code.numbers),
                Cell(f"{code.bytes:,}", code.bytes),
                Cell(f"{fmean(errors):.3g}", fmean(errors)),
                *(Cell(unit.level(mean), mean) for mean in means),
                Cell(unit.difference(d.mean), d.mean),
                unit.interval(test.interval) if test.interval else f"n/a ({test.why})",
            )
        )
    maps = sorted({code_of(each).maps for each in compressed})
    shapes = " or ".join(f"{' x '.join(map(str, each))} = {np.prod(each):,}" for each in maps)
    caption = (
        f"saved: percent of the numbers of the backbone's feature maps ({shapes}) that the code does without. bytes: of the "
        "code of one image. MSE: mean squared error of the maps after it on val, which the autoencoder was trained for.",
        f"{' and '.join(reversed(metrics))}: accuracy in {unit.name}, mean over the runs; difference: {metric}, after minus "
        f"before, in {unit.differences}, with the interval of the next table.",
        *([f"* {OPTIMISTIC}"] if "val" in metrics else []),
    )
    names = ("val *" if m == "val" else m for m in reversed(metrics))
    header = ("variant", "runs", "saved", "code", "numbers", "bytes", "MSE", *names, "difference", "95 % interval")
    return Table("compression", "What the code saves and costs", header, tuple(rows), caption)


def _before_and_after(compressed: Sequence[Comparison], metric: str, unit: Unit, key: str) -> Table:
    """Each variant against its backbone on the same images: over trainings, and image by image."""
    evidence = [each.evidence(metric) for each in compressed]
    found = [over_seeds(e) for e in evidence]
    rows = []
    for e, test, holm in zip(evidence, found, adjusted(found), strict=True):
        after, before = (fmean(run.scores[metric] for run in side) for side in zip(*e.pairs, strict=True))
        n, asked = len(e.pairs), e.comparison.asked
        sure = not e.comparison.no_star
        counts = [f"{m.only_b}:{m.only_a}{stats.stars(m.exact) * sure}" for m in e.mcnemar]
        rows.append(
            row(
                e.comparison.variant.label,
                Cell(f"{n}/{asked}" if n < asked else str(n), n),
                Cell(unit.level(before), before),
                Cell(unit.level(after), after),
                Cell(unit.difference(e.differences.mean), e.differences.mean),
                unit.interval(test.interval) if test.interval else f"n/a ({test.why})",
                probability(e, test, test.p),
                NONE if holm is None or e.comparison.no_star else Cell(p_value(holm), holm),
                ", ".join(counts) or f"n/a ({e.why_no_images})",
            )
        )
    questions = sorted({(NEW if e.ratio else e.question) or "nothing, for some seeds share a split" for e in evidence})
    kinds = {"corrected resampled t (Nadeau and Bengio 2003)" if e.ratio else "plain paired t" for e in evidence}
    caption = (
        f"{metric_name(metric)} in {unit.name}, mean over n runs, of the backbone alone (before) and through the code (after), "
        f"on the same images; difference: after minus before, in {unit.differences}.",
        *([f"* {OPTIMISTIC}"] if metric == "val" else []),
        *(
            [
                "Before, the epoch was chosen on this accuracy; after, on the MSE of the maps: so val is unfair to the code."
            ]
            if metric == "val"
            else []
        ),
        f"95 % interval and p: {' or '.join(sorted(kinds))} over seeds; its question: {'; or '.join(questions)}, does the "
        f"code change the accuracy? Holm over these {len(rows)}.",
        "lost:won: images that are right only before, and only after, seed by seed, with the stars of McNemar's exact test, "
        f"uncorrected; its question: do {NETWORKS} differ? It counts images, not trainings: with many of them also a "
        f"loss too small to matter has stars. {LEVELS.partition(';')[0]}; tests.csv has each p.",
    )
    header = ("variant", "n", "before", "after", "difference", "95 % interval", "p", "p Holm", "lost:won")
    title = f"Before and after the code ({metric_name(metric)})"
    return Table(key, title, header, tuple(rows), caption)


def _names(comparison: Comparison, metric: str) -> tuple[str, ...]:
    """The names of the classes; none where the predictions are not known, or not of these classes."""
    if comparison.evidence(metric).why_no_images:
        return ()
    names = comparison.pairs[0][0].classes
    return names if all(run.outcomes[metric].label.max() < len(names) for run, _ in comparison.pairs) else ()


def _classes(
    comparison: Comparison, names: tuple[str, ...], metric: str, unit: Unit, published: PublishedFigures, key: str
) -> Table:
    """Accuracy by class before and after, and published figures of the same classes."""
    pairs = [[run.outcomes[metric] for run in pair] for pair in comparison.pairs]
    after, before = (
        np.array([each.by_class(len(names)) for each in side]) for side in zip(*pairs, strict=True)
    )  # (S, K)
    old, new = (np.column_stack([side, np.nanmean(side, axis=1)]) for side in (before, after))  # (S, K + 1)
    theirs = [published.classes.get(name) for name in names]
    theirs.append(_mean([pair for pair in theirs if pair]) if all(theirs) else None)
    n, asked = len(pairs), comparison.asked
    rows = []
    for name, one, other, known in zip([*names, "average"], old.T, new.T, theirs, strict=True):
        cells = [name, *_three((float(one.mean()), float(other.mean())), unit)]
        if n > 1:
            d = other - one
            cells.append("n/a" if np.isnan(d).any() else unit.interval((float(d.min()), float(d.max()))))
        if any(theirs):
            cells += _three(known, unit) if known else [""] * 3
        rows.append(row(*cells))
    runs = f"{n}/{asked} runs" if n < asked else f"{n} run{'s' * (n > 1)}"
    caption = (
        f"{metric_name(metric)} in {unit.name} of {comparison.baseline.name} (before) and of {comparison.variant.label} "
        f"(after), mean over {runs}; differences in {unit.differences}.",
        "average: of the classes, each counting alike, which is the accuracy where they have equally many images. No class "
        "is tested by itself: the whole is, in the table of before and after.",
        *([f"* {OPTIMISTIC}"] if metric == "val" else []),
        "published: the figures that the sweep's report section names, of another network: compare the differences."
        * any(theirs),
    )
    header = ["class", "before", "after", "difference", *["lowest to highest seed"] * (n > 1)]
    header += ["published before", "after", "difference"] * any(theirs)
    title = f"{comparison.variant.label}{f' ({runs})' * (n < asked)}: accuracy by class, before and after"
    return Table(key, f"{title} ({metric_name(metric)})", tuple(header), tuple(rows), tuple(filter(None, caption)))


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    before, after = zip(*pairs, strict=True)
    return fmean(before), fmean(after)


def _three(pair: tuple[float, float], unit: Unit) -> list[Cell | str]:
    """Before, after and the difference."""
    before, after = pair
    if np.isnan(before + after):
        return ["n/a (no images)"] * 3
    return [
        *(Cell(unit.level(value), value) for value in pair),
        Cell(unit.difference(after - before), after - before),
    ]
