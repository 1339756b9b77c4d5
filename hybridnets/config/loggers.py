"""Lightning's loggers, in addition to a run's own metrics.csv: each run has its own, in its own folder."""

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

from hybridnets import program
from hybridnets.config.errors import ConfigError
from hybridnets.runs import Run
from hybridnets.runs.store import StoppedError

NEED_LOGGER = (LearningRateMonitor, DeviceStatsMonitor)  # callbacks that Lightning refuses without one, once it trains
EXTRAS = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}


class LogIdentity(Callback):
    """Logs everything that determines the run, as plain values.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.settings = {"name": run.name, "hash": run.hash, **run.identity}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Logs the identity instead of Lightning's hyper-parameters, which would include the model's arguments as objects."""
        pl_module._log_hyperparams = False
        if stage == "fit":
            for logger in trainer.loggers:
                logger.log_hyperparams(self.settings)

    def on_exception(self, trainer: Any, _: Any, exception: BaseException) -> None:
        """Logs the epoch after which a run was stopped: Lightning would have done so next."""
        if isinstance(exception, StoppedError):
            trainer._logger_connector.update_train_epoch_metrics()


def sections(configured: Any) -> list[tuple[str, Any]]:
    """The sections of the loggers that a configuration names, each with its key: none, one, or several by name or in a list.

    Args:
        configured: The value of the key `logger`.
    """
    if not configured:
        return []
    if isinstance(configured, list):
        return [(f"logger[{n}]", settings) for n, settings in enumerate(configured)]
    if isinstance(configured, Mapping) and "_target_" not in configured:
        return [(f"logger.{key}", settings) for key, settings in configured.items() if settings]
    return [("logger", configured)]


def check_logger(logger: Any) -> Any:
    """A configured logger, once its package is installed and its server answers.

    Args:
        logger: The logger; or a partial of one, which still lacks what is different for each run.

    Raises:
        ConfigError: If it could not log.
    """
    if not isinstance(logger, functools.partial):
        return logger
    extra = _extra(logger)
    if extra == "mlflow":
        # From its function, because a partial of a partial would hide the logger.
        uri = _server(logger.keywords.get("tracking_uri"))
        logger = functools.partial(logger.func, *logger.args, **{**logger.keywords, "tracking_uri": uri})
    # A folder of that name on Python's path, such as one full of W&B's runs, is not a package.
    if extra and getattr(importlib.util.find_spec(extra), "origin", None) is None:
        raise ConfigError(
            f"logger={extra} needs {extra}, which is not installed: run pip install 'hybridnets[{extra}]'"
        )
    return logger


def _extra(logger: functools.partial[Any]) -> str | None:
    return EXTRAS.get(getattr(logger.func, "__qualname__", ""))


def _server(configured: Any) -> str:
    """The address of MLflow's tracking server, which must answer now rather than fail after the first epoch."""
    uri = str(configured or os.environ.get("MLFLOW_TRACKING_URI") or "nothing")
    if uri.startswith(("file:", "sqlite")) or not ("://" in uri or uri.startswith("databricks")):
        raise ConfigError(
            f"logger.tracking_uri must be the address of an MLflow tracking server, http://..., got {uri}: runs that "
            "start together would race for a file; import them when they are finished, with "
            f"{' '.join(program.words('report'))} --mlflow sqlite:///mlflow.db FOLDER"
        )
    if uri.startswith("http"):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=10).close()
        except urllib.error.HTTPError as error:
            error.close()  # any answer will do
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ConfigError(f"logger.tracking_uri must be a server that answers, got {uri} ({reason})") from None
    return uri


def complete_logger(logger: Any, run: Run, folder: Path) -> Any:
    """A run's own logger: it gets the run's folder, name and hash, as far as it takes them and the configuration is silent."""
    if not isinstance(logger, functools.partial):
        return logger  # complete already
    # The models log epochs only, so it does not matter that an epoch has few steps.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")
    parameters = inspect.signature(logger.func).parameters
    values = {
        "save_dir": str(folder),
        "name": run.name,
        "run_name": run.name,
        "project": run.identity["data"]["name"],
        "experiment_name": run.identity["data"]["name"],
        "id": run.hash[:16],
    }
    settings = {key: values[key] for key in values.keys() & parameters.keys()} | logger.keywords
    if _extra(logger) == "mlflow":
        tags = {"hybridnets.hash": run.hash, "hybridnets.by": "logger"}
        settings["tags"] = {**(settings.get("tags") or {}), **tags}
        settings.setdefault("run_id", _earlier_run(settings["tracking_uri"], settings["experiment_name"], tags))
    complete = logger(**settings)
    if isinstance(complete, CSVLogger) and Path(complete.log_dir).resolve() == folder.resolve():
        raise ConfigError(
            "logger must not overwrite the run's own metrics.csv, got a CSVLogger in the run's folder: give logger.name or "
            "logger.version"
        )
    return complete


def _earlier_run(uri: str, experiment_name: str, tags: Mapping[str, str]) -> str | None:
    """The MLflow run that an earlier attempt at this run began, and that this attempt continues."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        # Here, because all but one of the jobs that start together would fail to create it.
        with contextlib.suppress(MlflowException):
            client.create_experiment(experiment_name)
        return None
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs = client.search_runs([experiment.experiment_id], condition, max_results=1)
    return str(runs[0].info.run_id) if runs else None
