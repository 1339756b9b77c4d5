"""What a search for settings is worth: the best validation score that can be expected of so many tried settings."""

from collections.abc import Iterable

from hybridnets import stats
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.runs.manifest import Manifest

FEWEST = 5  # settings of a model that make a search
VAL = "val"


def expected_best_by_model(data_set: DataSetVariants, manifests: Iterable[Manifest]) -> dict[str, stats.ExpectedBest]:
    """The curve of each model of which a search tried several settings, by the model's name; empty without a search.

    Args:
        data_set: The variants.
        manifests: What the sweeps requested.
    """
    searched = {key for manifest in manifests if manifest.is_search for key in manifest.requested}
    scores: dict[str, list[float]] = {}
    for variant in data_set.variants:
        level = variant.scores(VAL)
        if level is not None and any(run.hash in searched for run in variant.runs):
            scores.setdefault(variant.axes.get("model", variant.name), []).append(level.mean)
    return {model: stats.expected_best(values) for model, values in scores.items() if len(values) >= FEWEST}
