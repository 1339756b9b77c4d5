"""A run's identity: what determines its result, as canonical JSON, and the folder that follows from it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

# Raised by hand when the same configuration would train differently: no run made before is taken for one made after.
PROTOCOL = 1

# Keys that came after the first release, by their path, with the value that says what was done before them.
# They are left out of an identity at that value, so that older runs keep their names.
ADDED: Mapping[tuple[str, ...], Any] = {}

Identity = dict[str, Any]


def identity(seeds: Mapping[str, int], **parts: Any) -> Identity:
    """The identity of a run.

    Args:
        seeds: The seeds by what they govern: split, init, order.
        **parts: Resolved settings that determine the result: model, data, optimizer, trainer and so on.
    """
    whole = {"protocol": PROTOCOL, "seeds": dict(seeds), **parts}
    for path, old in ADDED.items():
        *above, key = path
        inner: Any = whole
        for step in above:
            inner = inner.get(step, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, dict) and inner.get(key, old) == old:
            inner.pop(key, None)
    return whole


def beside(input_run: Identity, seeds: Mapping[str, int]) -> Identity:
    """How an input run enters the identity of a run: as its own, without the seeds where they are the same.

    So variants that stand on runs of the same seeds stay one variant over all of them.

    Args:
        input_run: The input run's identity.
        seeds: The seeds of the run that it is put into.
    """
    return {key: value for key, value in input_run.items() if key != "seeds" or value != dict(seeds)}


def backbone(whole: Identity) -> Identity | None:
    """The identity of the run that a run stands on; None where it stands on none."""
    return {"seeds": whole["seeds"], **whole["backbone"]} if "backbone" in whole else None


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, whole floats as integers, so that 1 and 1.0 are one value.

    Something to which they are two, as a callback may be written, would have to be told by words, such as all and one.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def variant(whole: Identity) -> Identity:
    """The configuration without its seeds: what a comparison compares."""
    return {key: value for key, value in whole.items() if key != "seeds"}


def name(whole: Identity) -> str:
    """The variant's short name in the paper's words, such as ecrnn-bilstm-1x16; cnn+cae-32 of an autoencoder on a backbone."""
    model = whole["model"]
    if "backbone" in whole:
        kind = model.get("kind", _class(model))
        return f"{name(whole['backbone'])}+{kind}" + (f"-{model['channels']}" if "channels" in model else "")
    words = axes(whole)
    return "-".join(
        [words["model"], *([words["rnn"], f"{words['layers']}x{words['nodes']}"] if "rnn" in words else [])]
    )


def axes(whole: Identity) -> dict[str, str]:
    """The settings by which tables order variants, in the paper's words: model, rnn, layers and nodes.

    An autoencoder has kind and channels instead, and its backbone as one level of model.
    """
    model = whole["model"]
    if "backbone" in whole:
        if "kind" not in model:
            return {"model": name(whole)}
        words = {key: str(model[key]) for key in ("kind", "channels") if key in model}
        return {"model": f"{name(whole['backbone'])}+autoencoder", **words}
    if not isinstance(layer := model.get("rnn"), Mapping):
        return {"model": _class(model)}
    return {
        "model": _class(model),
        "rnn": ("bi" if layer.get("bidirectional") else "") + _class(layer),
        "layers": str(model.get("num_layers", 1)),
        "nodes": str(model.get("hidden_size", "")),
    }


def seed(whole: Identity) -> str:
    """The seeds in short: one number where all three agree, else split.init.order."""
    seeds = whole["seeds"]
    numbers = [str(seeds[key]) for key in ("split", "init", "order")]
    return numbers[0] if len(set(numbers)) == 1 else ".".join(numbers)


def folder(whole: Identity) -> PurePath:
    """The run's folder below the output folder: DATA/VARIANT/seed=K-HASH."""
    return PurePath(whole["data"]["name"], name(whole), f"seed={seed(whole)}-{digest(whole)[:6]}")


def _class(settings: Mapping[str, Any]) -> str:
    return str(settings.get("_target_", "model")).rpartition(".")[2].lower()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
