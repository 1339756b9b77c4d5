"""The settings `hydra.launcher.*` of both launchers: name, type, default, range and meaning, each stated here only."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import CompactHydraException

MARGIN_SECONDS = 15  # of the time between SLURM's signal and its kill, reserved for requeueing the job
# Options of sbatch that the launcher sets itself.
RESERVED = {"array", "output", "error", "signal", "open-mode", "no-requeue", "wait", "parsable", "test-only"}


class LauncherError(CompactHydraException, ValueError):
    """A setting of the launcher that cannot be followed; Hydra prints its message without a traceback."""


def _number(default: float, at_least: float, meaning: str) -> Any:
    """A field for a number with a lower bound; `meaning` completes the sentence "it sets ..."."""
    return field(default=default, metadata={"at_least": at_least, "meaning": meaning})


@dataclass
class SweepSettings:
    """The settings that both launchers have."""

    jobs: int = _number(1, 1, "how many jobs run at a time")
    retries: int = _number(0, 0, "how often a job that failed is started again")
    dry_run: bool = False  # print what would run, and start nothing
    plan: str | None = None  # dotted name of a function (configs: list[DictConfig]) -> list[PlannedJob]

    def check(self) -> None:
        """Refuse values that cannot be followed.

        Raises:
            LauncherError: With the key, the rule and the value.
        """
        for setting in fields(self):
            value = getattr(self, setting.name)
            if "at_least" in setting.metadata and not value >= setting.metadata["at_least"]:  # also refuses NaN
                raise LauncherError(
                    f"hydra.launcher.{setting.name} must be {setting.metadata['at_least']} or more, got {value}: it sets "
                    f"{setting.metadata['meaning']}."
                )


@dataclass
class LocalSettings(SweepSettings):
    """The settings of `hydra/launcher=local`."""

    _target_: str = "hydra_plugins.process_launcher._launcher.LocalLauncher"
    jobs_per_gpu: int = _number(1, 1, "how many jobs share a GPU")
    on_failure: str = "continue"  # with the other jobs; or stop: running jobs finish, and no further job starts

    def check(self) -> None:
        """Refuse values that cannot be followed."""
        super().check()
        if self.on_failure not in ("continue", "stop"):
            raise LauncherError(f"hydra.launcher.on_failure must be continue or stop, got '{self.on_failure}'.")


@dataclass
class SlurmSettings(SweepSettings):
    """The settings of `hydra/launcher=slurm`."""

    _target_: str = "hydra_plugins.process_launcher._slurm.SlurmLauncher"
    partition: str | None = None  # as sbatch's option; null leaves the choice to the cluster
    account: str | None = None  # sbatch's, too
    qos: str | None = None  # sbatch's, too
    constraint: str | None = None  # sbatch's, too
    minutes: int = _number(240, 1, "a job's time limit")  # a job that needs more is queued again and continues
    cpus: int = _number(4, 1, "how many processor cores each process has")
    memory: str | None = None  # per node, as sbatch takes it, such as 16G
    jobs: int = _number(256, 1, "how many jobs of an array run at a time")
    requeues: int = _number(100, 0, "how often a job that reached its time limit is queued again")
    signal_seconds: int = _number(
        120, 2 * MARGIN_SECONDS, "how long before its time limit a job is asked to end at its next safe point"
    )
    setup: list[str] = field(default_factory=list)  # shell commands to run before a job, such as "module load cuda"
    sbatch: dict[str, Any] = field(default_factory=dict)  # further options of sbatch, without their dashes
    folder: str = "${oc.select:out,.}/slurm"  # for configurations and logs; all nodes must see it
    wait: bool = True  # stay until all jobs have ended; false: leave after submitting
    check_seconds: float = _number(10.0, 1, "how many seconds pass between two queries of the queue")

    def check(self) -> None:
        """Refuse values that cannot be followed."""
        super().check()
        if self.signal_seconds >= 60 * self.minutes:
            raise LauncherError(
                f"hydra.launcher.signal_seconds must be less than hydra.launcher.minutes, got {self.signal_seconds} s of "
                f"{self.minutes} min."
            )
        for key in RESERVED & {str(key).replace("_", "-") for key in self.sbatch}:
            raise LauncherError(f"hydra.launcher.sbatch.{key} must not be set: the launcher sets it itself.")
        if Path(self.folder) == Path():
            raise LauncherError("hydra.launcher.folder must be a folder that all nodes see, got an empty path.")


for _name, _settings in {"local": LocalSettings, "slurm": SlurmSettings}.items():
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_settings, provider="process_launcher")
