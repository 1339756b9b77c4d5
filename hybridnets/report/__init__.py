"""From finished runs to tables: results are read, grouped into variants, paired over seeds, and told as text and CSV."""

from hybridnets.report.differences import Comparison, chosen
from hybridnets.report.export import export
from hybridnets.report.results import Finished, ReportError, read
from hybridnets.report.text import told
from hybridnets.report.variants import Section, Variant, sections

__all__ = [
    "Comparison",
    "Finished",
    "ReportError",
    "Section",
    "Variant",
    "chosen",
    "export",
    "read",
    "sections",
    "told",
]
