"""How far a run of a sweep is, as the launcher shows it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from hybridnets.config import resolve
from hybridnets.config.sweep import SweepJob
from hybridnets.runs.records import Result
from tests.conftest import SMALL


def test_progress_has_the_last_and_the_best_accuracy(composed: Callable[..., DictConfig], tmp_path: Path) -> None:
    job = SweepJob(resolve(composed("model=cnn", *SMALL, "trainer.max_epochs=4", f"out={tmp_path}")))
    assert job.progress() == (0.0, "")
    job.run.folder.mkdir(parents=True)
    (job.run.folder / "metrics.csv").write_text("epoch,val/acc\n0,0.5\n1,0.75\n2,0.7\n")
    assert job.progress() == (0.75, "epoch 3/4  val/acc 0.700 (best 0.750)")
    with job.run.claim() as attempt:  # the reported epoch is not always the one with the highest accuracy
        attempt.finish(
            Result(
                identity=job.run.identity,
                monitor="val/loss",
                best={"epoch": 0, "val/acc": 0.5, "test/acc": 0.5},
                last={"epoch": 2, "val/acc": 0.7},
                epochs=3,
                images={},
                split="",
                weights="",
                classes=(),
                parameters={"keras": 1},
            )
        )
    assert job.progress() == (0.75, "epoch 3/4  val/acc 0.700 (best 0.500)")
    (job.run.folder / "metrics.csv").write_text("epoch,val/loss\n0,0.5\n")
    assert job.progress() == (0.25, "epoch 1/4")
    (job.run.folder / "metrics.csv").write_text("epoch,val/acc\n0,half\n")
    with pytest.raises(ValueError, match="cannot be read"):
        job.progress()
