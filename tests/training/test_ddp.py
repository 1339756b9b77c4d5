"""Several processes train one run: on one node, on what looks like two, in a sweep; on the CPU, over Gloo."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from omegaconf import DictConfig
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities import rank_zero_only

from hybridnets.config import resolve
from hybridnets.config.build import build, build_data, build_model
from hybridnets.training import assemble
from hybridnets.training.callbacks import EpochRecorder
from hybridnets.training.checkpoints import load_checkpoint
from hybridnets.training.environment import environment
from hybridnets.training.parts import synchronizes
from hybridnets.training.predictions import accuracy, predict
from tests.conftest import ROOT, SMALL, Said

# 501 images to validate on: one more than a batch of theirs; 297 to test on.
WORDS = (
    *(*SMALL, "model=cnn", "data.train_fraction=0.666", "trainer.accelerator=cpu"),
    *("data.augment.mixup=0.2", "loss.class_weights=balanced"),
)
DDP = (*WORDS, "trainer.strategy=ddp")
# The variables that srun sets for the second of two tasks.
SECOND = {
    **{"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "1"},
    **{"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"},
}
# The variables with which launchers number processes; the environment of the tests must not set them.
NUMBERS = ("SLURM_", "TORCHELASTIC_", "LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE", "MASTER_")


def start(out: Path, *words: str, variables: Mapping[str, str] = MappingProxyType({})) -> subprocess.Popen[str]:
    """Starts train.py with srun installed and with warnings as errors."""
    tools = out.parent / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "srun").touch(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(NUMBERS)}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::UserWarning", "TMPDIR": str(out.parent)}
    environment |= {"PATH": f"{tools}:{environment['PATH']}", **variables}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words, f"out={out}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def only(out: Path, seed: int = 0) -> Path:
    (folder,) = out.glob(f"runs/*/*/seed={seed}-*")
    return folder


def assert_equal(run: Path, expected: Path) -> None:
    for name in ("result.json", "metrics.csv", "predictions.npz"):
        assert (run / name).read_bytes() == (expected / name).read_bytes(), name


class Started(NamedTuple):
    """A run by two processes of a node, the same run by two nodes of a process each, and a sweep with this run as a job."""

    single_node: subprocess.Popen[str]
    nodes: tuple[subprocess.Popen[str], subprocess.Popen[str]]
    sweep: subprocess.Popen[str]


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ddp")


@pytest.fixture(scope="module")
def started(top: Path) -> Iterator[Started]:
    """Starts everything that needs processes at once, because each of them waits a lot, mostly for imports."""
    # The sweep is a task that srun started; its jobs must not take the task's number.
    both = ("-m", *DDP, "trainer.devices=2", "seed=0,1", "hydra.launcher.jobs=1")
    sweep = start(top / "sweep" / "runs", *both, variables=SECOND)
    single_node = start(top / "one" / "runs", *DDP, "trainer.devices=2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    words = (*DDP, "trainer.devices=1", "trainer.num_nodes=2")
    first, second = (start(top / "two" / "runs", *words, variables={**address, "NODE_RANK": n}) for n in "01")
    yield Started(single_node, (first, second), sweep)
    for process in (single_node, first, second, sweep):
        process.kill()
        process.communicate()


def processes(word: str) -> dict[int, str]:
    """The command lines of the processes whose command line contains a word."""
    commands = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word in (command := (folder / "cmdline").read_text()):
                commands[int(folder.name)] = command
    return commands


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_job_fails_if_any_of_its_ranks_fails(started: Started, top: Path) -> None:
    sweep, folder = started.sweep, top / "sweep"
    while sweep.poll() is None:
        ranks = [pid for pid, command in processes(str(folder)).items() if "train_ddp_process_1" in command]
        if ranks and any(folder.glob("runs/*/*/seed=1-*")):
            os.kill(ranks[0], signal.SIGKILL)
            break
        time.sleep(0.1)
    output, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 1, output
    assert "2 settings, 2 runs, 0 finished already" in output
    assert "2 jobs: 1 finished, 1 failed" in output
    assert processes(str(folder)) == {}
    assert not (only(folder, seed=1) / "result.json").exists()
    for seed in (0, 1):
        assert len(json.loads((only(folder, seed) / "provenance.json").read_text())["attempts"]) == 1
    assert len(list(folder.glob("runs/sweeps/*.json"))) == 1  # no rank has started the sweep again


@pytest.fixture(scope="module")
def pair(started: Started, top: Path) -> Path:
    """A run that two processes of one node trained."""
    output, _ = started.single_node.communicate(timeout=300)
    assert started.single_node.returncode == 0, output
    assert "warning" not in output.lower()
    return only(top / "one")


@pytest.mark.skipif(sys.platform != "linux", reason="its test reads /proc")
def test_job_of_a_sweep_equals_a_single_run(pair: Path, top: Path) -> None:
    assert_equal(only(top / "sweep"), pair)


def test_two_nodes_equal_one_node(started: Started, pair: Path, top: Path) -> None:
    (first, _), (second, _) = [node.communicate(timeout=300) for node in started.nodes]
    assert [node.returncode for node in started.nodes] == [0, 0], first + second
    assert second == ""  # only the first process logs and writes
    folder = only(top / "two")
    assert_equal(folder, pair)
    (attempt,) = json.loads((folder / "provenance.json").read_text())["attempts"]
    assert attempt["process"] == started.nodes[0].pid


def test_results_equal_those_of_one_device_with_the_same_weights(
    pair: Path, composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    parts = build(resolve(composed(*WORDS, f"out={tmp_path}")))
    trainer, model, data = parts.trainer, parts.model, parts.data
    assert trainer.world_size == 1
    model.load_state_dict(load_checkpoint(pair / "checkpoints" / "best.ckpt")["state_dict"])
    measured = {**trainer.validate(model, data, verbose=False)[0], **trainer.test(model, data, verbose=False)[0]}
    predictions = predict(trainer, model, data)

    best = json.loads((pair / "result.json").read_text())["best"]
    assert best["val/loss"] == pytest.approx(measured["val/loss"], rel=1e-6)
    for key in ("val/acc", "test/acc"):
        # Lightning's are float32
        assert np.float32(best[key]) == np.float32(measured[key]) == np.float32(accuracy(predictions[key[:-4]]))
    with np.load(pair / "predictions.npz") as theirs:
        for part, images in (("val", data.split.val), ("test", np.arange(297))):
            assert len(images) % 2 == 1
            np.testing.assert_array_equal(theirs[f"{part}_index"], np.sort(images))  # each exactly once
            for name in ("index", "label", "class"):
                np.testing.assert_array_equal(theirs[f"{part}_{name}"], predictions[part][name])
            np.testing.assert_allclose(theirs[f"{part}_probabilities"], predictions[part]["probabilities"], atol=1e-6)


def test_attempt_records_the_devices(pair: Path) -> None:
    (attempt,) = json.loads((pair / "provenance.json").read_text())["attempts"]
    assert (attempt["devices"], attempt["device"], attempt["sync_batchnorm"]) == (2, "cpu", False)
    assert json.loads((pair / "result.json").read_text())["identity"]["trainer"]["devices"] == 2


@pytest.mark.parametrize(
    ("requested", "devices", "kind", "synchronized"),
    [
        (None, 1, "cpu", False),
        (None, 1, "cuda", False),
        (None, 2, "cpu", False),
        (None, 2, "cuda", True),
        (False, 2, "cuda", False),
        (True, 2, "cuda", True),
        (True, 1, "cuda", False),
    ],
)
def test_batch_statistics_are_synchronized_where_they_can_be(
    requested: bool | None, devices: int, kind: str, synchronized: bool
) -> None:
    assert synchronizes(requested, devices, kind) == synchronized


def test_model_with_synchronized_statistics_has_the_same_weights(
    composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    request = resolve(composed(*WORDS, "trainer.devices=2", f"out={tmp_path}"))
    two_gpus: Any = SimpleNamespace(
        world_size=2, num_devices=2, num_nodes=1, limit_train_batches=1.0, limit_val_batches=1.0
    )
    two_gpus.precision_plugin = Precision()
    two_gpus.strategy = SimpleNamespace(root_device=torch.device("cuda"))
    model = build_model(request, (3, 32, 32), 10)
    parts = assemble(build_data(request), model, two_gpus, EpochRecorder(request.run))
    kinds = [type(layer).__name__ for layer in parts.model.modules()]
    assert kinds.count("SyncBatchNorm") == 4
    assert "BatchNorm2d" not in kinds
    alone = build_model(request, (3, 32, 32), 10)
    assert alone.state_dict().keys() == parts.model.state_dict().keys()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("trainer.sync_batchnorm=true", "trainer.devices=2"),
            "trainer.sync_batchnorm must be null or false on the CPU, where torch synchronises no batch statistics, got true",
        ),
        (("trainer.devices=2", "data.batch_size=3"), "data.batch_size must be at least 4, two images for each of 2"),
        (
            ("trainer.devices=2", "trainer.strategy=ddp_fork"),
            "trainer.strategy must be one that starts new processes",
        ),
    ],
)
def test_slips(words: tuple[str, ...], sentence: str, command: Callable[..., Said], tmp_path: Path) -> None:
    answer = command(*DDP, *words)
    assert answer.code == 2
    assert answer.err.startswith(f"train.py: {sentence}")
    assert len(answer.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the given process numbers, and removes all others from the environment."""

    monkeypatch.setattr(rank_zero_only, "rank", 0)  # for the tests after: building a trainer sets it for the process

    def number(**variables: str) -> None:
        for key in os.environ:
            if key.startswith(NUMBERS):
                monkeypatch.delenv(key)
        for key, value in variables.items():
            monkeypatch.setenv(key, value)

    return number


