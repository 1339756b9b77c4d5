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
    """The environment that Lightning would detect itself, except under SLURM.

    There Lightning warns wherever srun is installed and not used, and takes a batch script, or a sweep's job in one, for a task
    that srun started.

    Raises:
        RuntimeError: If tasks were requested from srun in a way that Lightning cannot count.
    """
    # Once, because Lightning looks for SLURM again when it starts to train.
    warnings.filterwarnings("ignore", message="The `srun` command is available")
    if TorchElasticEnvironment.detect():  # first, because torchrun may run inside SLURM
        return TorchElasticEnvironment()
    if _is_one_of_several_tasks():
        return SLURMEnvironment(auto_requeue=False)  # whoever submitted the job requeues it
    for kind in (LSFEnvironment, MPIEnvironment):
        if kind.detect():
            return kind()
    return LightningEnvironment()


def _is_one_of_several_tasks() -> bool:
    """Whether srun started this process together with others; a batch script has SLURM_NTASKS too, but is not a task."""
    opted_out = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as in Lightning
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and not opted_out
