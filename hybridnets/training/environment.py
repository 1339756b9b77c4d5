"""Who starts the processes of a run on several devices: Lightning itself, torchrun, or a cluster's scheduler."""

import os
import warnings

from lightning_fabric.plugins import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.lsf import LSFEnvironment
from lightning_fabric.plugins.environments.mpi import MPIEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment


def environment() -> ClusterEnvironment:
    """What Lightning would look for by itself, but for SLURM.

    There it warns wherever srun is installed and not used, and takes a batch script, or a sweep's job in one, for a task
    that srun started.

    Raises:
        RuntimeError: If srun was asked for tasks in a way that Lightning cannot count.
    """
    # Said here once: Lightning looks for SLURM again at the start of a training.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    if TorchElasticEnvironment.detect():  # first, because torchrun may run inside SLURM
        return TorchElasticEnvironment()
    if _one_of_several_tasks():
        return SLURMEnvironment(auto_requeue=False)  # who submitted the job requeues it
    for other in (LSFEnvironment, MPIEnvironment):
        if other.detect():
            return other()
    return LightningEnvironment()


def _one_of_several_tasks() -> bool:
    """Whether srun started this process beside others; a batch script has SLURM_NTASKS too, but is no step's task."""
    opted_out = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as Lightning has it
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and not opted_out
