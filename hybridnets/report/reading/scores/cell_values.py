"""The value of a cell: a number, a seed, no value, or how a run ended, in the ways in which people and programs write it."""

import re
from collections.abc import Iterable

# Ways to write a missing value: those of R, pandas, spreadsheets, databases and people.
ABSENT = frozenset(["", "na", "n/a", "#n/a", "<na>", "nan", "nat"])
MISSING = ABSENT | {"-", "--", "\u2013", "\u2014", ".", "?", "none", "null", "missing"}
FAILED = frozenset(["inf", "infinity", "failed", "fail", "failure", "diverged", "crashed", "error", "oom"])
YES = frozenset(["true", "yes", "1", "1.0", "t", "y"])
NO = frozenset(["false", "no", "0", "0.0", "0:0", "f", "n"])

# How a run ended, in the words of people, Hydra, SLURM, Optuna, MLflow, W&B, Ray, ClearML and Kubernetes; in lower
# case, with a space between words.
FINISHED = frozenset(
    ["ok", "done", "finished", "complete", "completed", "success", "succeeded", "successful", "terminated"]
)
# Other words may follow these, as in `CANCELLED by 1001`, `FAILED (OOM)` and sacct's `OUT_OF_ME+`.
ENDED_BADLY = (
    *("fail", "failed", "failure", "error", "errored", "crash", "crashed", "diverged", "aborted", "exception"),
    *("oom", "out of me", "out of mem", "out of memory", "cuda oom", "cuda out of memory", "node fail", "boot fail"),
    *("deadline", "killed", "cancelled", "canceled", "timeout", "timed out", "revoked", "nan loss"),
)
NOT_ENDED = (
    *("running", "pending", "queued", "scheduled", "waiting", "created", "starting", "configuring", "completing"),
    *("in progress", "unfinished", "incomplete", "paused", "suspended", "stopped", "interrupted", "requeued"),
    *("preempted", "preempting", "pruned"),
)

PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
PARTS = re.compile(r"(.*?)(e[+-]?[0-9]+)?\s*(%?)", re.IGNORECASE | re.DOTALL)
GROUPS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:([.,])[0-9]{3})(?:\1[0-9]{3})*")
SEED = re.compile(r"(?:seed|run|rep|trial|s)[\s_=:#-]*([0-9]+)(?:\.0*)?", re.IGNORECASE)
SPACES = re.compile("(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9])")  # between groups of digits


class AmbiguousNumberError(ValueError):
    """A number that may be two, such as 1,234."""


def is_missing(text: str) -> bool:
    """Whether a cell has no value."""
    return _word(text) in MISSING


def is_absent(text: str) -> bool:
    """Whether a cell of words has no value; none and - may be words."""
    return _word(text) in ABSENT


def is_failure(text: str) -> bool:
    """Whether a cell says, instead of a score, that the run failed, as an infinite score does."""
    return _word(text) in FAILED or parse_state(text) == "failed"


def find_decimal_mark(cells: Iterable[str]) -> str:
    """The decimal mark of a file's numbers, by the cells that can only be read in one way.

    Args:
        cells: The cells that hold numbers.

    Returns:
        A comma if some cell has a decimal comma (0,704), a dot if some cell groups its digits by commas (1,234.5); nothing
        if neither is true, or both.
    """
    marks = set()
    for text in cells:
        mantissa, _, _ = _parts(text)
        commas = mantissa.count(",")
        if commas == 1 and not GROUPS.fullmatch(mantissa) and mantissa.rfind(",") > mantissa.rfind("."):
            marks.add(",")
        elif commas:
            marks.add("." if commas > 1 or "." in mantissa else "")
    marks.discard("")
    return marks.pop() if len(marks) == 1 else ""


