"""A run is killed before or after a write, rename or sync, and started again: its files are the same in the end.

The short form takes some of these moments; HYBRIDNETS_LONG=1 takes all.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from hybridnets.cli import train
from hybridnets.training.checkpoints import load_checkpoint
from tests.conftest import ROOT, SMALL

WORDS = (*SMALL, "model=cnn", "model.dropout=0.2", "trainer.max_epochs=2", "data.batch_size=256")
KILLED = 9
SAME = ("result.json", "metrics.csv", "predictions.npz")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run(out: Path, fault: Callable[[], None] | None = None) -> int:
    """Trains in a forked process, which has torch loaded already, and returns its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            if fault:
                fault()
            GlobalHydra.instance().clear()
            sys.argv = [str(ROOT / "train.py"), *WORDS, f"out={out}"]
            code = train.main()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dying_at(moment: int, count: Path | None = None) -> Callable[[], None]:
    """Kills the process at a moment; each operation on the disk has two, before it and after it.

    Args:
        moment: The number of the moment, from 0.
        count: A file for the number of moments.
    """
    passed = 0

    def tick() -> None:
        nonlocal passed
        if passed == moment:
            os._exit(KILLED)  # nothing is flushed and no finally runs, as at a SIGKILL
        passed += 1
        if count:
            os.pwrite(counter, str(passed).encode(), 0)

    def around(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            tick()
            value = original(*arguments, **keywords)
            tick()
            return value

        setattr(owner, name, wrapped)

    counter = os.open(count, os.O_WRONLY | os.O_CREAT) if count else -1

    def install() -> None:
        for owner, name in (
            *((os, name) for name in ("open", "fsync", "ftruncate")),
            *((Path, name) for name in ("replace", "write_text", "mkdir", "unlink")),
            *((torch, "save"), (np, "savez")),
        ):
            around(owner, name)

    return install


def test_run_killed_at_any_moment_has_the_same_files_in_the_end(tmp_path: Path) -> None:
    assert run(tmp_path / "alone", dying_at(-1, tmp_path / "count")) == 0
    (alone,) = (tmp_path / "alone").glob("*/*/*/")
    moments = int((tmp_path / "count").read_text())
    assert moments > 60
    chosen = range(moments) if os.environ.get("HYBRIDNETS_LONG") else range(5, moments, 23)
    for moment in chosen:
        out = tmp_path / f"killed{moment}"
        assert run(out, dying_at(moment)) == KILLED
        for result in out.rglob("result.json"):  # an existing file is complete
            assert result.read_bytes() == (alone / "result.json").read_bytes(), moment
        assert run(out) == 0, moment
        folder = out / alone.relative_to(tmp_path / "alone")
        for name in SAME:
            assert (folder / name).read_bytes() == (alone / name).read_bytes(), (moment, name)
        best, expected = (load_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"] for run in (folder, alone))
        assert all(torch.equal(tensor, best[name]) for name, tensor in expected.items()), moment
