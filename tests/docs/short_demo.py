"""`hybridnets demo` with two runs of one epoch; all else is the command's own. A document's short form runs it."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from hybridnets import cli, program

ours = program.folder

with tempfile.TemporaryDirectory() as folder:
    demo: Any = OmegaConf.load(ours("sweeps") / "demo.yaml")
    demo.hydra.sweeper.params.update({"model": "cnn,ecnn", "seed": 0, "trainer.max_epochs": 1})
    OmegaConf.save(demo, Path(folder) / "demo.yaml")
    program.folder = lambda of: Path(folder) if of == "sweeps" else ours(of)
    sys.argv[1:] = ["demo"]
    code = cli.main()
sys.exit(code)
