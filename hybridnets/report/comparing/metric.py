"""What a metric is: its name, the part of the data that it is measured on, its unit, and which direction is better."""

from dataclasses import dataclass

from hybridnets.report.reading.score_kind import ScoreKind
from hybridnets.stats.quality import QUALITY

ACCURACIES = {"test": "test accuracy", "val": "val accuracy", "val_last": "val accuracy at the last epoch"}


@dataclass(frozen=True)
class Metric:
    """A measured quantity.

    Attributes:
        key: How it is requested and stored: test, val, val_last, score, or test/ and a key of stats.QUALITY.
        name: Its name in a sentence.
        part: The part of the data that it is measured on: test or val; empty where that is unknown.
        higher_is_better: Which direction is better.
        may_be_share: Whether values between 0 and 1 are printed as percent.
        unit: Its unit, where that is neither percent nor unknown.
    """

    key: str
    name: str
    part: str = ""
    higher_is_better: bool = True
    may_be_share: bool = True
    unit: str = ""

    @property
    def sign(self) -> int:
        """1 where a positive difference favours the variant, otherwise -1."""
        return 1 if self.higher_is_better else -1

    @property
    def is_chosen_on(self) -> bool:
        """Whether the reported epoch was chosen by it, so that it is optimistic."""
        return self.key == "val"


def metric_of(key: str, score: ScoreKind) -> Metric:
    """The metric of a key.

    Args:
        key: The key.
        score: What the scores of a file are; only the key `score` depends on it.
    """
    if key in ACCURACIES:
        return Metric(key, ACCURACIES[key], key.partition("_")[0])
    part, _, measure = key.partition("/")
    if quality := QUALITY.get(measure):
        is_share = quality.unit == "percent"
        unit = "" if is_share else quality.unit
        return Metric(key, f"{part} {quality.name}", part, quality.higher_is_better, is_share, unit)
    return Metric(key, score.name or key, "", score.higher_is_better, score.may_be_share, score.unit)
