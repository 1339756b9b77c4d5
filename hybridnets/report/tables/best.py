"""Which of more than two variants is the best, with what is not known of their order."""

from hybridnets.report.comparing.best import Order
from hybridnets.report.comparing.variants import DataSetVariants
from hybridnets.report.tables.table import Cell, Table, row


def best_table(order: Order, data_set: DataSetVariants) -> Table:
    """Each variant's chance to be the best, and its rank, the best first.

    Args:
        order: The order.
        data_set: The variants.
    """
    ranks, kind = order.ranks, data_set.metric(order.metric)
    places = sorted(range(len(order.labels)), key=lambda k: ranks.expected[k])
    rows = [
        row(
            order.labels[k],
            Cell(f"{ranks.best[k]:.2f}", ranks.best[k]),
            Cell(f"{ranks.expected[k]:.1f}", ranks.expected[k]),
            "{:.0f} to {:.0f}".format(*ranks.interval[k]),
        )
        for k in places
    ]
    caption = (
        f"By {kind.name}, over {ranks.n} common seeds. P(best): the probability that the variant has the best true mean. rank: "
        "expected, with its 95 % interval. A wide interval says that these seeds do not order the variants. About this data "
        "set, over seeds; it does not say by how much the best is better.",
    )
    header = ("variant", "P(best)", "rank", "95 % of ranks")
    return Table("best", "Which variant is the best", header, tuple(rows), caption, order.metric)
