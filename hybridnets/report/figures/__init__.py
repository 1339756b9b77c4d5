"""The report's figures: each is a function of what it draws that gives a picture, or None where it does not apply."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from hybridnets import stats
from hybridnets.report.comparing.answers import PrimaryAnalysis, leading_metric
from hybridnets.report.comparing.best import Order
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.joint import Joint
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.figures.accuracy import draw_accuracy, draw_differences
from hybridnets.report.figures.architecture import draw_architecture
from hybridnets.report.figures.classes import draw_classes
from hybridnets.report.figures.compression import draw_compression
from hybridnets.report.figures.cost import draw_cost
from hybridnets.report.figures.curves import draw_curves
from hybridnets.report.figures.gallery import Images, draw_gallery
from hybridnets.report.figures.maps import draw_maps
from hybridnets.report.figures.picture import Picture
from hybridnets.report.figures.primary import draw_primary
from hybridnets.report.figures.profiles import draw_expected_best, draw_profiles
from hybridnets.report.figures.ranks import draw_best, draw_ranking
from hybridnets.report.figures.style import level_name


def pictures(
    section: DataSetVariants,
    comparisons: Sequence[Comparison],
    analyses: Sequence[PrimaryAnalysis],
    compressed: Sequence[Comparison],
    load_images: Callable[[], Images | None],
    best: Order | None = None,
    searches: Mapping[str, stats.ExpectedBest] | None = None,
    published: Mapping[str, float] | None = None,
) -> Iterator[Picture]:
    """All figures of a data set that apply, in the order of the page.

    Args:
        section: The variants.
        comparisons: The comparisons that the tables report.
        analyses: The primary analyses.
        compressed: Each variant with a code against its backbone.
        load_images: Gives the data set's images; None where they are not available.
        best: Which of several variants is the best; None for fewer than three.
        searches: What the search for settings of each model is worth; None without a search.
        published: A paper's val accuracies by variant, as fractions; None without any.
    """
    metric = leading_metric(analyses, section)
    focus = _focus(comparisons, analyses)
    primary = {v for a in analyses for v in (a.comparison.variant, a.comparison.baseline)}
    by_focus = sorted(compressed, key=lambda c: not focus or c.variant is not focus.variant)
    images = functools.cache(load_images)
    draw: tuple[Callable[[], Picture | None], ...] = (
        *(functools.partial(draw_primary, section, analysis, n) for n, analysis in enumerate(analyses, start=1)),
        lambda: draw_accuracy(section, metric, primary, published or {}),
        lambda: draw_differences(section, comparisons, analyses),
        lambda: draw_best(section.name, best.labels, best.ranks) if best else None,
        lambda: _draw_searches(section, searches) if searches else None,
        lambda: draw_compression(section.name, compressed, metric, unit_of(section, metric)),
        lambda: draw_cost(section, metric, primary),
        lambda: draw_curves(section, focus),
        lambda: draw_classes(focus, metric) if focus else None,
        lambda: draw_gallery(focus, metric if analyses else "test", images()) if focus else None,
        lambda: draw_maps(section.name, by_focus, images()),
        lambda: draw_architecture(section.name, [focus.baseline, focus.variant] if focus else section.variants),
    )
    yield from filter(None, (figure() for figure in draw))


def _draw_searches(section: DataSetVariants, searches: Mapping[str, stats.ExpectedBest]) -> Picture | None:
    unit = unit_of(section, "val")
    axis = level_name(section.metric("val"), unit)
    return draw_expected_best(section.name, list(searches), list(searches.values()), axis, unit.scale)


def joint_pictures(joint: Joint) -> Iterator[Picture]:
    """The figures of several data sets together that apply.

    Args:
        joint: The variants that they have in common.
    """
    name, unit = "all data sets", unit_of(joint.data_sets[0], joint.metric.key)
    axis = level_name(joint.metric, unit)
    lower = not joint.metric.higher_is_better
    pictures = (
        draw_ranking(name, joint.labels, joint.ranking) if joint.ranking else None,
        draw_profiles(name, joint.labels, joint.profiles, axis, unit.scale, lower),
    )
    yield from filter(None, pictures)


def _focus(comparisons: Sequence[Comparison], analyses: Sequence[PrimaryAnalysis]) -> Comparison | None:
    """The comparison that the figures of two variants draw: the primary analysis's, otherwise the only one."""
    if analyses:
        return analyses[0].comparison
    return comparisons[0] if len(comparisons) == 1 else None
