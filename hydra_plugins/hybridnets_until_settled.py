"""The sweeper of `hybridnets train until=settled`: a batch of seeds after the other, until the question is settled.

Hydra imports every module of this package in each of its applications, so hybridnets is imported only when a sweep needs it.
"""

import sys
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from hydra_plugins.process_launcher import JobFailed


class UntilSettledSweeper(BasicSweeper):
    """Sweeps as Hydra's own sweeper does, but decides after each batch whether there is another one."""

    def sweep(self, arguments: list[str]) -> Any:
        """Trains the seeds of each look.

        Args:
            arguments: The overrides of the command line.

        Raises:
            ConfigError: If the sweep does not declare one question and its design.
        """
        from hybridnets.config.until import Study

        self.study = Study(self.config, [*self._parse_config(), *arguments])
        try:
            return super().sweep(self.study.with_all_seeds(arguments))
        except SystemExit as ended:  # with which the launcher ends a dry run, after the first look's jobs
            if self.study.is_rehearsal and not ended.code and (jobs := self.study.all_looks(*(self.overrides or ()))):
                assert self.launcher is not None
                self.launcher.launch(jobs, initial_job_idx=0)
            raise
        except JobFailed:
            print(self.study.stopped(), file=sys.stderr)
            raise

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        """The overrides of the runs that the next look needs, and no earlier one did."""
        (jobs,) = self.overrides or ((),)
        batch = self.study.batch(jobs, self.batch_index)
        self.batch_index += 1
        return batch

    def is_done(self) -> bool:
        """Whether the question is settled, or the last look was taken; it takes the look that is due."""
        return self.batch_index > 0 and self.study.look()
