"""Training one run: its parts, and the four steps from there to its result."""

from hybridnets.training.parts import Parts, assemble, complete_callbacks, errors_of
from hybridnets.training.steps import train

__all__ = ["Parts", "assemble", "complete_callbacks", "errors_of", "train"]
