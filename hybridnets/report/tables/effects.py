"""What each setting does, as a table: the paper's sections 4.1 to 4.4."""

from dataclasses import replace

from hybridnets.program import plural
from hybridnets.report.comparing.effects import FactorEffect, factorials, measure_effects
from hybridnets.report.comparing.families import adjusted
from hybridnets.report.comparing.units import Unit
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.cells import interval_text, metric_name, optimistic, p_text
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.runs.published_figures import PublishedFigures


def effects_table(section: DataSetVariants, metric: str, unit: Unit, published: PublishedFigures) -> Table | None:
    """The effects of all complete grids; None where there is no such grid.

    Args:
        section: The variants.
        metric: test, val or score.
        unit: How the metric is printed.
        published: Val accuracies whose effects are printed beside ours.
    """
    grids = [(factorial, factorial.obstacle) for factorial in factorials(section)]
    if not grids:
        return None
    testable = [factorial for factorial, obstacle in grids if not obstacle]
    effects = [e for factorial in testable for e in measure_effects(factorial, metric, published.accuracies)]
    effects = [replace(e, holm=p) for e, p in zip(effects, adjusted([e.test for e in effects]), strict=True)]
    has_published = any(e.published is not None for e in effects)
    excluded = [f"{factorial.group} ({obstacle})" for factorial, obstacle in grids if obstacle]
    name = metric_name(section.metric(metric))
    caption = (
        f"{name}: the mean at the second level minus the mean at the first, in {unit.differences}, averaged over all other "
        "settings of the group: one value per seed, tested over seeds (the seed is the block). An interaction is half of how "
        "much one effect differs between the levels of the other.",
        *optimistic([metric]),
        "p: plain paired t. p corrected: the corrected resampled t, where it applies; the interval is then the corrected "
        f"one. Exploratory: Holm over the {plural(len(effects), 'effect')} of this table. parameters, s/epoch: the factor of "
        "the cost.",
        *(
            ["published: the same effect in the accuracies of the file that the sweep names as published."]
            if has_published
            else []
        ),
        *([f"Left out: {', '.join(excluded)}."] if excluded else []),
    )
    header = (
        *("within", "effect", "n", "difference", *["published"] * has_published, "95 % interval"),
        *("p", "p corrected", "p Holm"),
        *("parameters", "s/epoch"),
    )
    title = f"What each setting does ({name})"
    return Table(
        "effects", title, header, tuple(_row(e, unit, has_published) for e in effects), caption, metric, labels=2
    )


def _row(effect: FactorEffect, unit: Unit, has_published: bool) -> tuple[Cell, ...]:
    factorial, plain, corrected = effect.factorial, effect.plain, effect.corrected
    is_interaction = len(effect.axes) > 1
    (axis, *_) = effect.axes
    name = " x ".join(effect.axes) if is_interaction else f"{axis} {' to '.join(factorial.factors[axis])}"
    fine = unit.at(effect.test.interval, plain.estimate)
    published = Cell("" if effect.published is None else unit.difference(effect.published), effect.published)
    return row(
        *(factorial.group, name, Cell(str(len(factorial.seeds)), len(factorial.seeds))),
        Cell(fine.difference(plain.estimate or 0.0), plain.estimate),
        *[published] * has_published,
        interval_text(effect.test, fine),
        _p(plain.p, plain.why),
        _p(corrected.p if corrected else None),
        _p(effect.holm),
        *([""] * 2 if is_interaction else map(_factor, (effect.parameters_factor, effect.seconds_factor))),
    )


def _p(p: float | None, why: str = "") -> Cell:
    return Cell(f"n/a ({why})" if why else "n/a") if p is None else Cell(p_text(p), p)


def _factor(factor: float | None) -> Cell:
    return Cell("n/a") if factor is None else Cell(f"x {factor:.2f}", factor)
