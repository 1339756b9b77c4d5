"""The Hydra callback that the launcher puts into each job's configuration: it runs in the job's process."""

import ctypes
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from ._processes import write_report

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Report(Callback):
    """Ties the process to its parent and writes what main returned or raised to a file.

    Processes that the job starts with its own command line, such as the ranks of Lightning's DDP, have this callback
    too: they end with the job, but do not report.

    Args:
        file: Where the report goes, a pickle.
        parent: Process id of the launcher; None where another process starts the job.
        job: Values for `hydra.job` that Hydra computes from the command line, which is not the job's own here.
    """

    def __init__(self, file: str, parent: int | None, job: Mapping[str, Any]) -> None:
        self.file = Path(file)
        self.parent = parent
        self.job = job
        # The launcher starts each job as the leader of a group; of the tasks of a job of SLURM's the first reports.
        self.reports = os.getpid() == os.getpgrp() and os.environ.get("SLURM_PROCID", "0") == "0"

    def on_run_start(self, config: DictConfig, **_kwargs: Any) -> None:
        """End when the parent ends, even if that is killed, and restore the job's values."""
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.reports and self.parent and os.getppid() != self.parent:  # it died before this line
            os._exit(1)
        config.hydra.job.update(self.job)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_kwargs: Any) -> None:  # noqa: ARG002
        """Write the report."""
        if not self.reports:
            return
        value = job_return._return_value
        if job_return.status == JobStatus.COMPLETED:
            try:
                report = pickle.dumps({"value": value})
            except Exception as error:  # pickle raises nearly anything
                reason = f"main returned a {type(value).__name__}, which cannot be pickled: {error}"
                report = pickle.dumps({"reason": reason, "traceback": ""})
        else:
            text = " ".join(str(value).split())
            reason = f"{type(value).__name__}: {text}" if text else type(value).__name__
            report = pickle.dumps({"reason": reason, "traceback": "".join(traceback.format_exception(value))})
        write_report(self.file, report)
