"""Types of the configuration's top level, and the resolver that its Hydra section needs."""

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import II, MISSING, OmegaConf


@dataclass
class Seeds:
    """What can be varied apart."""

    split: int = II("seed")
    init: int = II("seed")
    order: int = II("seed")


@dataclass
class Config:
    """Types of the top level, so that nodes=16,abc is refused before the first run."""

    model: Any = MISSING
    rnn: Any = MISSING
    data: Any = MISSING
    layers: int = MISSING
    nodes: int = MISSING
    seed: int = MISSING
    seeds: Seeds = field(default_factory=Seeds)
    optimizer: Any = MISSING
    scheduler: Any = None
    callbacks: Any = MISSING
    trainer: Any = MISSING
    logger: Any = None
    ckpt_path: str | None = None
    out: str = MISSING
    report: Any = None
    retry_diverged: bool = False
    dry_run: bool = False


def register() -> None:
    """Makes the schema and the resolvers known to Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    # Hydra insists on a folder for a sweep's own copy of its configuration; the manifest holds ours.
    OmegaConf.register_new_resolver("scratch", scratch, replace=True)


@functools.cache
def scratch() -> str:
    """This process's private folder, removed at its end."""
    folder = tempfile.mkdtemp(prefix="hybridnets-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
