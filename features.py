"""Encodes images, and classifies their codes: `python features.py --help`; `hybridnets encode` and `hybridnets decode`."""

import sys

from hybridnets import program, signals

if __name__ == "__main__":  # before the imports that take time
    signals.install(program.name("encode"))

from hybridnets.cli.features import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