def test_environment_is_detected(numbered: Callable[..., None]) -> None:
    numbered()
    assert type(environment()) is LightningEnvironment
    numbered(**SECOND)
    chosen = environment()
    assert isinstance(chosen, SLURMEnvironment)
    assert not chosen.auto_requeue
    numbered(**SECOND, TORCHELASTIC_RUN_ID="1")
    assert type(environment()) is TorchElasticEnvironment
    for alone in (
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"},  # a batch script
        {**SECOND, "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1"},
        {**SECOND, "SLURM_JOB_NAME": "interactive"},
    ):
        numbered(**alone)
        assert type(environment()) is LightningEnvironment


def test_devices_must_equal_the_started_processes(numbered: Callable[..., None], command: Callable[..., Said]) -> None:
    numbered(**SECOND)
    answer = command(*DDP, "trainer.devices=3")
    assert answer.code == 2
    assert (
        "trainer.devices times trainer.num_nodes must be 2, the processes that were started for the run" in answer.err
    )


def test_users_environment_is_kept(
    numbered: Callable[..., None], composed: Callable[..., DictConfig], tmp_path: Path
) -> None:
    numbered(**SECOND)
    theirs = "trainer.plugins=[{_target_: pytorch_lightning.plugins.environments.LightningEnvironment}]"
    trainer = build(resolve(composed(*WORDS, theirs, f"out={tmp_path}"))).trainer
    assert type(trainer._accelerator_connector.cluster_environment) is LightningEnvironment
