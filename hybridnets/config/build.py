"""How the parts of a run are built from its configuration. This imports torch, through the parts and through training."""

import contextlib
import functools
import importlib.util
import inspect
import os
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.plugins import ClusterEnvironment
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback

from hybridnets.config.check import DATA_SOURCE, ConfigError, check, dataset, reason
from hybridnets.runs import Run
from hybridnets.runs.store import StoppedError
from hybridnets.training import Build, building
from hybridnets.training.environment import environment

EXTRAS = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}


def build(cfg: DictConfig) -> Build:
    """The builders of a checked configuration's parts.

    Raises:
        ConfigError: If a `_target_` cannot be found, or does not take a key that its section holds.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    loader = {key: value for key, value in plain["data"].items() if key not in ("name", *DATA_SOURCE)}
    settings = {key: value for key, value in plain["trainer"].items() if value is not None}
    settings.setdefault("enable_progress_bar", sys.stdout.isatty())
    make_data, make_model = _factory("data", loader), _factory("model", plain["model"])
    make_trainer = _factory("trainer", settings)
    logger = _logger(plain["logger"])

    def data() -> Any:
        with building("data"):
            return make_data(dataset(cfg), split_seed=cfg.seeds.split, order_seed=cfg.seeds.order)

    def model(image_shape: Sequence[int], num_classes: int) -> Any:
        with building("model"):
            return make_model(image_shape=image_shape, num_classes=num_classes)

    def callbacks(monitor: str, mode: str) -> list[Any]:
        with building("callbacks"):
            made = [_made(f"callbacks.{key}", value) for key, value in plain["callbacks"].items() if value]
            return [one(monitor=monitor, mode=mode) if isinstance(one, functools.partial) else one for one in made]

    def trainer(callbacks: list[Any], plugins: list[Any], default_root_dir: Path) -> Any:
        theirs = make_trainer.keywords
        own, more = logger, []
        if isinstance(logger, functools.partial):
            run = check(cfg)
            more = [Settings(run)]
            with building("logger"):
                own = _of(run, logger, default_root_dir)
        with building("trainer"):
            plugins = [*theirs.get("plugins", []), *plugins]
            told = [getattr(theirs.get("strategy"), "cluster_environment", None), *plugins]
            if not any(isinstance(one, ClusterEnvironment) for one in told):
                plugins.append(environment())
            return make_trainer(
                callbacks=[*callbacks, *more],
                plugins=plugins,
                default_root_dir=theirs.get("default_root_dir", default_root_dir),
                logger=own,
            )

    return Build(
        data=data,
        model=model,
        optimizer=_factory("optimizer", plain["optimizer"]),
        scheduler=_factory("scheduler", plain["scheduler"]) if plain["scheduler"] else None,
        callbacks=callbacks,
        trainer=trainer,
    )


class Settings(Callback):
    """Tells loggers everything that determines the run, as plain values.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.settings = {"name": run.name, "hash": run.digest, **run.identity}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Tells them in the place of Lightning, which would write the model's arguments down, objects and all."""
        pl_module._log_hyperparams = False
        if stage == "fit":
            for logger in trainer.loggers:
                logger.log_hyperparams(self.settings)

    def on_exception(self, trainer: Any, _: Any, exception: BaseException) -> None:
        """Logs the epoch after which a run was asked to end: Lightning would have done so next."""
        if isinstance(exception, StoppedError):
            trainer._logger_connector.update_train_epoch_metrics()


def _logger(settings: Any) -> Any:
    """The configured logger, or one that still lacks what each run has of its own; False for none."""
    if not settings:
        return False
    made = _made("logger", settings)
    if not isinstance(made, functools.partial):
        return made
    extra = EXTRAS.get(_name(made.func))
    if extra == "mlflow":
        made = _made("logger", {**settings, "tracking_uri": _server(settings.get("tracking_uri"))})
    # A folder of that name where Python looks, such as one full of W&B's runs, is no package.
    if extra and getattr(importlib.util.find_spec(extra), "origin", None) is None:
        raise ConfigError(
            f"logger={extra} needs {extra}, which is not installed: run pip install 'hybridnets[{extra}]'"
        )
    return made


def _server(configured: Any) -> str:
    """The address of MLflow's tracking server, which must answer now rather than fail when the first epoch is done."""
    uri = str(configured or os.environ.get("MLFLOW_TRACKING_URI") or "nothing")
    if uri.startswith(("file:", "sqlite")) or not ("://" in uri or uri.startswith("databricks")):
        raise ConfigError(
            f"logger.tracking_uri must be the address of an MLflow tracking server, http://..., got {uri}: runs that "
            "start together would race for a file; import them when they are finished, with "
            "python report.py --mlflow sqlite:///mlflow.db FOLDER"
        )
    if uri.startswith("http"):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()  # whatever it says, it is there
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise ConfigError(f"logger.tracking_uri must be a server that answers, got {uri} ({why})") from None
    return uri


def _of(run: Run, logger: functools.partial[Any], folder: Path) -> Any:
    """A run's own logger: what it takes of the run's folder, name and hash, where the configuration says nothing else."""
    # Epochs are all that the models log: that there are few steps in one is no loss.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    takes = inspect.signature(logger.func).parameters
    offered = {
        "save_dir": str(folder),
        "name": run.name,
        "run_name": run.name,
        "project": run.identity["data"]["name"],
        "experiment_name": run.identity["data"]["name"],
        "id": run.digest[:16],
    }
    settings = {key: offered[key] for key in offered.keys() & takes.keys()} | logger.keywords
    if EXTRAS.get(_name(logger.func)) == "mlflow":
        ours = {"hybridnets.hash": run.digest, "hybridnets.by": "logger"}
        settings["tags"] = {**(settings.get("tags") or {}), **ours}
        settings.setdefault("run_id", _earlier(settings["tracking_uri"], settings["experiment_name"], ours))
    return logger(**settings)


def _earlier(uri: str, experiment_name: str, tags: Mapping[str, str]) -> str | None:
    """The MLflow run that an earlier attempt at this run began, and that this one goes on with."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        # Here, because of jobs that start together all but one would fail to make it.
        with contextlib.suppress(MlflowException):
            client.create_experiment(experiment_name)
        return None
    asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment.experiment_id], asked, max_results=1)
    return str(found[0].info.run_id) if found else None


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
