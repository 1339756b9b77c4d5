"""Training one run: its parts, and the four steps from there to its result."""

from hybridnets.training.parts import Parts, assemble, building, run_callbacks
from hybridnets.training.steps import train

__all__ = ["Parts", "assemble", "building", "run_callbacks", "train"]
