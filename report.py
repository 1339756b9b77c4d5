"""Compares finished runs, or the scores of any project: `python report.py --help`, the same as `hybridnets report`."""

import sys

from hybridnets import program, signals

if __name__ == "__main__":  # before the imports that take time
    signals.install(program.name("report"))

from hybridnets.cli.report import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
