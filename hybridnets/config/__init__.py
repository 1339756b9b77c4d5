"""The border between Hydra's configuration and everything else; only `build` imports torch."""

from hybridnets.config.check import ConfigError, check, command, dataset, plan, value
from hybridnets.config.errors import explain
from hybridnets.config.schema import register

__all__ = ["ConfigError", "check", "command", "dataset", "explain", "plan", "register", "value"]
