"""Training one run: seed, build, fit, predict, write."""

from hybridnets.training.assemble import Build, assemble, building
from hybridnets.training.train import prepare, train

__all__ = ["Build", "assemble", "building", "prepare", "train"]
