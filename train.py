"""Trains one run, or with -m a sweep of them: `python train.py --help`. The story is in hybridnets/cli/train.py."""

import sys

from hybridnets import program, signals

if __name__ == "__main__":  # before the imports that take time
    signals.install(program.name("train"), then=": the same command continues where this one ended")

from hybridnets.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
