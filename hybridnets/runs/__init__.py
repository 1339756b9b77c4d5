"""What a run is: its identity, its folder, its lock and its state. Reports and predictions read runs through this package."""

from hybridnets.runs.claims import RunBusyError
from hybridnets.runs.store import Run, find

__all__ = ["Run", "RunBusyError", "find"]
