"""`hybridnets demo` with two runs of one epoch; all else is the command's own. A document's short form runs it."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hybridnets import cli, program
from hybridnets.cli import demo

ours = program.folder

with tempfile.TemporaryDirectory() as folder:
    sweep: Any = OmegaConf.load(ours("sweeps") / "demo.yaml")
    sweep.hydra.sweeper.params.update({"model": "cnn,ecnn", "seed": 0, "trainer.max_epochs": 1})
    OmegaConf.save(sweep, Path(folder) / "demo.yaml")
    program.folder = lambda of: Path(folder) if of == "sweeps" else ours(of)
    demo._measure = lambda overrides: (1.0, 1.0)  # noqa: ARG005  tests/cli/test_demo.py has the measurement
    sys.argv[1:] = ["demo"]
    code = cli.main()
sys.exit(code)
