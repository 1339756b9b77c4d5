"""Hydra launchers by which every job of a multirun is a process of its own, and one job's death loses that job only.

    python app.py -m hydra/launcher=local hydra.launcher.jobs=2 seed=0,1,2
    python app.py -m hydra/launcher=slurm hydra.launcher.partition=gpu seed=0,1,2

They serve any Hydra application. `hydra.launcher.plan` may name a function of the application that turns the composed
configurations into `Job`s: then equal jobs run once, finished ones not at all, those that need others after them (and the
needed ones are added where they are missing), and the table shows their progress.
"""

# Hydra imports each module of each plugin at every start, and once more those that are loaded already, which would give
# their classes twice; modules with a leading underscore it leaves alone. None of them may import torch or rich.
from ._jobs import Job, JobFailed
from ._launcher import LocalLauncher
from ._slurm import SlurmLauncher
from ._table import Progress

__all__ = ["Job", "JobFailed", "LocalLauncher", "Progress", "SlurmLauncher"]
