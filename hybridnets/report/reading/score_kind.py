"""What a file's scores are: their name, their unit, and which direction is better."""

import re
from dataclasses import dataclass

# Words of a measure's name that mean "less is better", and those of them that are no share even between 0 and 1.
LOSSES = {
    *("loss", "losses", "nll", "perplexity", "ppl", "entropy", "divergence", "bpc", "bpd"),
    *("mse", "rmse", "mae", "mape", "brier", "distance", "fid"),
}
ERRORS = {"error", "errors", "err", "wer", "cer", "eer", "ece"}
TIMES = {"time", "runtime", "latency", "duration", "seconds", "milliseconds", "minutes", "hours"}
TIME_UNITS = {"s", "ms", "us", "ns", "min", "h", *TIMES}
HIGHER, LOWER = ("higher", "max", "up", "greater"), ("lower", "min", "down", "less")


@dataclass(frozen=True)
class ScoreKind:
    """What the scores of a file are.

    Attributes:
        name: Their name; empty where the file and the command line give none.
        higher_is_better: Which direction is better.
        unit: Their unit as it was given: percent, seconds; empty where none was.
        assumed: Why that direction was assumed; empty where it was given.
    """

    name: str = ""
    higher_is_better: bool = True
    unit: str = ""
    assumed: str = ""

    @property
    def may_be_share(self) -> bool:
        """Whether values between 0 and 1 are printed as percent: not those of a loss or a time, nor those with a unit."""
        return not self.unit and not (LOSSES | TIMES) & words(self.name)


ACCURACY = ScoreKind()


@dataclass(frozen=True)
class ScoreOptions:
    """What the command line says of a file's scores.

    Attributes:
        name: The column of the scores, or the value of the column `metric` that chooses them, or just their name; empty for
            the column `score`.
        lower_is_better: The direction; None where it is not given.
        unit: Their unit; empty where it is not given.
    """

    name: str = ""
    lower_is_better: bool | None = None
    unit: str = ""


NO_OPTIONS = ScoreOptions()


def score_kind(name: str, file: str, lower_is_better: bool | None, unit: str) -> ScoreKind:
    """The kind of a file's scores.

    Args:
        name: The score's name, from the command line, a column `metric`, or the column of the scores; may be empty.
        file: The file's name, which is asked where the name does not tell the direction.
        lower_is_better: The direction, from the command line or a column `direction`; None where neither gives it.
        unit: The unit, from the command line or a column `unit`; may be empty.
    """
    if lower_is_better is not None:
        return ScoreKind(name, not lower_is_better, unit)
    hints = (LOSSES | ERRORS | TIMES) & words(name or file) or TIME_UNITS & words(unit)
    if not hints:
        assumed = "higher scores are better, as nothing says otherwise: if lower ones are, give --lower-is-better"
        return ScoreKind(name, True, unit, assumed)
    hint = min(hints)
    assumed = f"lower scores are better, because of the word {hint}: if higher ones are, give --higher-is-better"
    return ScoreKind(name or (hint if hint in words(file) else ""), False, unit, assumed)


def is_lower_better(name: str) -> bool:
    """Whether a metric is an error or a loss by its name.

    Args:
        name: The metric's name.
    """
    return bool((LOSSES | ERRORS) & words(name))


def words(name: str) -> set[str]:
    """The words of a name, in lower case: val_loss has two."""
    return set(re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
