"""Statistics as pure functions on arrays: they know of no torch, no files and no configuration."""

from hybridnets.stats.describe import Summary, summary
from hybridnets.stats.paired import Differences, paired_differences

__all__ = ["Differences", "Summary", "paired_differences", "summary"]