def parse_number(text: str, mark: str = "") -> float:
    """A number as people write it: 0.704, 70.4%, 0,704, 1,234.5, 1e-3.

    Args:
        text: The cell.
        mark: The file's decimal mark, by `find_decimal_mark`; empty if unknown.

    Raises:
        ValueError: If it is no number.
        AmbiguousNumberError: If it may be two, as 1,234 if the decimal mark is unknown.
    """
    mantissa, exponent, percent = _parts(text)
    plain = _without_groups(mantissa, mark)
    if not PLAIN.fullmatch(plain):
        raise ValueError(f"got {text or 'nothing'}")
    if percent and not exponent:
        return float(f"{plain}e-2")  # which rounds once: 70.4 / 100 is not .704
    return float(plain + exponent) / (100 if percent else 1)


def is_number(text: str) -> bool:
    """Whether a cell is a number, whatever its commas mean."""
    try:
        parse_number(text, ".")
    except ValueError:
        return False
    return True


def parse_seed(text: str) -> int:
    """A seed: 0, 0.0, seed_0.

    Raises:
        ValueError: If it is no whole number.
    """
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    if label := SEED.fullmatch(text):
        return int(label[1])
    try:
        value = parse_number(text)
    except ValueError:
        value = 0.5
    if value % 1 or abs(value) > 2**53:  # beyond it floats are not exact
        raise ValueError(f"seed must be a whole number, got {text or 'nothing'}")
    return int(value)


def parse_state(text: str) -> str:
    """How a run ended, by a cell of a column such as `status`.

    Returns:
        failed, unfinished or finished; nothing if the cell is empty, and a question mark if its word is unknown.
    """
    if _word(text) in MISSING:
        return ""
    enumerated = re.sub(r"^\w+\.(?=\w)", "", text.strip())  # TrialState.COMPLETE
    words = re.sub(r"[\W_]+", " ", enumerated).strip().casefold()
    if words in FINISHED:  # without more words: `completed 3 of 10` is not finished
        return "finished"
    padded = f"{words} "
    if padded.startswith(tuple(f"{word} " for word in ENDED_BADLY)):
        return "failed"
    return "unfinished" if padded.startswith(tuple(f"{word} " for word in NOT_ENDED)) else "?"


def parse_flag(text: str) -> str:
    """Whether a run failed, by a cell of a column such as `failed`: everything but a plain no means that it did.

    Returns:
        failed or finished; nothing if the cell is empty.
    """
    word = _word(text)
    return "finished" if word in NO else "" if word in MISSING else "failed"


def _word(text: str) -> str:
    word = text.strip().casefold()
    return word.lstrip("+-") if word.lstrip("+-") in ("nan", "inf", "infinity") else word


def _parts(text: str) -> tuple[str, str, str]:
    """Mantissa, exponent and percent sign."""
    match = PARTS.fullmatch(SPACES.sub("", text.strip().replace("\u2212", "-")))
    return (match[1].strip(), match[2] or "", match[3]) if match else (text, "", "")


def _without_groups(mantissa: str, mark: str) -> str:
    """The digits with a dot before the decimals and nothing between groups of digits."""
    last = max(mantissa.rfind(","), mantissa.rfind("."))
    if last < 0:
        return mantissa
    integer, decimals = mantissa[:last], mantissa[last + 1 :]
    if "," in integer or "." in integer:
        if GROUPS.fullmatch(mantissa):  # 1,234,567
            return re.sub("[.,]", "", mantissa)
        grouped = GROUPS.fullmatch(integer)
        return f"{re.sub('[.,]', '', integer)}.{decimals}" if grouped and grouped[1] != mantissa[last] else mantissa
    if GROUPS.fullmatch(mantissa) and (mantissa[last] == "," or mark == ","):
        if mantissa[last] == "," and mark:
            return f"{integer}.{decimals}" if mark == "," else integer + decimals
        raise AmbiguousNumberError(f"got {mantissa}, which may be {integer}.{decimals} or {integer}{decimals}")
    return f"{integer}.{decimals}"
