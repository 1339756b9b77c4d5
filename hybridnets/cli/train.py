"""Trains one run, or with -m a sweep of them: `hybridnets train --help`."""

import os
import sys

from hybridnets import program, signals

if __name__ == "__main__":  # before the imports that take time
    signals.install(program.name("train"), then=": the same command continues where this one ended")

import hydra
from omegaconf import DictConfig

from hybridnets import config
from hybridnets.cli import help

CONF = program.folder("conf")
# How often a thread of GNU's OpenMP, which torch has on Linux, looks for work before it sleeps. Its own 300,000 times take
# milliseconds. Where another process keeps a core busy, that core's thread is late at every operation of torch, the others
# look for work meanwhile, and small networks trained up to 20 times slower with two threads: docs/performance.md. No result
# depends on it.
SPINS = "1000"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
@config.report_user_errors(CONF)
def train_run(cfg: DictConfig) -> float:
    """Trains the configured run, unless it is finished, and returns what sweepers optimise: the watched metric."""
    request = config.resolve(cfg)
    run = request.run
    if result := run.result():
        print(f"{run.name} is finished already: see {run.folder}")
        if message := config.changed_code_message([run]):
            print(message, file=sys.stderr)
        return result.monitored
    request.check_diverged()

    from hybridnets.config.build import build  # torch is imported by the runs that need it
    from hybridnets.training import train

    parts = build(request)
    if cfg.dry_run:
        print(f"{run.name} would run in {run.folder}")
        return float("nan")
    command = config.repeating_command()
    result = train(parts, command=command, configuration=request.yaml(), checkpoint=cfg.ckpt_path)
    return result.monitored


def main() -> int:
    """Runs `train_run` with the words of the command line, and returns the exit code."""
    if help.print_if_requested(sys.argv[1:]):
        return 0
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # OpenMP reads it when torch is imported, here and in every job
    return config.run_command(train_run, CONF)


if __name__ == "__main__":
    sys.exit(main())
