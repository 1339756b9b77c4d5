"""Hydra launchers that run each job of a multirun in a process of its own, so that a job that dies takes no other with it.

    python app.py -m hydra/launcher=local hydra.launcher.jobs=2 seed=0,1,2
    python app.py -m hydra/launcher=slurm hydra.launcher.partition=gpu seed=0,1,2

They work with any Hydra application. `hydra.launcher.plan` may name a function of the application that turns the composed
configurations into `PlannedJob`s. Then equal jobs run once, finished jobs do not run at all, jobs run after those that they
need (which are added if they are missing), and the table shows their progress.

Read `_launcher.py` first. It composes the jobs (`_composition.py`), tracks them (`_jobs.py`), runs their processes
(`_processes.py`) and shows how far they are (`_output.py`). `_slurm.py` submits them to a cluster instead (`_submissions.py`,
`_task.py`). `_child.py` runs in each job's process, and reports how it ended (`_outcomes.py`).
"""

# Hydra imports each module of each plugin at every start. It imports those that are already loaded once more, which would
# duplicate their classes, but skips modules whose names begin with an underscore. None of them may import torch or rich.
from ._jobs import JobFailed, PlannedJob
from ._launcher import LocalLauncher
from ._output import Progress
from ._processes import end_with_parent
from ._slurm import SlurmLauncher

__all__ = ["JobFailed", "LocalLauncher", "PlannedJob", "Progress", "SlurmLauncher", "end_with_parent"]
