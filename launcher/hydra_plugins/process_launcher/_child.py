"""The Hydra callback that the launcher adds to each job's configuration; it runs in the job's process."""

import os
import pickle
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ._outcomes import Outcome, write_outcome
from ._processes import end_with_parent


class Report(Callback):
    """Ties the process to its parent, and writes to a file what main returned or raised.

    Processes that the job starts with its own command line, such as the ranks of Lightning's DDP, have this callback
    too: they end with the job, but write nothing.

    Args:
        file: Where the outcome is written.
        parent: Process id of the launcher; None if another process starts the job.
        job: Values for `hydra.job` that Hydra would compute from the command line, which is not the user's in this process.
    """

    def __init__(self, file: str, parent: int | None, job: Mapping[str, Any]) -> None:
        self.file = Path(file)
        self.parent = parent
        self.job = job
        # The launcher starts each job as the leader of a process group; of the tasks of a SLURM job the first one reports.
        self.reports = os.getpid() == os.getpgrp() and os.environ.get("SLURM_PROCID", "0") == "0"

    def on_run_start(self, config: DictConfig, **_kwargs: Any) -> None:
        """Make the process end with its parent, even if the parent is killed, and restore the job's values."""
        end_with_parent(self.parent if self.reports else None)
        config.hydra.job.update(self.job)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_kwargs: Any) -> None:  # noqa: ARG002
        """Write the outcome."""
        if not self.reports:
            return
        value = job_return._return_value
        if job_return.status == JobStatus.COMPLETED:
            try:
                pickle.dumps(value)
                outcome = Outcome(True, value)
            except Exception as error:  # pickle raises nearly anything
                reason = f"main returned a {type(value).__name__}, which cannot be pickled: {error}"
                outcome = Outcome(False, reasons=[reason])
        else:
            text = " ".join(str(value).split())
            reason = f"{type(value).__name__}: {text}" if text else type(value).__name__
            outcome = Outcome(False, reasons=[reason], traceback="".join(traceback.format_exception(value)))
        write_outcome(self.file, outcome)
