"""A foreign Hydra application for the tests of the launcher, run from its command line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1]  # these tests are of it, also where another version is installed


APP = """
import hydra, json, os, pathlib, signal, subprocess, sys, time
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    here = pathlib.Path.cwd()
    BODY

if __name__ == "__main__":
    main()
"""


# A user's sweeper that records what the launcher returned.
SWEEPER = """
import json
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

class Recording(BasicSweeper):
    def setup(self, **arguments):
        super().setup(**arguments)
        launch = self.launcher.launch
        def recorded(*args, **keywords):
            returns = launch(*args, **keywords)
            with open("returns.json", "w") as file:
                rows = [(r.status.name, r._return_value, r.overrides, r.cfg.x, r.hydra_cfg.hydra.job.num, r.task_name)
                        for r in returns]
                json.dump(rows, file, default=str)
            return returns
        self.launcher.launch = recorded
"""


CONFIG = """
defaults: [{override hydra/launcher: local}, _self_]
x: 0
hydra:
  sweep: {dir: out, subdir: "${hydra.job.num}"}
  sweeper: {_target_: hydra_plugins.recording.Recording}
"""


class App:
    """A foreign application in its own folder."""

    def __init__(self, folder: Path, body: str, config: str = "") -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
        self.environment |= {"PYTHONPATH": f"{SOURCE}:{folder}", "TMPDIR": str(folder / "tmp")}
        lines = body.strip().replace("\n", "\n    ")
        for name, text in {
            "app.py": APP.replace("BODY", lines),
            "conf/config.yaml": CONFIG + config,
            "hydra_plugins/recording/__init__.py": SWEEPER,
            "tmp/.keep": "",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        command = [sys.executable, "app.py", "-m", *overrides]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell's & ignores Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *overrides: str) -> tuple[int, str]:
        with self.start(*overrides) as process:
            output, _ = process.communicate(timeout=60)
        assert [path.name for path in (self.folder / "tmp").iterdir()] == [".keep"], output
        return process.returncode, output

    def returns(self) -> Any:
        return json.loads((self.folder / "returns.json").read_text())


def is_alive(file: Path) -> bool:
    """Whether the process whose id is in the file is running; a zombie is not."""
    try:
        return Path(f"/proc/{file.read_text()}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
