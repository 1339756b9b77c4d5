"""The border between Hydra's configuration and everything else; only `build` imports torch."""

from hybridnets.config.check import ConfigError, check, check_diverged, command, dataset
from hybridnets.config.errors import explain
from hybridnets.config.schema import register
from hybridnets.config.sweep import plan
from hybridnets.config.words import words

__all__ = [
    "ConfigError",
    "check",
    "check_diverged",
    "command",
    "dataset",
    "explain",
    "plan",
    "register",
    "words",
]
