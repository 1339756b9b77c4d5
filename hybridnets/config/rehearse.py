"""Builds what the runs of a sweep will build, in a separate process, so that the sweep's parent need not import torch.

It reads a JSON list of configurations from standard input, and prints a line for each that it has built. At the first part that
cannot be built it prints the reason, one sentence, to standard error and exits with 1.
"""

import json
import sys
from typing import Any

from omegaconf import OmegaConf

from hybridnets.config.build import build, build_data
from hybridnets.config.request import resolve


def main() -> int:
    """Builds the configurations, and returns the exit code."""
    counted, sys.stdout = sys.stdout, sys.stderr  # what parts print must not be counted
    # Most variants have the same data module, and its statistics take longer than a model.
    modules: dict[str, Any] = {}
    text = sys.stdin.read()
    for settings in json.loads(text) if text else ():  # empty from a parent that has ended
        try:
            request = resolve(OmegaConf.create(settings))
            key = json.dumps([settings["data"], settings["seeds"]])
            if key not in modules:
                modules[key] = build_data(request)
            build(request, data=modules[key], is_rehearsal=True)
        except ValueError as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            return 1
        print(request.run.name, file=counted, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
