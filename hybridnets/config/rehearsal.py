"""The rehearsal of a sweep, as its parent drives it: a process that builds every variant once before the first job."""

import atexit
import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
from typing import IO, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hybridnets import signals
from hybridnets.config.errors import ConfigError
from hydra_plugins.process_launcher import Progress, end_with_parent

COMMAND = [sys.executable, "-m", "hybridnets.config.rehearse"]


class Rehearsal:
    """The process. It is separate because the sweep's parent does not import torch.

    Attributes:
        process: The process, once it is started.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.errors: IO[str] | None = None
        signals.at_end(self.kill)
        atexit.register(self.stop)

    def start(self) -> None:
        """Starts the process, which imports torch and waits."""
        self.stop()
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (stop closes it)
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            text=True,
            start_new_session=True,  # only the parent handles the terminal's Ctrl-C
            preexec_fn=functools.partial(end_with_parent, os.getpid()),  # also where that is killed
        )

    def run(self, variants: list[str]) -> None:
        """Builds the variants in the process, and waits for it.

        Args:
            variants: Configurations as JSON.

        Raises:
            ConfigError: With the sentence of the first part that cannot be built.
        """
        if not self.process or self.process.poll() is not None:
            self.start()
        assert self.process and self.process.stdin and self.process.stdout and self.errors
        progress = Progress(f"checking {len(variants)} variant{'s' * (len(variants) > 1)}", len(variants))
        try:
            with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:  # its output has the reason
                pipe.write(f"[{','.join(variants)}]")
            for built, _ in enumerate(self.process.stdout, start=1):
                progress.show(built)
                if built == len(variants):
                    return  # an interpreter with torch takes a while to end by itself
            code = self.process.wait()
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines()
        finally:
            progress.end()
            self.stop()
        if lines and code > 0:
            raise ConfigError(lines[-1])
        raise ConfigError(f"the variants cannot be checked: the process that builds them ended with code {code}")

    def stop(self) -> None:
        """Ends the process, and closes its files."""
        if self.process:
            self.kill()
            self.process.wait()
            for file in (self.process.stdin, self.process.stdout, self.errors):
                if file:
                    with contextlib.suppress(BrokenPipeError):
                        file.close()
            self.process = None

    def kill(self) -> None:
        """Kills the process; without wait(), whose lock may be held when a signal's handler calls this."""
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


rehearsal = Rehearsal()


class StartEarly(Callback):
    """Starts the rehearsal while Hydra composes a sweep's configurations, which takes about as long as importing torch."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:  # noqa: ARG002
        """Starts it."""
        rehearsal.start()
