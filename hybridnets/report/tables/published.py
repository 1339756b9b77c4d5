"""What the stars of published figures counted, as a table."""

from hybridnets.report.comparing.stars import Recount, RecountedStars
from hybridnets.report.tables.table import Cell, Table, row


def recount_table(recount: Recount) -> Table:
    """A paper's star labels, and those that n independent outcomes per variant would give."""
    caption = (
        f"t = (b - a) / sqrt((a (1 - a) + b (1 - b)) / n) with n = {recount.n:,} outcomes per variant, two-sided, without "
        "pairing or correction. * p < .05, ** p < .005, *** p < .0001.",
        "A comparison in two of the paper's tables counts twice here, but once in a family.",
    )
    header = ("table", "variant", "baseline", "difference", "published", "p", "recounted", "same")
    rows = tuple(map(_row, recount.comparisons))
    return Table("published", "What the published stars counted", header, rows, caption, labels=3)


def _row(comparison: RecountedStars) -> tuple[Cell, ...]:
    published, p = comparison.published, comparison.p
    difference = float(published["difference"])
    return row(
        *(published["table"], published["candidate"], published["baseline"]),
        Cell(f"{difference:+.2f}", difference / 100),
        published["stars"] or "-",
        Cell("n/a" if p is None else f"{p:.2g}", p),
        comparison.stars or "-",
        "yes" if comparison.agrees else "NO",
    )


def recount_verdict(recount: Recount) -> str:
    """What the number of reproduced star labels says about how they came about."""
    total, agreeing = len(recount.comparisons), recount.agreeing
    counts = f"{agreeing} of {total} star labels follow from {recount.n:,} independent outcomes per variant"
    if recount.third is not None:
        counts += f", {recount.third} from {recount.n // 3:,}"
    if agreeing < total:
        return f"{counts}. So the stars were computed in another way: try another -n."
    if recount.third == agreeing:
        return f"{counts}. So these labels do not reveal what the stars counted."
    return (
        f"{counts}. So the stars probably count images, not runs: they are consistent with all val images of all runs pooled. "
        "They then say that these trained networks differ, but not whether new runs would."
    )
