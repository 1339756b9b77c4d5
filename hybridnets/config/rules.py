"""The values that a key may have: one rule per key, wherever the key exists.

Choices among names, such as model.sequence, have no rules here: models refuse other names while they are built, and
`hybridnets.config.build` refuses those that an argument's `Literal` type does not list. The data module checks its settings.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from hybridnets.config.errors import ConfigError
from hybridnets.config.keys import keys_of, missing_keys, proposal
from hybridnets.config.schema import Config
from hybridnets.program import either
from hybridnets.runs.identities import Activation, Initialisation

Rule = tuple[str, Callable[[Any], Any]]  # a legal value in words, and whether a value is legal


def _is_whole(value: Any, least: int, most: float = math.inf) -> bool:
    return type(value) is int and least <= value <= most  # true and false are not whole numbers


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _from(least: int, most: int) -> Rule:
    return f"a whole number from {least} to {most:,}", lambda v: _is_whole(v, least, most)


def _at_least(least: int) -> Rule:
    return f"a whole number of at least {least}", lambda v: _is_whole(v, least)


def _one_of(names: Sequence[str]) -> Rule:
    return either(names), lambda v: v in names


def _null_or(rule: Rule) -> Rule:
    text, is_legal = rule
    return f"null or {text}", lambda v: v is None or is_legal(v)


def _is_limit(value: Any) -> bool:
    """Whether some batches remain: a whole number of batches from 1, or a share of them above 0."""
    return value is None or _is_whole(value, 1) or (type(value) is float and 0 < value <= 1)


def _is_duration(value: Any) -> bool:
    """Whether a duration in Lightning's notation, days:hours:minutes:seconds or a section of them, is above zero."""
    parts = value.split(":") if isinstance(value, str) else list(value.values())
    return any(float(part) > 0 for part in parts)


def _is_backbone(value: Any) -> bool:
    if value is None or isinstance(value, Mapping):
        return True
    return bool(value) and (isinstance(value, str) or all(isinstance(override, str) for override in value))


SEED = _from(0, 2**32 - 1)
SECTION: Rule = ("a section of keys", lambda v: isinstance(v, Mapping))
SHARE: Rule = ("a number from 0 up to, but not including, 1", lambda v: _is_number(v) and 0 <= v < 1)
LARGEST_WEIGHT = 1e6  # float32 holds sums of larger ones less precisely, and overflows in the end
WEIGHTS: Rule = (
    "null, balanced or a list of numbers above 0 and up to a million, one for each class",
    lambda v: (
        v in (None, "balanced")
        or (
            isinstance(v, Sequence)
            and not isinstance(v, str)
            and all(_is_number(weight) and 0 < weight <= LARGEST_WEIGHT for weight in v)
        )
    ),
)
FILE: Rule = ("the path of a file", lambda v: isinstance(v, str) and v)
WIDTHS: Rule = (
    "a list of whole numbers from 1",
    lambda v: isinstance(v, Sequence) and len(v) > 0 and all(_is_whole(width, 1) for width in v),
)
LIMIT = "null, a whole number of batches from 1, or a share of them above 0.0 and up to 1.0"
MEASURED = "so that each epoch's value is that of the weights it ends with"

# The best epoch's weights are published with the value that the epoch reached on val, so every epoch's value must be that of
# the weights that the epoch ended with. Flags of Lightning's Trainer that would break this are refused.
TRAINER_RULES: Mapping[str, Rule] = {
    "trainer.max_epochs": _at_least(1),
    "trainer.min_epochs": _null_or(_at_least(0)),
    "trainer.min_steps": _null_or(_at_least(0)),
    "trainer.max_steps": (
        "null, -1 or a whole number of at least 1: a run takes a step",
        lambda v: v in (None, -1) or _is_whole(v, 1),
    ),
    "trainer.max_time": _null_or(
        ("a duration above zero such as 00:12:00:00 (days:hours:minutes:seconds)", _is_duration)
    ),
    "trainer.gradient_clip_val": _null_or(("a number of at least 0", lambda v: _is_number(v) and v >= 0)),
    "trainer.accumulate_grad_batches": _null_or(_at_least(1)),
    "trainer.limit_train_batches": (f"{LIMIT}: a run needs something to train on", _is_limit),
    "trainer.limit_val_batches": (f"{LIMIT}: every epoch is measured on val", _is_limit),
    "trainer.limit_test_batches": ("null: all test images are predicted", lambda v: v is None),
    "trainer.limit_predict_batches": ("null: the prediction for every image is kept", lambda v: v is None),
    "trainer.overfit_batches": (
        "null or 0: the batches of each epoch are different, so no fixed batches exist to overfit "
        "(trainer.limit_train_batches makes an epoch shorter)",
        lambda v: v is None or (_is_number(v) and v == 0),
    ),
    "trainer.val_check_interval": (
        f"null or 1.0: val is measured once an epoch, after its last step, {MEASURED}",
        lambda v: v is None or (type(v) is float and v == 1),
    ),
    "trainer.check_val_every_n_epoch": (
        f"null or 1: every epoch is measured on val, {MEASURED}",
        lambda v: v is None or (_is_whole(v, 1) and v == 1),
    ),
    "trainer.barebones": (
        "null or false: it switches off the validation and the checkpoints that a run consists of",
        lambda v: v in (None, False),
    ),
    "trainer.enable_checkpointing": (
        "null or true: a run is resumed from its checkpoints, and its result is that of the best one",
        lambda v: v in (None, True),
    ),
    "trainer.strategy": (
        "one that starts new processes, as ddp does: processes that are forked or spawned train without a record",
        lambda v: not re.search("fork|spawn|notebook", str(v)),
    ),
    "trainer.callbacks": ("set by name, as callbacks.NAME", lambda _: False),
    "trainer.logger": ("set as logger", lambda _: False),
}

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("model", "data", "optimizer", "callbacks", "trainer"), SECTION),
    "seeds": ("a section of split, init and order (seed=N sets all three)", SECTION[1]),
    "scheduler": _null_or(SECTION),
    "layers": _from(1, 1024),
    "nodes": _from(1, 1024),
    **dict.fromkeys(("seed", "seeds.split", "seeds.init", "seeds.order", "model.order_seed"), SEED),
    **dict.fromkeys(("batch_norm_momentum", "model.batch_norm_momentum"), SHARE),
    "activation": _one_of(get_args(Activation)),
    "initialisation": _one_of(get_args(Initialisation)),
    "model.channels": WIDTHS,
    "model.dense": WIDTHS,
    "model.dropout": SHARE,
    "model.image_size": _null_or(_from(32, 1024)),
    "model.weights": _null_or(FILE),
    "loss": ("a section of label_smoothing and class_weights", SECTION[1]),
    "loss.label_smoothing": SHARE,
    "loss.class_weights": WEIGHTS,
    "optimizer.lr": ("a number above 0", lambda v: _is_number(v) and v > 0),
    "callbacks.early_stopping.patience": _at_least(1),
    **TRAINER_RULES,
    "data.name": (
        "a plain name, because it names a folder",
        lambda v: isinstance(v, str) and re.fullmatch(r"[\w.+-]*\w", v),
    ),
    "data.licence": _null_or(("the licence of the images in words", lambda v: isinstance(v, str) and v)),
    "backbone": ("null, the folder of a finished run, or a list of overrides such as [model=cnn]", _is_backbone),
    "ckpt_path": _null_or(FILE),
    "out": ("the path of a folder", bool),
}
# For a model with a backbone, in addition to the others or instead of them.
RULES_WITH_BACKBONE: Mapping[str, Rule] = {
    "model.channels": ("a whole number from 1, the code's channels", lambda v: _is_whole(v, 1)),
    "model.hidden": ("a list of whole numbers from 1, or []", lambda v: len(v) == 0 or WIDTHS[1](v)),
}

