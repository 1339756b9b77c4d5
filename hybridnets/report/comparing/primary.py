"""The primary analyses of a data set: the one that the command line requests, or those declared, or the only possible one."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from hybridnets.report.comparing.answers import PrimaryAnalysis
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.contrasts import ComparisonCache
from hybridnets.report.comparing.growth import growth, plan_of
from hybridnets.report.comparing.selection import select_comparisons
from hybridnets.report.comparing.variants import DataSetVariants, Variant
from hybridnets.report.reading.manifests import Sweep
from hybridnets.report.reading.results import ReportError
from hybridnets.report.request import ReportRequest
from hybridnets.runs.declaration import Primary
from hybridnets.runs.manifest import Manifest


def primary_analyses(
    cache: ComparisonCache, request: ReportRequest, sweeps: Sequence[Sweep], all_sweeps: Sequence[Sweep]
) -> tuple[list[PrimaryAnalysis], list[str]]:
    """The primary analyses of a data set, and a sentence on each that was declared and cannot be made.

    Args:
        cache: The comparisons of the data set.
        request: What the command line requests.
        sweeps: The sweeps with what they declared, the oldest first.
        all_sweeps: All sweeps that requested some of the runs, the oldest first.

    Raises:
        ReportError: If not all runs have the requested metric.
    """
    metrics = cache.data_set.available
    if request.metric and request.metric not in metrics:
        raise ReportError(
            f"--metric must be one of {', '.join(metrics)} for {cache.data_set.name}, got {request.metric}"
        )
    part = cache.data_set.metric(request.metric or next(iter(metrics), "test")).part
    if request.test == "corrected" and part == "test":
        raise ReportError(
            "--test corrected is for the held-out parts of random splits, got a metric of the test images, which are the same "
            "for all seeds: give --metric val, or --test paired"
        )
    declared: dict[Primary, Sweep] = {}
    for sweep in sweeps:
        for primary in sweep.declaration.primary:
            declared.setdefault(primary, sweep)
    analyses, notes = [], []
    for primary, sweep in declared.items():
        manifest = sweep.manifest
        comparison, why = _find_declared(cache, primary, manifest)
        if comparison:
            analysis = _with_request(request, cache.data_set, comparison, primary, _when(manifest, comparison))
            analyses += [analysis, *_by_another_metric(request, cache.data_set, analysis)]
        elif why:
            question = f"{primary.variant} - {primary.baseline}, {primary.metric}"
            notes.append(f"the primary analysis of {manifest.path.name} ({question}) cannot be made: {why}")
    if request.primary:
        analyses += _requested(cache, request, request.primary, analyses)
    elif not analyses and not notes:
        analyses += _only_possible(cache, request)
    return [_with_history(analysis, all_sweeps) for analysis in analyses], notes


def _with_history(analysis: PrimaryAnalysis, sweeps: Sequence[Sweep]) -> PrimaryAnalysis:
    """An analysis with how its seeds were added: under a plan, whose method answers, or else in how many steps.

    No plan is known for the corrected test, whose question is about new data.
    """
    plan = None if analysis.primary.test == "corrected" else plan_of(sweeps, analysis.comparison)
    return replace(analysis, plan=plan, growth=None if plan else growth(sweeps, analysis.comparison))


def _requested(
    cache: ComparisonCache, request: ReportRequest, labels: tuple[str, str], declared: Iterable[PrimaryAnalysis]
) -> Iterator[PrimaryAnalysis]:
    """The analysis that the command line names, unless it is a declared one."""
    variant, baseline = (cache.by_label.get(label) for label in labels)
    comparison = _compare(cache, variant, baseline, labels[1])
    if not comparison or not comparison.pairs:
        return
    primary = _undeclared(request, cache.data_set, *labels)
    if any(a.comparison.is_between(comparison) and a.metric == primary.metric for a in declared):
        return
    if request.planned:
        yield PrimaryAnalysis(comparison, primary, "planned before the runs, by the word of --planned")
        return
    pairs = _possible_pairs(cache.data_set)
    when = "requested on the command line, after the runs"
    if pairs > 1:
        when += f", so its interval and its p are corrected for the choice among all {pairs} pairs"
    yield PrimaryAnalysis(comparison, primary, when, pairs)


def _possible_pairs(data_set: DataSetVariants) -> int:
    """How many pairs of variants have a seed in common: what a question is chosen from."""
    counts = Counter(frozenset(run.seeds for run in variant.sound) for variant in data_set.variants)
    within = sum(n * (n - 1) // 2 for seeds, n in counts.items() if seeds)
    return within + sum(counts[a] * counts[b] for a, b in itertools.combinations(counts, 2) if a & b)


def _only_possible(cache: ComparisonCache, request: ReportRequest) -> Iterator[PrimaryAnalysis]:
    """The only comparison that there is, with the baseline that the command line names."""
    if not cache.data_set.metrics:
        return
    usual = select_comparisons(cache.fresh())[0]
    if len(usual) == 1:
        baseline = request.baseline if request.baseline in cache.by_label else None
        comparisons = select_comparisons(cache, baseline, request.compare)[0]
        comparison = next((c for c in comparisons if c.is_between(usual[0])), usual[0])
        primary = _undeclared(request, cache.data_set, comparison.variant.label, comparison.baseline.label)
        yield PrimaryAnalysis(comparison, primary, "not declared: the only possible comparison")


def _undeclared(request: ReportRequest, data_set: DataSetVariants, variant: str, baseline: str) -> Primary:
    metric = request.metric or next(iter(data_set.metrics), "test")
    return Primary(variant, baseline, metric, request.test or "", (request.margin or 0.0) / data_set.scale(metric))


def _find_declared(cache: ComparisonCache, primary: Primary, manifest: Manifest) -> tuple[Comparison | None, str]:
    """A declared comparison, or why it cannot be made; neither if the sweep has no runs on this data set."""
    data_set = cache.data_set
    variant, baseline = (_find_variant(data_set, label, manifest) for label in (primary.variant, primary.baseline))
    comparison = _compare(cache, variant, baseline, primary.baseline)
    if not comparison or primary.metric not in data_set.available:
        is_about_this = any(run.parts[0] == data_set.name for run in manifest.runs.values())
        return None, f"not both of its variants have finished runs with {primary.metric}" * is_about_this
    return (comparison, "") if comparison.pairs else (None, comparison.left_out)


def _with_request(
    request: ReportRequest, data_set: DataSetVariants, comparison: Comparison, primary: Primary, declared: str
) -> PrimaryAnalysis:
    """A declared analysis with what the command line changes in it, which `declared` then says.

    An earlier analysis may have declared the same comparison in the other direction, which is then that of the page.
    """
    if primary.variant not in (comparison.variant.label, comparison.variant.name):
        primary = replace(primary, variant=primary.baseline, baseline=primary.variant)
    if request.test and request.test != primary.test:
        primary = replace(primary, test=request.test)
        declared += "; its test was given on the command line, after the runs"
    is_of_this = request.margin is not None and request.metric in (None, primary.metric)
    if is_of_this and (margin := (request.margin or 0.0) / data_set.scale(primary.metric)) != primary.margin:
        primary = replace(primary, margin=margin)
        declared += "; its margin was given on the command line, after the runs"
    return PrimaryAnalysis(comparison, primary, declared)


def _by_another_metric(
    request: ReportRequest, data_set: DataSetVariants, analysis: PrimaryAnalysis
) -> Iterator[PrimaryAnalysis]:
    """The declared comparison by the metric of the command line, beside the declared one."""
    if request.metric in (None, analysis.metric):
        return
    metric, metrics = request.metric or "", len(data_set.available)
    margin = (request.margin or 0.0) / data_set.scale(metric)
    primary = replace(analysis.primary, metric=metric, test=request.test or "", margin=margin)
    when = (
        f"its metric was given on the command line, after the runs, so it is corrected for the choice among {metrics}"
    )
    yield PrimaryAnalysis(analysis.comparison, primary, when, metrics)


def _compare(
    cache: ComparisonCache, variant: Variant | None, baseline: Variant | None, baseline_name: str
) -> Comparison | None:
    """The comparison of two variants; an autoencoder's with its backbone even if the backbone's own runs were not read."""
    with_backbone = variant and cache.with_backbone(variant)
    if with_backbone and baseline_name in (with_backbone.baseline.label, with_backbone.baseline.name):
        return with_backbone
    return cache.of(variant, baseline) if variant and baseline else None


def _find_variant(data_set: DataSetVariants, label: str, manifest: Manifest) -> Variant | None:
    """The variant that a sweep declared, by label or else by short name; only variants with runs of the sweep count."""
    variants = [v for v in data_set.variants if any(run.hash in manifest.runs for run in v.runs)]
    matches = [v for v in variants if v.label == label] or [v for v in variants if v.name == label]
    return matches[0] if len(matches) == 1 else None


def _when(manifest: Manifest, comparison: Comparison) -> str:
    """When an analysis was declared, and whether its runs had begun by then."""
    runs = [run for pair in comparison.pairs for run in pair]
    declared = manifest.declared.timestamp()
    earlier = [run for run in runs if run.started is None or run.started.timestamp() < declared]
    backbones = {run.code.backbone for run in runs if run.code}  # a sweep adds the backbones that are missing
    foreign = [run for run in runs if run.hash not in manifest.runs and run.hash not in backbones]
    date = f"{manifest.declared:%Y-%m-%d %H:%M %Z}".strip()
    when = f"after {len(earlier)} of its {len(runs)} runs had begun" if earlier else "before the runs"
    return f"declared {date}, {when}" + (
        f"; {len(foreign)} of {len(runs)} runs were requested by another sweep" if foreign else ""
    )
