"""What a run is: its identity, its folder, its lock and its state. Everything after reads runs through here."""

from hybridnets.runs.store import Run, RunBusyError, find

__all__ = ["Run", "RunBusyError", "find"]
