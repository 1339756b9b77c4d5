"""The format of a run's files, for their writer and their readers: one module for each file.

    result.json         result.py       what a finished run measured; its presence makes the run a finished one
    metrics.csv         metrics.py      the metrics of every epoch
    predictions.npz     predictions.py  the class and the probabilities of every val and test image at the reported epoch
    provenance.json     provenance.py   the attempts at the run: where, when, with which versions; part of no identity

The first three are deterministic. Each module raises `RecordError` for a file that does not hold what it must.
"""

from hybridnets.runs.records.errors import RecordError
from hybridnets.runs.records.metrics import Metrics
from hybridnets.runs.records.predictions import PartPredictions
from hybridnets.runs.records.provenance import Provenance
from hybridnets.runs.records.result import SCHEMA, CodeRecord, LayerRecord, Result

__all__ = ["SCHEMA", "CodeRecord", "LayerRecord", "Metrics", "PartPredictions", "Provenance", "RecordError", "Result"]
