"""Training one run: seed, build, fit, predict, write."""

from hybridnets.training.train import Build, train

__all__ = ["Build", "train"]
