"""What a configuration asks for, resolved and checked once: the value that a run's parts are built from."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from hybridnets.config.backbone import Backbone, check_same_images, finished_backbone
from hybridnets.config.dataset import load_dataset
from hybridnets.config.errors import ConfigError
from hybridnets.config.identity import identity_of
from hybridnets.config.overrides import at_home
from hybridnets.config.place import check_place
from hybridnets.config.rules import check_rules
from hybridnets.config.schema import scratch
from hybridnets.data.dataset import ImageDataset
from hybridnets.program import few
from hybridnets.runs import Run, store


@dataclass(frozen=True, eq=False)
class RunRequest:
    """A checked configuration, and what follows from it.

    Attributes:
        cfg: The configuration.
        settings: The same resolved, as plain values.
        run: The run that it asks for.
        dataset: Its data set.
        backbone: The run that its model needs; None where it needs none.
        is_trial: Whether the run only tests the whole way: nothing of it is kept, and its backbone may be untrained.
    """

    cfg: DictConfig
    settings: Mapping[str, Any]
    run: Run
    dataset: ImageDataset
    backbone: Backbone | None
    is_trial: bool

    def yaml(self) -> str:
        """The resolved configuration as YAML."""
        return OmegaConf.to_yaml(self.cfg, resolve=True)

    def check_diverged(self) -> None:
        """Refuses a run that would only diverge again.

        Raises:
            ConfigError: If it diverged before, and retry_diverged is false.
        """
        if not self.settings["retry_diverged"] and (divergence := divergence_message(self.run)):
            raise ConfigError(f"{self.run.name} is not trained again: {divergence}")


def resolve(cfg: DictConfig) -> RunRequest:
    """Resolves a configuration, checks it against every rule and loads its data set; does not make the run's folder.

    Raises:
        ValueError: With one sentence that names key, rule and value.
    """
    check_rules(cfg)
    settings: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    dataset = load_dataset(settings["data"]["dataset"])
    backbone = _backbone(settings)
    identity = identity_of(settings, dataset.sha256, backbone.identity if backbone else None)
    if backbone:
        check_same_images(identity, backbone.identity)
    is_trial = bool(settings["trainer"].get("fast_dev_run"))
    out = Path(scratch("trial") if is_trial else at_home("out", settings["out"]))
    run = Run(out, identity)
    check_place(out, run.folder, settings["data"]["name"])
    return RunRequest(cfg, settings, run, dataset, backbone, is_trial)


def _backbone(settings: Mapping[str, Any]) -> Backbone | None:
    """The run that a model needs.

    Raises:
        ConfigError: If there must be one and is not, or if the model takes none.
    """
    model = settings["model"]
    class_name = str(model.get("_target_", "this model")).rpartition(".")[2]
    if "backbone" not in model:
        if settings["backbone"] is not None:
            raise ConfigError(f"backbone must be null for {class_name}, which uses none, got {settings['backbone']}")
        return None
    requested = model["backbone"]
    if requested is None:
        raise ConfigError(
            f"backbone is missing, which {class_name} needs: give the folder of a finished run, or overrides that name one, as "
            "in 'backbone=[model=cnn]'"
        )
    if isinstance(requested, str):
        return finished_backbone(Path(requested))
    overrides = () if isinstance(requested, Mapping) else tuple(requested)
    cfg = _composed(GlobalHydra.instance().hydra, overrides) if overrides else OmegaConf.create(requested)
    try:
        request = resolve(cfg)
    except ValueError as error:
        raise ConfigError(f"backbone must name a run that can be trained, got {requested}: {error}") from error
    return Backbone(request.run.identity, request.run.folder, request, overrides)


@functools.cache  # once for all runs of a sweep that use it
def _composed(hydra: Any, overrides: tuple[str, ...]) -> DictConfig:  # noqa: ARG001 (another Hydra may compose otherwise)
    return compose(HydraConfig.get().job.config_name or "config", list(overrides))


def divergence_message(run: Run) -> str:
    """Why a run is not tried again: its last attempt diverged; empty where it did not."""
    return f"{store.reason(run.folder)} (retry_diverged=true tries it again)" if store.diverged(run.folder) else ""


def changed_code_message(runs: Iterable[Run]) -> str:
    """Says which finished runs were trained with other code of the user's own; empty where none was.

    Args:
        runs: Finished runs.
    """
    changed = {run.name: run.changed_code() for run in runs}
    names = [name for name, modules in changed.items() if modules]
    if not names:
        return ""
    modules = ", ".join(sorted({module for modules in changed.values() for module in modules}))
    return (
        f"{modules} has changed since {few(names, 1)} finished: such runs are not trained again; for runs of the new code "
        "give another out=, or the class another name"
    )
