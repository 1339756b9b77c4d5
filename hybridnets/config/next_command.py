"""What a sweep says at its end: the command that compares its runs."""

import shlex
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hybridnets import program
from hybridnets.config.sweep import manifests_of_this_sweep, runs_of_last_batch


class NameReport(Callback):
    """Prints the report's command once all runs of a sweep are done."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:  # noqa: ARG002
        """Prints it, with the folder of each data set."""
        folders = dict.fromkeys(str(run.folder.parents[1]) for run in runs_of_last_batch())
        if manifests_of_this_sweep():  # runs of a trial are not kept
            print(f"compare them: {shlex.join([*program.words('report'), *folders])}", flush=True)
