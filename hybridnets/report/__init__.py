"""From finished runs to a report: read, paired over seeds and tested, then written as text, tables, figures and one page."""

from hybridnets.report.analysis import Report, analyse
from hybridnets.report.reading.results import ReportError, RunSet
from hybridnets.report.request import ReportRequest

__all__ = ["Report", "ReportError", "ReportRequest", "RunSet", "analyse"]
