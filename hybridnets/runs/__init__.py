"""What a run is: its identity, its folder, its lock and its state. Everything after reads runs through here."""

from hybridnets.runs.claims import RunBusyError
from hybridnets.runs.store import Run, find

__all__ = ["Run", "RunBusyError", "find"]
