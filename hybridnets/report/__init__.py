"""From finished runs to the comparison: read, paired over seeds, tested, told as text, tables, figures and one page."""

from hybridnets.report.analysis import Report, Request, analyse
from hybridnets.report.reading.results import ReportError, RunSet

__all__ = ["Report", "ReportError", "Request", "RunSet", "analyse"]