# The keys that every configuration must have.
REQUIRED = (
    *("model", "seeds.split", "seeds.init", "seeds.order", "optimizer", "callbacks", "trainer.max_epochs", "out"),
    *("loss", "scheduler", "ckpt_path", "logger", "retry_diverged", "dry_run", "report"),
    *(f"data.{key}" for key in ("name", "dataset", "train_fraction", "batch_size", "standardize", "augment")),
)


def check_rules(cfg: DictConfig) -> None:
    """Refuses a configuration that breaks a rule.

    Raises:
        ConfigError: With one sentence that names the key, the rule and the value.
    """
    for key in map(str, cfg):
        if key not in Config.__dataclass_fields__:
            did_you_mean = proposal(key, [name for name in keys_of(cfg) if name.partition(".")[0] != key])
            raise ConfigError(f"{key} is not a key of the configuration{did_you_mean} (--help lists the keys)")
    _check_environment()
    if key := next(missing_keys(cfg), ""):
        raise ConfigError(f"{key} is missing: give it a value, {key}=VALUE")
    model = OmegaConf.select(cfg, "model")
    extra = RULES_WITH_BACKBONE if isinstance(model, DictConfig) and "backbone" in model else {}
    is_ours = str(OmegaConf.select(cfg, "model._target_")).startswith("hybridnets.")
    for key, (rule, is_legal) in {**RULES, **extra}.items():
        if key.startswith("model.") and not is_ours:
            continue  # an argument of the same name may be anything in a model of the user's own
        section, last = _section(cfg, key)
        if isinstance(section, DictConfig) and last in section and not _holds(is_legal, value := section[last]):
            raise ConfigError(f"{key} must be {rule}, got {text_of(value)}")
    for key in REQUIRED:
        section, last = _section(cfg, key)
        if last not in section:
            raise ConfigError(f"{key} is missing: give it a value, or do not remove it with ~")
    _check_limits(cfg.trainer)


def text_of(value: Any) -> str:
    """A value as messages show it."""
    return "null" if value is None else "nothing" if value == "" else str(value)


def _section(cfg: DictConfig, key: str) -> tuple[Any, str]:
    path, _, last = key.rpartition(".")
    return OmegaConf.select(cfg, path) if path else cfg, last


def _holds(is_legal: Callable[[Any], Any], value: Any) -> bool:
    try:
        return bool(is_legal(value))
    except (TypeError, ValueError, AttributeError):  # the value's type does not even compare
        return False


def _check_environment() -> None:
    """Refuses flags that Lightning would take from the environment where the configuration leaves them null."""
    for name in sorted(os.environ):
        if name.startswith("PL_TRAINER_"):
            flag = name.removeprefix("PL_TRAINER_").lower()
            raise ConfigError(
                f"{name} must not be set, because the configuration alone determines how a run is trained, got "
                f"{os.environ[name]}: unset it, and give trainer.{flag}={os.environ[name]}"
            )


def _check_limits(trainer: Mapping[str, Any]) -> None:
    """Refuses limits that contradict each other: Lightning would ignore a minimum above the maximum."""
    for unit in ("epochs", "steps"):
        least, most = trainer.get(f"min_{unit}"), trainer.get(f"max_{unit}")
        if least and most and 0 < most < least:
            raise ConfigError(f"trainer.min_{unit} must be at most trainer.max_{unit}, which is {most}, got {least}")
    least_epochs, steps = trainer.get("min_epochs"), trainer.get("max_steps")
    if least_epochs and steps not in (None, -1):
        raise ConfigError(
            f"trainer.min_epochs must be null where trainer.max_steps ends the run, got {least_epochs} and {steps}"
        )
