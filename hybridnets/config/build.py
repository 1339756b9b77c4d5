"""Builds the parts of a run from a checked request. This imports torch, through the parts and through training."""

import functools
import inspect
import logging
import sys
import typing
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.callbacks import Callback, ProgressBar

from hybridnets.config import loggers
from hybridnets.config.command_line import repeating_command
from hybridnets.config.errors import ConfigError, build_failure
from hybridnets.config.identity import loading_keys
from hybridnets.config.request import RunRequest
from hybridnets.config.rules import text_of
from hybridnets.models import Classifier
from hybridnets.predicting import load_predictor
from hybridnets.program import either
from hybridnets.training import Parts, assemble, complete_callbacks, errors_of
from hybridnets.training.callbacks import EpochRecorder
from hybridnets.training.checkpoints import DurableCheckpointIO
from hybridnets.training.environment import environment
from hybridnets.training.loss import set_loss
from hybridnets.training.progress import progress_bar
from hybridnets.training.start import check_start

T = TypeVar("T")
log = logging.getLogger("hybridnets")


def build(request: RunRequest, *, data: Any = None, is_rehearsal: bool = False) -> Parts:
    """Builds the parts of a run, each from those before it; writes nothing.

    Args:
        request: The checked configuration.
        data: The data module, if it is built already.
        is_rehearsal: Whether nothing will be trained, so that a backbone need not be trained either.

    Raises:
        ValueError: With one sentence, if a part cannot be built or does not fit, or if the run cannot start from ckpt_path.
    """
    # Gradients that fade over 1,024 steps become denormal numbers, on which a CPU is six times slower. This comes first
    # because a thread inherits the setting from the thread that starts it.
    warnings.filterwarnings(
        "ignore", message="The value of the smallest subnormal"
    )  # older NumPys notice the next line
    torch.set_flush_denormal(True)
    settings, run = request.settings, request.run
    incomplete_loggers = build_loggers(settings)
    data = data or build_data(request)
    pl.seed_everything(run.identity["seeds"]["init"], verbose=False)
    model = build_model(request, data.image_shape, data.num_classes, is_rehearsal=is_rehearsal)
    labels = request.dataset.train_labels[data.split.train]
    set_loss(model, settings["loss"], labels, data.classes)
    recorder = EpochRecorder(run)
    callbacks = complete_callbacks(recorder, build_callbacks(settings, model, bool(incomplete_loggers)))
    trainer = build_trainer(request, callbacks, incomplete_loggers)
    parts = assemble(data, model, trainer, recorder)
    is_begun = run.last_checkpoint.exists() or run.previous_checkpoint.exists()
    if settings["ckpt_path"] and not is_begun:
        check_start(settings["ckpt_path"], parts)
    return parts


def build_data(request: RunRequest) -> Any:
    """The data module of a run, with its seeds."""
    section, seeds = request.settings["data"], request.settings["seeds"]
    loading = {"name", *loading_keys(section)}
    make = _factory("data", {key: section[key] for key in section if key not in loading})
    with errors_of("data"):
        data = make(request.dataset, split_seed=seeds["split"], order_seed=seeds["order"])
        return _checked("data", data, pl.LightningDataModule)


def build_model(
    request: RunRequest, image_shape: Sequence[int], num_classes: int, *, is_rehearsal: bool = False
) -> Classifier:
    """The model of a run with its optimizer, its scheduler and its backbone, which may be untrained in a rehearsal."""
    sections = request.settings
    make = _factory("model", {key: value for key, value in sections["model"].items() if key != "backbone"})
    optimizer = _factory("optimizer", _optimizer_settings(sections))
    scheduler = _factory("scheduler", sections["scheduler"]) if sections["scheduler"] else None
    arguments: dict[str, Any] = {"image_shape": image_shape, "num_classes": num_classes}
    if request.backbone:
        arguments["backbone"] = _backbone(request, image_shape, num_classes, is_rehearsal or request.is_trial)
    with errors_of("model"):
        model: Classifier = _checked("model", make(**arguments), Classifier)
        if "image_shape" not in getattr(model, "hparams", {}):
            raise ValueError(
                f"model.{type(model).__name__} must call self.save_hyperparameters() in its __init__, after "
                "super().__init__(num_classes), because its runs could not be loaded otherwise"
            )
    model.optimizer, model.scheduler = optimizer, scheduler
    return model


def _optimizer_settings(sections: Mapping[str, Any]) -> Mapping[str, Any]:
    """The optimiser's settings; it is not fused where Lightning would refuse to clip its gradients. The method is the same."""
    settings, trainer = sections["optimizer"], sections["trainer"]
    is_mixed = str(trainer.get("precision")).removesuffix("-mixed") in ("16", "bf16")
    is_refused = settings.get("fused") and is_mixed and trainer.get("gradient_clip_val")
    return {**settings, "fused": False} if is_refused else settings


def _backbone(request: RunRequest, image_shape: Sequence[int], num_classes: int, is_untrained: bool) -> Classifier:
    """The network of a finished run, with its weights; or an untrained one."""
    backbone = request.backbone
    assert backbone
    if is_untrained and backbone.request:
        return build_model(backbone.request, image_shape, num_classes, is_rehearsal=True)
    if not backbone.is_finished:
        assert backbone.request
        raise ConfigError(
            f"backbone must be a finished run, but {backbone.request.run.name} is not finished: train it first, by "
            f"{repeating_command(backbone.overrides)} (a sweep, with -m, would do that by itself)"
        )
    try:
        network: Classifier = load_predictor(backbone.folder).model
    except ValueError as error:
        raise ConfigError(f"backbone must be a complete run: {error}; delete that folder to train it again") from error
    return network


