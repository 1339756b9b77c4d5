"""Builds what the runs of a sweep will build: a process of its own, so that the sweep's parent need not import torch.

Reads a JSON list of configurations from standard input; says the first sentence that a part refuses one with, and exits 1.
"""

import json
import sys

from omegaconf import OmegaConf

from hybridnets.config.build import build
from hybridnets.config.check import check
from hybridnets.training import assemble


def main() -> int:
    """Builds them all."""
    for settings in json.load(sys.stdin):
        cfg = OmegaConf.create(settings)
        try:
            assemble(check(cfg), build(cfg, rehearsal=True))
        except ValueError as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
