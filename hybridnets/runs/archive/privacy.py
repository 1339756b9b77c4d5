"""Texts and attempts without what no other machine needs to know: host names, processes and paths."""

import json
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from hybridnets.runs.records import provenance
from hybridnets.runs.records.provenance import Provenance

PRIVATE = ("host", "process")  # keys of an attempt
# An absolute path but for its last part, also in file:///...; what follows a word, as in a/b, is none.
PARENTS = "(?:(?<=://)/+|(?<![\\w./-])~?/(?!/))(?:[^/{0}'\"=:;,()<>]+/)*(?=[^/{0}'\"=:;,()<>])"
HOST = r"(?<=://)[^/\s'\"]+"


def without_paths(text: str, *, shell: bool = False) -> str:
    """A text with absolute paths cut to their last part, as in .../runs, and addresses without their hosts.

    Args:
        text: The text.
        shell: Whether it is a command line, whose words end where the shell says.
    """
    text = re.sub(HOST, "...", text)
    if shell:
        with suppress(ValueError):
            return shlex.join(re.sub(PARENTS.format(""), ".../", word) for word in shlex.split(text))
    return re.sub(PARENTS.format(r"\s"), ".../", text)


def anonymous(folder: Path) -> dict[str, Any] | None:
    """The content of a run's provenance.json without host names, processes and paths; None where there is no such file.

    Raises:
        RecordError: If the file is damaged.
        ValueError: If it holds a number that JSON has not.
    """
    record = provenance.read(folder)
    if record is None:
        return None
    hosts = {str(attempt["host"]) for attempt in record.attempts if "host" in attempt}
    record.identity = None  # a finished run's is in its result
    content: dict[str, Any] = _anonymous(record.to_json(), "", hosts)
    json.dumps(content, allow_nan=False)
    return content


def failure(folder: Path) -> dict[str, Any]:
    """What an archive keeps of a run that failed or was stopped, as a provenance.json: why its last attempt ended."""
    attempt: dict[str, Any] = {}
    with suppress(ValueError):
        record = provenance.parse(anonymous(folder)) if (folder / provenance.FILE).exists() else Provenance()
        if record.reason:
            facts = {"diverged": record.diverged, "stopped": record.stopped}
            attempt = {"error": record.reason, **{name: True for name, holds in facts.items() if holds}}
    return {"attempts": [attempt], "epoch_seconds": {}}


def _anonymous(value: Any, key: str, hosts: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _anonymous(inner, name, hosts) for name, inner in value.items() if name not in PRIVATE}
    if isinstance(value, list):
        return [_anonymous(inner, key, hosts) for inner in value]
    if not isinstance(value, str):
        return value
    for host in hosts if key == "error" else ():
        value = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "...", value)
    return without_paths(value, shell=key == "command")
