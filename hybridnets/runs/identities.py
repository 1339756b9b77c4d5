"""A run's identity: what determines its result, as canonical JSON, and the folder that follows from it."""

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Literal

# Raised by hand when the same configuration would train differently, so that no older run is taken for a newer one.
PROTOCOL = 1

# The sections of an identity besides its seeds.
SECTIONS = ("data", "model", "loss", "optimizer", "scheduler", "callbacks", "trainer")

# Settings of every run that are usually off, with that value. An identity omits them at it, and labels show it.
OFF: Mapping[tuple[str, ...], Any] = {
    **{("data", "augment", kind): 0 for kind in ("rotate", "brightness", "contrast", "saturation", "hue")},
    **{("data", "augment", kind): 0 for kind in ("erase", "mixup", "cutmix")},
    ("data", "augment", "randaugment"): None,
    ("loss", "label_smoothing"): 0,
    ("loss", "class_weights"): None,
    ("loss",): {},  # after its keys
}

# Keys added after the first release, by path, with the value at which a run behaves as before the key existed.
# An identity omits a key at that value, so that older runs keep their names.
ADDED: Mapping[tuple[str, ...], Any] = {
    ("model", "initialisation"): "keras",
    ("data", "split"): "random",
    ("data", "folds"): None,
    ("data", "stratify"): False,
    **OFF,
}

# Settings that many models have by the same name, a key of the configuration's top level. Where two models differ in one, the
# report says so beside their comparison.
COMMON_SETTINGS = ("activation", "batch_norm_momentum", "initialisation")
# Their legal names, which models and configuration share.
Activation = Literal["relu", "elu", "gelu", "tanh", "none"]
Initialisation = Literal["keras", "torch"]

SEED_KINDS = ("split", "init", "order")  # what a seed governs

Identity = dict[str, Any]


def identity(seeds: Mapping[str, int], **parts: Any) -> Identity:
    """The identity of a run.

    Args:
        seeds: The seeds by what they govern: split, init, order.
        **parts: Resolved settings that determine the result: model, data, optimizer, trainer and so on.
    """
    complete = copy.deepcopy({"protocol": PROTOCOL, "seeds": dict(seeds), **parts})  # the settings keep all their keys
    for path, old in ADDED.items():
        *parents, key = path
        inner: Any = complete
        for step in parents:
            inner = inner.get(step, {}) if isinstance(inner, dict) else {}
        if isinstance(inner, dict) and inner.get(key, old) == old:
            inner.pop(key, None)
    return complete


def as_input(input_run: Identity, seeds: Mapping[str, int]) -> Identity:
    """How an input run enters the identity of another run: as its own identity, without its seeds where they are the same.

    Runs whose backbones have the same seeds as they themselves are then one variant over all seeds.

    Args:
        input_run: The input run's identity.
        seeds: The seeds of the run that it is put into.
    """
    return {key: value for key, value in input_run.items() if key != "seeds" or value != dict(seeds)}


def backbone(run: Identity) -> Identity | None:
    """The identity of the run that a run uses as its backbone; None where it uses none."""
    return {"seeds": run["seeds"], **run["backbone"]} if "backbone" in run else None


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, whole floats as integers, so that 1 and 1.0 are one value.

    A setting to which 1 and 1.0 mean two things must be stated in words, such as `one` and `all`.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_of(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def variant(run: Identity) -> Identity:
    """The configuration without its seeds: what a comparison compares."""
    return {key: value for key, value in run.items() if key != "seeds"}


def name(run: Identity) -> str:
    """The variant's short name in the paper's words: ecrnn-bilstm-1x16, or cnn+cae-32 for an autoencoder of CNN's features."""
    model = run["model"]
    if "backbone" in run:
        kind = model.get("kind", _class(model))
        return f"{name(run['backbone'])}+{kind}" + (f"-{model['channels']}" if "channels" in model else "")
    words = axes(run)
    return "-".join(
        [words["model"], *([words["rnn"], f"{words['layers']}x{words['nodes']}"] if "rnn" in words else [])]
    )


def axes(run: Identity) -> dict[str, str]:
    """The settings by which tables order variants, in the paper's words: model, rnn, layers and nodes.

    An autoencoder has kind and channels instead, and its backbone as one level of model.
    """
    model = run["model"]
    if "backbone" in run:
        if "kind" not in model:
            return {"model": name(run)}
        words = {key: str(model[key]) for key in ("kind", "channels") if key in model}
        return {"model": f"{name(run['backbone'])}+autoencoder", **words}
    if not isinstance(layer := model.get("rnn"), Mapping):
        return {"model": _class(model)}
    return {
        "model": _class(model),
        "rnn": ("bi" if layer.get("bidirectional") else "") + _class(layer),
        "layers": str(model.get("num_layers", 1)),
        "nodes": str(model.get("hidden_size", "")),
    }


def seed(run: Identity) -> str:
    """The seeds in short: one number where all three agree, else split.init.order."""
    seeds = run["seeds"]
    parts = [str(seeds[key]) for key in SEED_KINDS]
    return parts[0] if len(set(parts)) == 1 else ".".join(parts)


def folder(run: Identity) -> PurePath:
    """The run's folder below the output folder: DATA/VARIANT/seed=K-HASH."""
    return PurePath(run["data"]["name"], name(run), f"seed={seed(run)}-{hash_of(run)[:6]}")


def seeds_in(folder: PurePath) -> dict[str, int]:
    """The seeds of a run by its folder, as `folder` names it.

    Raises:
        ValueError: If the folder is not named like a run's.
    """
    seeds = re.match(r"seed=(\d+)(?:\.(\d+)\.(\d+))?-", folder.name)
    if seeds is None:
        raise ValueError(f"{folder} is no run's folder")
    return {part: int(number or seeds[1]) for part, number in zip(SEED_KINDS, seeds.groups(), strict=True)}


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
