"""Compares finished runs: `python report.py --help`."""

import argparse
import signal
import sys
from pathlib import Path

EXAMPLES = """\
examples:
  python report.py runs                                      every variant, and its differences from cnn
  python report.py runs/digits --baseline crnn-lstm-1x16     differences from another one
  python report.py runs --compare ecrnn-lstm-1x16 ecnn --csv tables

A variant is a configuration without its seeds. Its label is the name of its folder; where variants share that name, the
settings that set them apart follow ("crnn-lstm-1x16 sequence=positions", in quotes). The first table shows all labels.
"""


def main(argv: list[str] | None = None) -> int:
    """Prints the comparison of the runs in some folders, and writes it as CSV if asked to."""
    arguments = _arguments(argv)
    # After the arguments, so that --help need not wait for numpy.
    from hybridnets.report import ReportError, chosen, export, read, sections, told

    try:
        found = read(arguments.folders)
        variants, problems = sections(found)
        comparisons, notes = chosen(variants, arguments.baseline, tuple(arguments.compare))
        written = export(arguments.csv, variants, comparisons) if arguments.csv else []
        print(told(variants, comparisons, notes, [*found.problems, *problems]))
        if written:
            print(f"\nWrote {', '.join(written)} in {arguments.csv}")
    except ReportError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="report.py",
        description="Compare finished runs: accuracies of every variant over its seeds, and paired differences.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="finished runs at or below it are read")
    parser.add_argument("--baseline", metavar="LABEL", help="compare every other variant with this one (default: cnn)")
    parser.add_argument(
        "--compare",
        nargs="+",
        action="extend",
        default=[],
        metavar="LABEL",
        help="compare the first with the second, the third with the fourth",
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FOLDER",
        help="write variants.csv, differences.csv and runs.csv there, accuracies as fractions",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # report.py runs | head ends quietly
    sys.exit(main())
