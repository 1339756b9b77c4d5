"""The types of the configuration's top level, and the resolvers that it uses."""

import atexit
import functools
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import II, MISSING, OmegaConf

from hybridnets import signals
from hybridnets.config.overrides import complete_overrides

# Overrides that a run shares with its backbone's run, unless the backbone's own overrides differ: data, how much of it is an
# epoch, the recipe, which a data set may choose as well, seeds, machine. Single settings of a recipe are this run's alone.
TRAINER = "accelerator|devices|num_nodes|strategy|precision|sync_batchnorm|limit_train_batches|limit_val_batches"
SHARED_WITH_BACKBONE = re.compile(
    rf"[+~]*(data|recipe|seed|seeds|out|logger|retry_diverged|trainer\.({TRAINER}))([.@=].*)?", re.DOTALL
)

UNTIL_SETTLED = "hydra_plugins.hybridnets_until_settled.UntilSettledSweeper"  # the sweeper that adds seeds


@dataclass
class Seeds:
    """The seeds, which can be varied separately."""

    split: int = II("seed")
    init: int = II("seed")
    order: int = II("seed")


@dataclass
class Loss:
    """What changes the loss that is trained on."""

    label_smoothing: float = 0.0
    class_weights: Any = None


@dataclass
class Config:
    """The types of the top level, so that nodes=16,abc is refused before the first run."""

    model: Any = MISSING
    backbone: Any = None
    rnn: Any = MISSING
    data: Any = MISSING
    layers: int = MISSING
    nodes: int = MISSING
    activation: str = MISSING
    batch_norm_momentum: float = MISSING
    initialisation: str = MISSING
    seed: int = MISSING
    seeds: Seeds = field(default_factory=Seeds)
    loss: Loss = field(default_factory=Loss)
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
    """Registers the schema and the resolvers with Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    sweeper = {
        "_target_": UNTIL_SETTLED,
        "max_batch_size": None,
        "params": None,
    }
    ConfigStore.instance().store(group="hydra/sweeper", name="until_settled", node=sweeper)
    # Hydra insists on a folder for its copy of a sweep's configuration; ours is in the manifest.
    OmegaConf.register_new_resolver("scratch", scratch, replace=True)
    OmegaConf.register_new_resolver("with_shared_overrides", with_shared_overrides, replace=True)


def with_shared_overrides(backbone: Any) -> Any:
    """The overrides of a backbone's run, preceded by those that it shares with this job; other values are not changed.

    Args:
        backbone: The value of the key `backbone`.
    """
    plain = OmegaConf.to_container(backbone, resolve=True) if OmegaConf.is_config(backbone) else backbone
    if not isinstance(plain, list) or not HydraConfig.initialized():
        return plain
    hydra = HydraConfig.get()
    # A sweep's file that sets a backbone is the configuration of the backbone's run too, which has no backbone.
    reset = ["backbone=null"] * (hydra.job.config_name not in (None, "config"))
    return [*filter(SHARED_WITH_BACKBONE.fullmatch, hydra.overrides.task), *reset, *complete_overrides(plain)]


@functools.cache
def scratch(purpose: str) -> str:
    """A private folder of this process, removed at its end.

    Args:
        purpose: Its purpose; the same purpose gets the same folder.
    """
    folder = tempfile.mkdtemp(prefix=f"hybridnets-{purpose}-")
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(remove)
    signals.at_end(remove)
    return folder
