"""The process that builds every variant before a sweep's first job, and how its parent reports its failure."""

import json
import os
import sys
from collections.abc import Callable, Iterator

import pytest
from omegaconf import DictConfig, OmegaConf

from hybridnets.config import ConfigError
from hybridnets.config.rehearsal import Rehearsal
from tests.conftest import SMALL


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    process = Rehearsal()
    yield process
    process.stop()


def test_each_variant_is_counted_and_the_process_ends(
    rehearsal: Rehearsal, composed: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    monkeypatch.setattr("hydra_plugins.process_launcher.Progress.show", lambda _, count: counts.append(count))
    cfgs = [composed(f"model={model}", *SMALL) for model in ("cnn", "ecnn")]
    rehearsal.start()
    assert rehearsal.process
    process = rehearsal.process.pid
    rehearsal.run([json.dumps(OmegaConf.to_container(cfg, resolve=True)) for cfg in cfgs])
    assert counts == [0, 1, 2]
    assert rehearsal.process is None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "import sys; sys.stdin.read(); print('first', file=sys.stderr); sys.exit('model.x must be y')",
            "model.x must be y",
        ),
        (
            "import os; os.kill(os.getpid(), 9)",
            "the variants cannot be checked: the process that builds them ended with code -9",
        ),
    ],
)
def test_failure_is_reported_in_one_sentence(
    rehearsal: Rehearsal, body: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybridnets.config.rehearsal.COMMAND", [sys.executable, "-c", body])
    with pytest.raises(ConfigError, match=f"^{sentence}$"):
        rehearsal.run(["{}"] * 100_000)  # more than a pipe holds


def test_process_ends_when_its_input_ends(rehearsal: Rehearsal) -> None:
    rehearsal.start()
    assert rehearsal.process
    assert rehearsal.process.communicate()[0] == ""
    assert rehearsal.process.returncode == 0
