"""The version of hybridnets."""

__version__ = "0.2.0"
