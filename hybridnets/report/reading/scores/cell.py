"""What one cell of anybody's scores says: a number, a seed, that there is no value, or that the training failed."""

import re
from collections.abc import Iterable

# Ways to write that there is no value: those of R, pandas, spreadsheets, databases and people.
ABSENT = frozenset(["", "na", "n/a", "#n/a", "<na>", "nan", "nat"])
MISSING = ABSENT | {"-", "--", "\u2013", "\u2014", ".", "?", "none", "null", "missing"}
FAILED = frozenset(["inf", "infinity", "failed", "fail", "failure", "diverged", "crashed", "error", "oom"])
YES = frozenset(["true", "yes", "1", "1.0", "t", "y"])
NO = frozenset(["false", "no", "0", "0.0", "0:0", "f", "n"])

# How a training ended, in the words of people, Hydra, SLURM, Optuna, MLflow, W&B, Ray, ClearML and Kubernetes; in lower
# case, with a space between words.
FINISHED = frozenset(
    ["ok", "done", "finished", "complete", "completed", "success", "succeeded", "successful", "terminated"]
)
# Other words may follow these, as in `CANCELLED by 1001`, `FAILED (OOM)` and sacct's `OUT_OF_ME+`.
ENDED_BADLY = (
    *(
        "fail",
        "failed",
        "failure",
        "error",
        "errored",
        "crash",
        "crashed",
        "diverged",
        "aborted",
        "exception",
        "deadline",
    ),
    *("oom", "out of me", "out of mem", "out of memory", "cuda oom", "cuda out of memory", "node fail", "boot fail"),
    *("killed", "cancelled", "canceled", "timeout", "timed out", "revoked", "nan loss"),
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


def missing(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return _word(text) in MISSING


def absent(text: str) -> bool:
    """Whether a cell of words says that there is no value; none and - may be such a word."""
    return _word(text) in ABSENT


def failed(text: str) -> bool:
    """Whether a cell says in the place of a score that the training failed; an infinite score is such a word."""
    return _word(text) in FAILED or state(text) == "failed"


def decimal_mark(cells: Iterable[str]) -> str:
    """What separates a number's decimals, by the cells that can be read in one way only.

    Args:
        cells: Cells with numbers.

    Returns:
        A comma where some cell has a decimal comma (0,704), a dot where some cell groups its digits by commas (1,234.5);
        nothing where neither is there, or both.
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


def number(text: str, mark: str = "") -> float:
    """A number as people write it: 0.704, 70.4%, 0,704, 1,234.5, 1e-3.

    Args:
        text: The cell.
        mark: What `decimal_mark` says of the file's numbers.

    Raises:
        ValueError: If it is no number, or could be two: 1,234 where no other cell tells what a comma is.
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
        number(text, ".")
    except ValueError:
        return False
    return True


def seed(text: str) -> int:
    """A seed: 0, 0.0, seed_0.

    Raises:
        ValueError: If it is no whole number.
    """
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    if label := SEED.fullmatch(text):
        return int(label[1])
    try:
        value = number(text)
    except ValueError:
        value = 0.5
    if value % 1 or abs(value) > 2**53:  # infinity and beyond: no float is exact there
        raise ValueError(f"seed must be a whole number, got {text or 'nothing'}")
    return int(value)


def state(text: str) -> str:
    """What a cell of a column such as `status` says of its training.

    Returns:
        failed, unfinished, finished; nothing where the cell says nothing, and a question mark where it is another word.
    """
    if _word(text) in MISSING:
        return ""
    enumerated = re.sub(r"^\w+\.(?=\w)", "", text.strip())  # TrialState.COMPLETE
    words = re.sub(r"[\W_]+", " ", enumerated).strip().casefold()
    if words in FINISHED:  # and nothing more: `completed 3 of 10` is not finished
        return "finished"
    begins = f"{words} "
    if begins.startswith(tuple(f"{word} " for word in ENDED_BADLY)):
        return "failed"
    return "unfinished" if begins.startswith(tuple(f"{word} " for word in NOT_ENDED)) else "?"


def flag(text: str) -> str:
    """What a cell of a column such as `failed` says of its training: whatever is not a plain no says that it failed.

    Returns:
        failed, finished, or nothing where the cell says nothing.
    """
    word = _word(text)
    return "finished" if word in NO else "" if word in MISSING else "failed"


def _word(text: str) -> str:
    word = text.strip().casefold()
    return word.lstrip("+-") if word.lstrip("+-") in ("nan", "inf", "infinity") else word


def _parts(text: str) -> tuple[str, str, str]:
    """Mantissa, exponent and percent sign."""
    found = PARTS.fullmatch(SPACES.sub("", text.strip().replace("\u2212", "-")))
    return (found[1].strip(), found[2] or "", found[3]) if found else (text, "", "")


def _without_groups(mantissa: str, mark: str) -> str:
    """Digits with a dot before the decimals and nothing between the groups."""
    last = max(mantissa.rfind(","), mantissa.rfind("."))
    if last < 0:
        return mantissa
    whole, decimals = mantissa[:last], mantissa[last + 1 :]
    if "," in whole or "." in whole:
        if GROUPS.fullmatch(mantissa):  # 1,234,567
            return re.sub("[.,]", "", mantissa)
        grouped = GROUPS.fullmatch(whole)
        return f"{re.sub('[.,]', '', whole)}.{decimals}" if grouped and grouped[1] != mantissa[last] else mantissa
    if GROUPS.fullmatch(mantissa) and (mantissa[last] == "," or mark == ","):
        if mantissa[last] == "," and mark:
            return f"{whole}.{decimals}" if mark == "," else whole + decimals
        raise ValueError(f"got {mantissa}, which may be {whole}.{decimals} or {whole}{decimals}")
    return f"{whole}.{decimals}"
