"""Builds what the runs of a sweep will build: a process of its own, so that the sweep's parent need not import torch.

Reads a JSON list of configurations from standard input, and prints a line for each that is built; says the first sentence
that a part refuses one with, and exits 1.
"""

import dataclasses
import functools
import json
import sys
from typing import Any

from omegaconf import OmegaConf

from hybridnets.config.build import build
from hybridnets.config.check import check
from hybridnets.training import prepare


def main() -> int:
    """Builds them all."""
    told, sys.stdout = sys.stdout, sys.stderr  # what parts print is none of the lines that are counted
    # Data modules: most variants have the same, and its statistics take longer than a model.
    modules: dict[str, Any] = {}
    text = sys.stdin.read()
    for settings in json.loads(text) if text else ():  # none from a parent that has ended
        cfg = OmegaConf.create(settings)
        try:
            run, parts = check(cfg), build(cfg, rehearsal=True)
            key = json.dumps([settings["data"], settings["seeds"]])
            if key not in modules:
                modules[key] = parts.data()
            prepare(run, dataclasses.replace(parts, data=functools.partial(modules.get, key)), cfg.ckpt_path)
        except ValueError as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            return 1
        print(run.name, file=told, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
