"""Calls the command train from another process than its own."""

import importlib.util
import sys

import __main__
from hybridnets.cli import help
from hybridnets.cli.arguments import find_modules_here


def main(argv: list[str]) -> int:
    """Runs the command train in this process, as if it had been called as `python -m hybridnets.cli.train`.

    Launchers and DDP start the program again by that name, and find modules in the working folder, as `-m` does.

    Args:
        argv: The command's name, and its arguments.
    """
    spec = importlib.util.find_spec("hybridnets.cli.train")
    assert spec is not None
    assert spec.origin is not None
    __main__.__spec__ = spec
    sys.argv[:] = [spec.origin, *argv[1:]]
    find_modules_here()

    if help.print_if_requested(argv[1:]):  # before Hydra is imported
        return 0
    from hybridnets.cli import train

    return train.main()
