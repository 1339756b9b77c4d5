"""A job's configuration: composed as Hydra does it, and written for the job's process."""

import contextlib
import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra import version
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from ._output import Progress

Document = dict[str, Any]  # a job's configuration as plain values, for its process
Load = Callable[[DictConfig, list[str]], DictConfig]  # master configuration and overrides to a job's configuration

# The parts of the section `hydra` that a job's process gets, besides those for logging.
KEPT = ("callbacks", "job", "output_subdir", "overrides", "runtime", "sweep", "verbose")


@dataclass
class JobConfig:
    """A job's configuration, in the forms that Hydra and the job's process need."""

    number: int
    config: DictConfig  # including the section `hydra`
    document: Document
    job_return: JobReturn  # for Hydra; the launcher adds status and value

    def document_with(self, values: Mapping[str, Any]) -> Document:
        """The document with other values, by their dotted keys.

        Raises:
            KeyError: With the key, and with the reason in one line, if the configuration has no such key.
        """
        if not values:
            return self.document
        for key, value in values.items():
            try:
                OmegaConf.update(self.config, key, _escape(value), merge=False)
            except OmegaConfBaseException as error:
                raise KeyError(key, str(error).splitlines()[0]) from error
        with _as_hydra_config(self.config):
            return _document(self.config, self.document["hydra"]["run"]["dir"])


def compose(load: Load, master: DictConfig, number: int, overrides: Sequence[str]) -> JobConfig:
    """Compose the configuration of a job.

    Args:
        load: From the configuration loader.
        master: The sweep's configuration.
        number: The job's.
        overrides: All of the job's overrides.
    """
    config = load(master, list(overrides))
    with open_dict(config):
        config.hydra.job.id = str(number)
        config.hydra.job.num = number
    with _as_hydra_config(config):
        directory = str(Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(Path.cwd() / directory)
    with _as_hydra_config(config):
        document = _document(config, directory)
        hydra_config = copy.deepcopy(HydraConfig.instance().cfg)
    task = OmegaConf.create({key: value for key, value in document.items() if key != "hydra"})
    OmegaConf.set_struct(task, True)
    chdir = config.hydra.job.chdir
    changes_directory = not version.base_at_least("1.2") if chdir is None else chdir
    job_return = JobReturn(
        overrides=list(config.hydra.overrides.task),
        cfg=task,
        hydra_cfg=cast(DictConfig, hydra_config),
        working_dir=directory if changes_directory else str(Path.cwd()),
        task_name=JobRuntime.instance().get("name"),
    )
    return JobConfig(number, config, document, job_return)


def compose_once(loader: ConfigLoader, progress: Progress) -> Load:
    """Let the launcher reuse what the sweeper composes when it checks every job, as composing takes long.

    Args:
        loader: Its `load_sweep_config`, which the sweeper calls, is replaced.
        progress: Shows how many configurations have been composed.

    Returns:
        A `load_sweep_config` for the launcher.
    """
    load = loader.load_sweep_config
    composed: dict[tuple[str, ...], DictConfig] = {}

    def load_for_sweeper(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        key = tuple(sweep_overrides)
        try:
            composed[key] = load(master_config, sweep_overrides)
        except Exception:  # its message must begin on a new line
            progress.end()
            raise
        progress.show(len(composed))
        return composed[key]

    def load_for_launcher(master: DictConfig, overrides: list[str]) -> DictConfig:
        config = composed.pop(tuple(overrides), None)  # not twice, as the launcher changes it
        return load(master, overrides) if config is None else config

    loader.load_sweep_config = load_for_sweeper  # type: ignore[method-assign]
    return load_for_launcher


def write_config(document: Document, folder: Path, number: int, parent: int | None) -> None:
    """Write job-N.yaml: the document as a primary configuration to which Hydra adds no logging.

    Args:
        document: The job's configuration.
        folder: Where the file is written.
        number: N.
        parent: Id of the process with which the job ends; None for the process that starts the job.
    """
    hydra = document["hydra"]
    report = {
        "_target_": "hydra_plugins.process_launcher._child.Report",
        "file": str(folder / f"job-{number}.pickle"),
        "parent": parent,
        "job": {key: hydra["job"][key] for key in ("override_dirname", "config_name")},
    }
    defaults = [{"override hydra/job_logging": "none"}, {"override hydra/hydra_logging": "none"}, "_self_"]
    hydra = hydra | {"callbacks": {"process_launcher": report} | (hydra["callbacks"] or {})}
    config = OmegaConf.create({"defaults": defaults} | document | {"hydra": hydra})
    OmegaConf.save(config, folder / f"job-{number}.yaml")


@contextlib.contextmanager
def _as_hydra_config(config: DictConfig) -> Iterator[None]:
    """Make this Hydra's current configuration for a while, so that ${hydra:...} can be resolved."""
    previous = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = previous


def _document(config: DictConfig, directory: str) -> Document:
    """The configuration for a job's process, which runs in `directory`."""
    document: Document = _resolve(config, [key for key in config if key != "hydra"])
    hydra = _resolve(config.hydra, KEPT)
    # Logging stays unresolved: DDP's ranks have a hydra.job.name of their own, which gives them log files of their own.
    unresolved: Any = OmegaConf.to_container(config.hydra)
    document["hydra"] = hydra | {"mode": "RUN", "run": {"dir": directory}}
    document["hydra"] |= {key: unresolved[key] for key in ("job_logging", "hydra_logging")}
    document["hydra"] |= {"runtime": {"choices": hydra["runtime"]["choices"]}}
    document["hydra"]["job"]["env_copy"] = []  # already copied to env_set
    return document


def _resolve(config: DictConfig | ListConfig, keys: Sequence[Any] | None = None) -> Any:
    """The resolved values of a container, or of some keys, written so that loading them gives the same values again.

    What cannot be resolved stays as it was written: a job that never reads it does not fail because of it.
    """

    def value(key: Any) -> Any:
        if OmegaConf.is_missing(config, key):
            return "???"
        try:
            node = config[key]
        except OmegaConfBaseException:
            unresolved: Any = OmegaConf.to_container(config)
            return unresolved[key]
        if isinstance(node, DictConfig | ListConfig):
            return _resolve(node)
        return _escape(node)  # resolving has removed the escape of "${"

    if isinstance(config, ListConfig):
        return [value(index) for index in range(len(config))]
    return {key: value(key) for key in (config if keys is None else keys)}


def _escape(value: Any) -> Any:
    """Escape `${` and the backslashes before it, so that OmegaConf does not resolve it."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", value)
    if isinstance(value, Mapping):
        return {key: _escape(part) for key, part in value.items()}
    return [_escape(part) for part in value] if isinstance(value, list | tuple) else value
