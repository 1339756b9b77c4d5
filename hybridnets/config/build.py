"""How the parts of a run are built from its configuration. This imports torch, through the parts and through training."""

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.plugins import ClusterEnvironment
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ProgressBar

from hybridnets.config import loggers
from hybridnets.config.check import DATA_SOURCE, Backbone, ConfigError, backbone, check, command, dataset, reason, trial
from hybridnets.predicting import load_predictor
from hybridnets.training import Build, building
from hybridnets.training.environment import environment

log = logging.getLogger("hybridnets")


def build(cfg: DictConfig, *, rehearsal: bool = False) -> Build:
    """The builders of a checked configuration's parts.

    Args:
        cfg: The configuration.
        rehearsal: Whether nothing will be trained: then a backbone that is not trained yet will do.

    Raises:
        ConfigError: If a `_target_` cannot be found, or does not take a key that its section holds; or if the backbone is
            no finished run.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    loader = {key: value for key, value in plain["data"].items() if key not in ("name", *DATA_SOURCE)}
    # max_steps is kept by a callback of ours.
    settings = {key: value for key, value in plain["trainer"].items() if value is not None and key != "max_steps"}
    # A sweep's jobs have no terminal. Where bars are asked for, or asked not to be, Lightning decides.
    shows_bars = "enable_progress_bar" in settings or sys.stdout.isatty()
    settings.setdefault("enable_progress_bar", sys.stdout.isatty())
    stage = {key: value for key, value in plain["model"].items() if key != "backbone"}
    make_data, make_model = _factory("data", loader), _factory("model", stage)
    make_backbone = _backbone(found, rehearsal or trial(cfg)) if (found := backbone(cfg)) else None
    make_trainer = _factory("trainer", settings)
    made_loggers = [loggers.checked(_made(key, settings)) for key, settings in loggers.sections(plain["logger"])]

    def data() -> Any:
        with building("data"):
            return make_data(dataset(cfg), split_seed=cfg.seeds.split, order_seed=cfg.seeds.order)

    def model(image_shape: Sequence[int], num_classes: int) -> Any:
        with building("model"):
            below = {"backbone": make_backbone(image_shape, num_classes)} if make_backbone else {}
            return make_model(image_shape=image_shape, num_classes=num_classes, **below)

    def callbacks(monitor: str, mode: str) -> list[Any]:
        with building("callbacks"):
            made = {key: _made(f"callbacks.{key}", value) for key, value in plain["callbacks"].items() if value}
            for key, one in made.items():
                if isinstance(one, functools.partial):
                    made[key] = _watching(one, monitor, mode)
                if isinstance(made[key], loggers.NEED_LOGGER) and not made_loggers:
                    raise ConfigError(
                        f"callbacks.{key} must have a logger to write to, and there is none: choose one, as in "
                        f"logger=tensorboard, or leave {key} out"
                    )
            return list(made.values())

    def trainer(callbacks: list[Any], plugins: list[Any], default_root_dir: Path) -> Any:
        theirs = make_trainer.keywords
        own, more = [], []
        if made_loggers:
            run = check(cfg)
            with building("logger"):
                own = [loggers.of(run, logger, default_root_dir) for logger in made_loggers]
            if any(isinstance(one, functools.partial) for one in made_loggers):
                more = [loggers.Settings(run)]
        with building("trainer"):
            plugins = [*theirs.get("plugins", []), *plugins]
            told = [getattr(theirs.get("strategy"), "cluster_environment", None), *plugins]
            if not any(isinstance(one, ClusterEnvironment) for one in told):
                plugins.append(environment())
            return make_trainer(
                callbacks=[*(callbacks if shows_bars else _without_bars(callbacks)), *more],
                plugins=plugins,
                default_root_dir=theirs.get("default_root_dir", default_root_dir),
                logger=own or False,
            )

    return Build(
        data=data,
        model=model,
        optimizer=_factory("optimizer", plain["optimizer"]),
        scheduler=_factory("scheduler", plain["scheduler"]) if plain["scheduler"] else None,
        callbacks=callbacks,
        trainer=trainer,
    )


def _watching(callback: functools.partial[Any], monitor: str, mode: str) -> Any:
    """A callback completed by what the model watches, where the configuration says nothing else."""
    if callback.keywords.get("monitor", monitor) == monitor:
        return callback(**{"monitor": monitor, "mode": mode, **callback.keywords})
    return callback()


def _without_bars(callbacks: list[Any]) -> list[Any]:
    """The callbacks that show nothing in a terminal: Lightning refuses those that would, where no bar is shown."""
    for bar in (bars := [one for one in callbacks if isinstance(one, ProgressBar)]):
        log.info("%s is left out: progress bars are shown in a terminal only", type(bar).__name__)
    return [one for one in callbacks if one not in bars]


def _backbone(found: Backbone, rehearsal: bool) -> Callable[..., Any]:
    """What builds the network that another stands on: with a finished run's weights, or in a rehearsal with any."""
    if rehearsal and found.cfg is not None:
        below = build(found.cfg, rehearsal=True).model
        return lambda image_shape, num_classes: below(image_shape=image_shape, num_classes=num_classes)
    if not found.finished:
        assert found.run
        raise ConfigError(
            f"backbone must be a finished run, and {found.run.name} is not: train it first, by "
            f"{command(found.overrides)} (a sweep, with -m, would see to that by itself)"
        )

    def trained(*_: Any) -> Any:
        try:
            return load_predictor(found.folder).model
        except ValueError as error:
            raise ConfigError(f"backbone must be a whole run: {error}; remove that folder to train it again") from error

    return trained


def _factory(section: str, settings: Mapping[str, Any]) -> functools.partial[Any]:
    """A section's target with its settings, the keys checked against what the target takes."""
    made: functools.partial[Any] = _made(section, {**settings, "_partial_": True})
    takes = inspect.signature(made.func).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        for key in made.keywords:
            if key not in takes:
                raise ConfigError(
                    f"{section}.{key} must be a setting that {_name(made.func)} takes, which are {', '.join(takes)}"
                )
    return made


def _made(section: str, settings: Any) -> Any:
    if not isinstance(settings, Mapping) or "_target_" not in settings:
        raise ConfigError(f"{section} must name what to build as {section}._target_, got {settings!r}")
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        raise ConfigError(f"{section} cannot be built: {reason(error)}") from error


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__qualname__", repr(target))
