"""Writes a model card of a run or a variant: `hybridnets card --help`."""

import argparse

from hybridnets import program
from hybridnets.cli.arguments import Parser, end_with_a_sentence, epilog, path_of
from hybridnets.cli.classes import check_output
from hybridnets.program import printable

EXAMPLES = """\
examples:
  PROGRAM runs/digits/cnn                                   a variant: accuracy with its interval over seeds
  PROGRAM runs/digits/cnn/seed=0-68ad30 -o CARD.md          one run: with an interval over images

The card is written from what the runs recorded, with Hugging Face's front matter. It also says what was not
measured.
"""


def main(argv: list[str]) -> int:
    """Writes the card; returns the exit code.

    Args:
        argv: The command's name, and its arguments.
    """
    parser = Parser(
        prog="hybridnets card",
        description="Write a model card, in Markdown, of a finished run or of a variant over its seeds.",
        epilog=epilog(EXAMPLES, "card"),
    )
    parser.add_argument(
        "folder", type=path_of, metavar="FOLDER", help="folder of a run, or of a variant: runs/DATA/VARIANT"
    )
    parser.add_argument(
        "-o", "--output", type=path_of, metavar="FILE.md", help="write it to a file (default: print it)"
    )
    arguments = parser.parse_args(argv[1:])
    return end_with_a_sentence("card", lambda: _card(arguments))


def _card(arguments: argparse.Namespace) -> int:
    check_output(arguments.output, ".md")
    # Imported after the arguments are checked, so that --help does not wait for numpy.
    from hybridnets.report.rendering.card import model_card
    from hybridnets.report.rendering.card_facts import read_facts
    from hybridnets.runs.files import write_text

    groups = [*program.project_folders("conf"), program.folder("conf")]
    card = model_card(read_facts(arguments.folder, groups))
    if arguments.output is None:
        print(card, end="")
        return 0
    write_text(arguments.output, card)
    print(f"the card of {printable(str(arguments.folder))} is written: {printable(str(arguments.output))}")
    return 0
