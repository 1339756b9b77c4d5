"""The border between Hydra's configuration and everything else; only `build` and `loggers` import torch.

A configuration becomes a `RunRequest` by `resolve`, once; `hybridnets.config.build.build` builds the parts of its run.
"""

from hybridnets.config.command_line import repeating_command, report_user_errors, run_command
from hybridnets.config.dataset import load_dataset
from hybridnets.config.errors import ConfigError
from hybridnets.config.request import RunRequest, changed_code_message, resolve
from hybridnets.config.schema import register
from hybridnets.config.sweep import plan

__all__ = [
    "ConfigError",
    "RunRequest",
    "changed_code_message",
    "load_dataset",
    "plan",
    "register",
    "repeating_command",
    "report_user_errors",
    "resolve",
    "run_command",
]
