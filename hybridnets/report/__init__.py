"""From finished runs to the comparison: read, paired over seeds, tested, told as text, tables, figures and one page."""

from hybridnets.report.analysis import Asked, Report, analyse
from hybridnets.report.results import Found, ReportError

__all__ = ["Asked", "Found", "Report", "ReportError", "analyse"]
