"""What the stars of published figures counted."""

from hybridnets import stats
from hybridnets.report.reading.results import ReportError
from hybridnets.report.tables.table import Cell, Table, row


def recount(found: list[dict[str, str]], n: int) -> tuple[Table, str]:
    """What the stars of a paper counted: its labels beside those that n uncorrelated outcomes a variant would give.

    Args:
        found: Its comparisons, as `rows` reads them.
        n: Outcomes a variant: images of val, times runs.

    Returns:
        The table, and a sentence on how many labels this n reproduces.

    Raises:
        ReportError: If they are accuracies by class, which have no stars.
    """
    if "class" in found[0]:
        raise ReportError("--published must be a CSV of comparisons with stars, got one of accuracies by class")
    numbers = [(float(each["baseline_accuracy"]) / 100, float(each["candidate_accuracy"]) / 100) for each in found]
    lines = []
    for each, (a, b) in zip(found, numbers, strict=True):
        test = stats.uncorrelated(a, b, n)
        stars = "" if test.p is None else stats.stars(test.p)
        lines.append(
            row(
                *(each["table"], each["candidate"], each["baseline"]),
                Cell(f"{float(each['difference']):+.2f}", float(each["difference"]) / 100),
                Cell(each["stars"] or "-"),
                Cell("n/a" if test.p is None else f"{test.p:.2g}", test.p),
                Cell(stars or "-"),
                Cell("yes" if stars == each["stars"] else "NO"),
            )
        )
    labels = [each["stars"] for each in found]
    first, second = (list(side) for side in zip(*numbers, strict=True))
    third = n // 3
    same = {count: stats.reproduced(first, second, labels, count) for count in (n, third) if count >= 2}
    said = f"{same[n]} of {len(found)} star labels follow from {n:,} outcomes a variant taken as independent"
    said += f", {same[third]} from {third:,}. " if third in same else ". "
    if same[n] < len(found):
        said += "So this is not how the stars came about: try another -n."
    elif same.get(third, 0) == same[n]:
        said += "So these labels do not tell what the stars counted."
    else:
        said += (
            "So the stars probably count images, not trainings: they are consistent with all val images of all runs pooled, "
            "which says that those trained networks differ. What another training would give, they do not say."
        )
    header = ("table", "variant", "baseline", "difference", "published", "p", "recounted", "same")
    caption = (
        f"t = (b - a) / sqrt((a (1 - a) + b (1 - b)) / n) with n = {n:,} outcomes a variant, two-sided, no pairing, no "
        "correction. * p < .05, ** p < .005, *** p < .0001.",
        "Comparisons that stand in two tables are counted twice here, and once in a family.",
    )
    return Table("published", "What the published stars counted", header, tuple(lines), caption, left=3), said