def build_callbacks(settings: Mapping[str, Any], model: Classifier, has_logger: bool) -> list[Callback]:
    """The configured callbacks, completed with the metric that the model watches."""
    callbacks: list[Callback] = []
    for key, section in settings["callbacks"].items():
        if not section:
            continue
        with errors_of("callbacks"):
            callback = _instance(f"callbacks.{key}", section)
            if isinstance(callback, functools.partial):
                callback = _watching(callback, model.monitor, model.mode)
            _checked(f"callbacks.{key}", callback, Callback)
            if isinstance(callback, loggers.NEED_LOGGER) and not has_logger:
                raise ConfigError(
                    f"callbacks.{key} needs a logger to write to: choose one, as in logger=tensorboard, or leave {key} out"
                )
        callbacks.append(callback)
    return callbacks


def _watching(callback: functools.partial[Any], monitor: str, mode: str) -> Any:
    """A callback completed with the metric that the model watches, unless the configuration names another."""
    if callback.keywords.get("monitor", monitor) == monitor:
        return callback(**{"monitor": monitor, "mode": mode, **callback.keywords})
    return callback()


def build_loggers(settings: Mapping[str, Any]) -> list[Any]:
    """The configured loggers, which their run completes later; refuses those that could not log."""
    sections = loggers.sections(settings["logger"])
    return [loggers.check_logger(_instance(key, section)) for key, section in sections]


def build_trainer(request: RunRequest, callbacks: list[Callback], incomplete_loggers: list[Any]) -> pl.Trainer:
    """The trainer of a run, with these callbacks, and with the loggers of `build_loggers`, which it completes."""
    # `StopAtMaxSteps` takes the place of max_steps.
    flags = {key: flag for key, flag in request.settings["trainer"].items() if flag is not None and key != "max_steps"}
    # A sweep's jobs have no terminal. Where the flag is set, Lightning decides.
    shows_bars = "enable_progress_bar" in flags or sys.stdout.isatty()
    flags.setdefault("enable_progress_bar", sys.stdout.isatty())
    flags.setdefault("default_root_dir", request.run.folder)
    make = _factory("trainer", flags)
    folder = request.run.folder
    with errors_of("logger"):
        own_loggers = [loggers.complete_logger(logger, request.run, folder) for logger in incomplete_loggers]
    if not shows_bars:
        callbacks = _without_bars(callbacks)
    elif flags["enable_progress_bar"] and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        callbacks = [*callbacks, progress_bar()]
    if any(isinstance(logger, functools.partial) for logger in incomplete_loggers):
        callbacks = [*callbacks, loggers.LogIdentity(request.run)]
    with errors_of("trainer"):
        plugins = [*make.keywords.get("plugins", []), DurableCheckpointIO(request.run)]
        environments = [getattr(make.keywords.get("strategy"), "cluster_environment", None), *plugins]
        if not any(isinstance(plugin, ClusterEnvironment) for plugin in environments):
            plugins.append(environment())
        return _checked("trainer", make(callbacks=callbacks, plugins=plugins, logger=own_loggers or False), pl.Trainer)


def _without_bars(callbacks: list[Callback]) -> list[Callback]:
    """The callbacks without progress bars, which Lightning refuses where no bar is shown."""
    bars = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
    for bar in bars:
        log.info("%s is left out: progress bars are shown in a terminal only", type(bar).__name__)
    return [callback for callback in callbacks if callback not in bars]


def _factory(section: str, settings: Mapping[str, Any]) -> functools.partial[Any]:
    """A section's target with its settings, once the target takes each of them."""
    factory: functools.partial[Any] = _instance(section, {**settings, "_partial_": True})
    _check_arguments(section, factory)
    return factory


def _check_arguments(section: str, factory: functools.partial[Any]) -> None:
    """Refuses an argument that the target does not take, or a value that its `Literal` type does not list.

    Sections within, such as rnn, are checked too.
    """
    try:
        parameters = inspect.signature(factory.func).parameters
    except ValueError:  # of a builtin: it refuses by itself what it does not take
        return
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in factory.keywords:
            if key not in parameters:
                target = getattr(factory.func, "__qualname__", repr(factory.func))
                raise ConfigError(
                    f"{section}.{key} is not an argument of {target}, which takes {', '.join(parameters)}"
                )
    try:
        types = typing.get_type_hints(factory.func.__init__ if inspect.isclass(factory.func) else factory.func)
    except Exception:  # the annotations of other packages may name what cannot be imported
        types = {}
    for key, value in factory.keywords.items():
        choices = typing.get_args(types.get(key)) if typing.get_origin(types.get(key)) is typing.Literal else ()
        if choices and value not in choices:
            raise ConfigError(f"{section}.{key} must be {either(map(text_of, choices))}, got {text_of(value)}")
        if isinstance(value, functools.partial):
            _check_arguments(key, value)


def _checked(section: str, part: Any, kind: type[T]) -> T:
    """A part that was built, once it is what the section is for: a `_target_` may name anything that can be called."""
    if not isinstance(part, kind):
        raise ConfigError(
            f"{section}._target_ must name a {kind.__module__.split('.')[0]} {kind.__name__}, got one that gives a "
            f"{type(part).__module__}.{type(part).__qualname__}"
        )
    return part


def _instance(section: str, settings: Any) -> Any:
    if not isinstance(settings, Mapping) or "_target_" not in settings:
        raise ConfigError(f"{section} must name what to build as {section}._target_, got {settings!r}")
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        raise ConfigError(f"{section} cannot be built: {build_failure(error)}") from error
