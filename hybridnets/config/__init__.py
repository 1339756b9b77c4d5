"""The border between Hydra's configuration and everything else; only `parts` and `loggers` import torch.

A configuration becomes a `RunRequest` by `check`, once; `hybridnets.config.parts.build` builds the parts of its run.
"""

from hybridnets.config.command_line import explained, repeating_command, run_command
from hybridnets.config.dataset import load_dataset
from hybridnets.config.errors import ConfigError
from hybridnets.config.request import RunRequest, check
from hybridnets.config.schema import register
from hybridnets.config.sweep import plan

__all__ = [
    "ConfigError",
    "RunRequest",
    "check",
    "explained",
    "load_dataset",
    "plan",
    "register",
    "repeating_command",
    "run_command",
]
