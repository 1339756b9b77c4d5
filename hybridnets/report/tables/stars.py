"""What becomes of a paper's stars: how many of its comparisons differ by each test, as a table."""

from collections.abc import Callable, Iterator, Sequence

from hybridnets.report.comparing.answers import LEVEL
from hybridnets.report.comparing.comparison import Comparison
from hybridnets.report.comparing.contrasts import ContrastComparisons
from hybridnets.report.comparing.evidence import Evidence
from hybridnets.report.comparing.families import Families, FamilyMember
from hybridnets.report.tables.cells import PUBLISHED, optimistic, test_names
from hybridnets.report.tables.table import Cell, Table, row
from hybridnets.runs.published_figures import PublishedFigures

P = Callable[[FamilyMember], float | None]


def stars_table(
    contrasts: Sequence[ContrastComparisons], families: Families, published: PublishedFigures, metrics: Sequence[str]
) -> Table | None:
    """How many of the published comparisons differ by each test, and in which direction; None where there are none here.

    Args:
        contrasts: The comparisons of our tables.
        families: How their p-values are corrected.
        published: The paper's differences and stars.
        metrics: The metrics of the runs.
    """
    columns = {contrast.title: _published(contrast, published) for contrast in contrasts}
    columns = {title: column for title, column in columns.items() if column}
    if not columns:
        return None
    figures = [column.values() for column in columns.values()]
    rows = [
        row("published", "the sign of the difference", *(_count([d for d, _ in column]) for column in figures)),
        row("published", "its stars", *(_count([d for d, stars in column if stars]) for column in figures)),
    ]
    for metric in metrics:
        members = [families.members(list(column), metric) for column in columns.values()]
        for name, p in _tests([member for column in members for member in column]):
            rows.append(row(metric, name, *(_count(_differing(column, p)) for column in members)))
    caption = (
        "+8 -0: eight of the table's comparisons favour the variant at p < .05, none the baseline. A comparison without a p, "
        "as one whose runs diverged, counts in neither.",
        f"{PUBLISHED}. Over images, a star says that these trained networks differ; over seeds, that architectures do.",
        *optimistic(metrics),
    )
    header = ("metric", "by", *(f"{title}: {len(column)}" for title, column in columns.items()))
    return Table("stars", "What becomes of the published stars", header, tuple(rows), caption, labels=2)


def _published(contrast: ContrastComparisons, published: PublishedFigures) -> dict[Comparison, tuple[float, str]]:
    """The comparisons of a contrast that were published, with their difference and stars."""
    figures = {c: published.difference(c.variant.label, c.baseline.label) for c in contrast.comparisons}
    return {comparison: figure for comparison, figure in figures.items() if figure}


def _tests(members: Sequence[FamilyMember]) -> Iterator[tuple[str, P]]:
    """The tests at a metric, from the one that finds most to the one that finds least, and how each gives its p."""

    def over(kind: Callable[[Evidence], float | None]) -> P:
        return lambda member: kind(member.evidence)

    yield "the sign of the difference", lambda _: 0.0
    yield "paired t over images (the paper's)", over(lambda e: e.pooled.p)
    yield "the same, clustered by image", over(lambda e: e.clustered.p)
    yield "plain paired t over seeds", over(lambda e: e.plain.p)
    if any(member.evidence.ratio for member in members):
        yield "corrected resampled t over seeds", over(lambda e: e.corrected.p)
    yield f"{test_names(members)}, Holm", lambda member: member.holm


def _differing(members: Sequence[FamilyMember], p: P) -> list[float]:
    """The differences of the comparisons that a test finds."""
    found = []
    for member in members:
        value = p(member)
        if not member.evidence.comparison.why_no_stars and value is not None and value < LEVEL:
            found.append(float(member.evidence.d.mean()))
    return found


def _count(differences: Sequence[float]) -> Cell:
    """How many differences are positive, and how many negative."""
    positive, negative = (sum(sign * d > 0 for d in differences) for sign in (1, -1))
    return Cell(f"+{positive} -{negative}")
