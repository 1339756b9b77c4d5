"""The group of loggers: each run has its own, a resumed run continues it, and slips are reported before anything trains."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybridnets.config.loggers import LogIdentity
from tests.conftest import ROOT, SMALL, Said

CNN = (*SMALL, "model=cnn")


def stopped(monkeypatch: pytest.MonkeyPatch, command: Callable[..., Said], *words: str) -> None:
    """Stops a run in its first epoch."""
    with monkeypatch.context() as patch:
        patch.setattr(LogIdentity, "on_train_epoch_start", lambda *_: os.kill(os.getpid(), signal.SIGUSR2))
        assert "stopped on request after epoch" in command(*words).err


def measured(folder: Path, key: str) -> list[float]:
    """The values of a metric in the run's own metrics.csv."""
    return [float(row[key]) for row in csv.DictReader((folder / "metrics.csv").read_text().splitlines())]


def test_tensorboard_writes_in_the_runs_folder_and_continues_after_a_resume(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'hybridnets[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = (*CNN, "logger=tensorboard")
    stopped(monkeypatch, command, *words)
    for seed in (0, 1):
        answer = command(*words, f"seed={seed}")
        assert answer.code == 0, answer.err
    folders = sorted(tmp_path.glob("runs/digits/cnn/seed=*"))
    assert len(folders) == 2
    for seed, folder in enumerate(folders):
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        for key in ("train/loss", "train/acc", "val/loss", "val/acc"):
            scalars = events.Scalars(key)
            assert [scalar.value for scalar in scalars] == pytest.approx(measured(folder, key), abs=1e-6)
            assert scalars[0].step < scalars[1].step
        settings = (folder / "tensorboard" / "hparams.yaml").read_text()
        assert f"seeds:\n  split: {seed}\n  init: {seed}\n" in settings
        assert "_target_: hybridnets.models.CNN" in settings
        assert "python" not in settings  # plain values
        assert b"optimizer/lr" in events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    written = {path for path in tmp_path.rglob("*tfevents*")}
    assert written == {path for folder in folders for path in folder.glob("tensorboard/*tfevents*")}


def test_logger_does_not_change_the_run(command: Callable[..., Said], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'hybridnets[tensorboard]'")
    for logger in ("none", "tensorboard"):
        answer = command(*CNN, "trainer.max_epochs=1", f"out=with-{logger}", f"logger={logger}")
        assert answer.code == 0, answer.err
    without, with_it = (next(tmp_path.glob(f"with-{logger}/*/*/*")) for logger in ("none", "tensorboard"))
    assert without.name == with_it.name
    for name in ("result.json", "metrics.csv", "predictions.npz", "checkpoints/best.ckpt"):
        assert (without / name).read_bytes() == (with_it / name).read_bytes(), name


def test_partial_logger_is_completed(command: Callable[..., Said], tmp_path: Path) -> None:
    answer = command(
        *(*CNN, "trainer.max_epochs=1", "+logger._target_=pytorch_lightning.loggers.CSVLogger"),
        *("+logger._partial_=true", "+logger.name=mine", "+logger.version=''"),
    )
    assert answer.code == 0, answer.err
    assert len(list(tmp_path.glob("runs/digits/cnn/seed=0-*/mine/metrics.csv"))) == 1


@pytest.mark.parametrize("extra", ["tensorboard", "wandb", "mlflow"])
def test_missing_extra_is_named_before_anything_is_written(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, extra, None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    answer = command(*CNN, f"logger={extra}")
    assert answer.code == 2
    assert answer.err == (
        f"train.py: logger={extra} needs {extra}, which is not installed: run pip install 'hybridnets[{extra}]'\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "file:./mlruns", "mlruns", ""])
def test_mlflow_without_a_server_is_refused_with_a_remedy(
    command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    answer = command(*CNN, "logger=mlflow")
    assert answer.code == 2
    assert f"an MLflow tracking server, http://..., got {uri or 'nothing'}: " in answer.err
    assert "python report.py --mlflow sqlite:///mlflow.db FOLDER" in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_unreachable_server_is_refused_at_once(command: Callable[..., Said], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = command(*CNN, "logger=mlflow", f"logger.tracking_uri=http://127.0.0.1:{port}")
    assert answer.code == 2
    assert f"logger.tracking_uri must be a server that answers, got http://127.0.0.1:{port} (" in answer.err
    assert not list(tmp_path.iterdir())


def test_wandb_offline_uses_no_network_and_separates_runs(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'hybridnets[wandb]'")
    # Two runs in one process, which is the worst case.
    script = """if True:
        import os, sys
        from hybridnets.cli import train
        from hydra.core.global_hydra import GlobalHydra
        for seed in SEEDS:
            GlobalHydra.instance().clear()
            os.environ["HYDRA_FULL_ERROR"] = "0"
            sys.argv = [*sys.argv[:1], *WORDS, f"seed={seed}"]
            assert train.main() == 0
    """.replace("WORDS", repr((*CNN, "trainer.max_epochs=1", "logger=wandb")))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        keys = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        environment = {**os.environ, **dict.fromkeys(keys, address), "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        for seeds in ((0, 1), (0,)):
            for result in tmp_path.glob("runs/digits/cnn/seed=0-*/result.json"):
                result.unlink()  # so that the run is resumed
            words = [sys.executable, "-c", script.replace("SEEDS", str(seeds))]
            completed = subprocess.run(
                words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert completed.returncode == 0, completed.stderr
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody connected
            proxy.accept()
    files = {}
    for folder in sorted(tmp_path.glob("runs/digits/cnn/seed=*")):
        digest = folder.name.partition("-")[2]
        files[digest] = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
        for path in files[digest]:
            assert path.name.startswith(f"run-{digest}")
            assert b"cnn seed=" + folder.name[5:6].encode() in path.read_bytes()
        assert len({path.name for path in files[digest]}) == 1  # resumed, one run for W&B
        assert all(word in files[digest][0].read_bytes() for word in (b"val/acc", b"hybridnets.models.CNN"))
    assert sorted(map(len, files.values())) == [1, 2]
    assert len(list(tmp_path.rglob("*.wandb"))) == 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow tracking server."""
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'hybridnets[mlflow]'")
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = f"server --host 127.0.0.1 --port {port} --workers 1 --backend-store-uri sqlite:///mlflow.db"
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words.split()], cwd=folder, stdout=log, stderr=log, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, (folder / "log.txt").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy
def test_mlflow_continues_after_a_resume(
    server: str, command: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    words = (*CNN, "logger=mlflow")
    stopped(monkeypatch, command, *words)
    for seed in (0, 1):
        answer = command(*words, f"seed={seed}")
        assert answer.code == 0, answer.err
    client: Any = MlflowClient(server)
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert {run.info.run_name for run in runs} == {"cnn seed=0", "cnn seed=1"}
    assert len(runs) == 2
    for run in runs:
        folder = next(tmp_path.glob(f"runs/digits/cnn/seed=*-{run.data.tags['hybridnets.hash'][:6]}"))
        values = [point.value for point in client.get_metric_history(run.info.run_id, "val/acc")]
        assert values == pytest.approx(measured(folder, "val/acc"), abs=1e-6)
        assert run.info.status == "FINISHED"
        assert run.data.params["model/_target_"] == "hybridnets.models.CNN"
