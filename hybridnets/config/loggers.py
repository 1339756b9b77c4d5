"""Loggers of Lightning's beside a run's own metrics.csv: each run has its own, in its own folder."""

import contextlib
import functools
import importlib.util
import inspect
import os
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback
from pytorch_lightning.callbacks import DeviceStatsMonitor, LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger

from hybridnets.config.check import ConfigError
from hybridnets.runs import Run
from hybridnets.runs.store import StoppedError

NEED_LOGGER = (LearningRateMonitor, DeviceStatsMonitor)  # callbacks that Lightning refuses without one, once it trains
EXTRAS = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}


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


def sections(configured: Any) -> list[tuple[str, Any]]:
    """The loggers that a configuration names, each by its key: none, one, or several in a list or by names of their own.

    Args:
        configured: What the key `logger` holds.
    """
    if not configured:
        return []
    if isinstance(configured, list):
        return [(f"logger[{n}]", settings) for n, settings in enumerate(configured)]
    if isinstance(configured, Mapping) and "_target_" not in configured:
        return [(f"logger.{key}", settings) for key, settings in configured.items() if settings]
    return [("logger", configured)]


def checked(made: Any) -> Any:
    """A configured logger as it was made, once its package is there and its server answers.

    Args:
        made: The logger; or a partial of one, which still lacks what each run has of its own.

    Raises:
        ConfigError: If it could not log.
    """
    if not isinstance(made, functools.partial):
        return made
    extra = _extra(made)
    if extra == "mlflow":
        # Of its function: Hydra's partial is one of its own kind, and a partial of it would hide the logger.
        uri = _server(made.keywords.get("tracking_uri"))
        made = functools.partial(made.func, *made.args, **{**made.keywords, "tracking_uri": uri})
    # A folder of that name where Python looks, such as one full of W&B's runs, is no package.
    if extra and getattr(importlib.util.find_spec(extra), "origin", None) is None:
        raise ConfigError(
            f"logger={extra} needs {extra}, which is not installed: run pip install 'hybridnets[{extra}]'"
        )
    return made


def _extra(logger: functools.partial[Any]) -> str | None:
    return EXTRAS.get(getattr(logger.func, "__qualname__", ""))


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


def of(run: Run, logger: Any, folder: Path) -> Any:
    """A run's own logger: what it takes of the run's folder, name and hash, where the configuration says nothing else."""
    if not isinstance(logger, functools.partial):
        return logger  # whole already
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
    if _extra(logger) == "mlflow":
        ours = {"hybridnets.hash": run.digest, "hybridnets.by": "logger"}
        settings["tags"] = {**(settings.get("tags") or {}), **ours}
        settings.setdefault("run_id", _earlier(settings["tracking_uri"], settings["experiment_name"], ours))
    made = logger(**settings)
    if isinstance(made, CSVLogger) and Path(made.log_dir).resolve() == folder.resolve():
        raise ConfigError(
            "logger must write elsewhere than over the run's own metrics.csv, got a CSVLogger in the run's folder: give "
            "logger.name or logger.version"
        )
    return made


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
