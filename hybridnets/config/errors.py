"""The error that a setting which does not fit ends with, and Hydra's reason why a section cannot be built."""


class ConfigError(ValueError):
    """A setting that does not fit, in one sentence."""


def build_failure(error: Exception) -> str:
    """The reason that Hydra gives for a `_target_` that cannot be built, in one line with the first cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("full_key")]
    text = " ".join(lines).replace(", set env var HYDRA_FULL_ERROR=1 to see chained exception.", "")
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return text if cause is None or str(cause) in text else f"{text} ({type(cause).__name__}: {cause})"
