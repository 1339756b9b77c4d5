"""The demo: a sweep of four networks over handwritten digits, and its report."""

import contextlib
import functools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridnets import program, signals
from hybridnets.cli import report, training
from hybridnets.cli.arguments import Parser, path_of

DATA = "digits"  # the folder of the demo's runs


def main(argv: list[str]) -> int:
    """Trains the demo's runs and reports on them; returns the exit code.

    Args:
        argv: The command's name, and its arguments.
    """
    parser = Parser(
        prog="hybridnets demo",
        description="Sweep CNN, ECNN, CRNN and ECRNN over handwritten digits, and report on them.",
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument(
        "--out", type=path_of, default=Path("runs"), metavar="FOLDER", help="folder of the runs (default: runs)"
    )
    arguments = parser.parse_args(argv[1:])
    if arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {arguments.jobs}")
    from omegaconf import OmegaConf  # here, so that --help does not wait for it

    demo: Any = OmegaConf.load(program.folder("sweeps") / "demo.yaml")
    recipe: Any = OmegaConf.load(program.folder("conf") / "recipe" / f"{DATA}.yaml")
    introduction = _introduction(
        demo["hydra"]["sweeper"]["params"], recipe["trainer"]["max_epochs"], arguments.jobs, arguments.out
    )
    print(introduction, flush=True)
    from hybridnets.config.overrides import text_override

    out = text_override("out", str(arguments.out))
    code = training.main(["train", "-cn", "demo", f"hydra.launcher.jobs={arguments.jobs}", out])
    return code or report.main(["report", str(arguments.out / DATA)])


def _introduction(params: Mapping[str, Any], epochs: int, jobs: int, out: Path) -> str:
    """What the demo does and how long it takes, by a measured epoch if nothing has been trained yet."""
    runs = math.prod(len(str(value).split(",")) for value in params.values())
    summary = f"demo: {runs} runs of CNN, ECNN, CRNN and ECRNN on 1,797 handwritten digits, then a report"
    if any((out / DATA).glob("*/seed=*/result.json")):
        return f"{summary}; finished runs are not trained again"
    print(f"{summary} in {out / DATA / 'report'}\nmeasuring an epoch ...", flush=True)
    largest = [f"{key}={str(value).split(',')[0]}" for key, value in params.items()]
    seconds = _measure(largest)
    if seconds is None:
        return "an epoch could not be measured: the sweep will say why"
    start, epoch = seconds
    total = runs * (start + epochs * epoch) / min(jobs, runs)
    return f"an epoch of the largest network takes {epoch:.1f} s here: all of it about {max(1, round(total / 60))} min or less"


def _measure(overrides: list[str]) -> tuple[float, float] | None:
    """Seconds that a run of the demo takes to start and end, and those of one of its epochs; None where it fails."""
    from hydra_plugins.process_launcher import end_with_parent

    with tempfile.TemporaryDirectory(prefix="hybridnets-demo-") as folder:
        signals.at_end(lambda: shutil.rmtree(folder, ignore_errors=True))  # after the process below has been killed
        command = [sys.executable, "-m", "hybridnets.cli.train", "-cn", "demo", "hydra.mode=RUN", *overrides]
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, "trainer.max_epochs=2", f"out={folder}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # as a job of the sweep
            start_new_session=True,  # only the parent handles the terminal's Ctrl-C
            preexec_fn=functools.partial(end_with_parent, os.getpid()),  # also where that is killed
        )
        signals.at_end(lambda: _kill(process))
        process.wait()
        total = time.monotonic() - started
        for path in Path(folder).glob(f"{DATA}/*/*/provenance.json"):
            epochs = list(json.loads(path.read_text(encoding="utf-8"))["epoch_seconds"].values())
            if len(epochs) == 2:
                return total - sum(epochs), epochs[1]  # the first one compiles what is not compiled yet
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
