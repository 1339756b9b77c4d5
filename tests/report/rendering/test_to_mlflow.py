"""Finished runs in a real SQLite store of MLflow: every value once, also after an import was killed."""

import math
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hybridnets.report.rendering
from hybridnets.runs import Run

Make = Callable[..., Run]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own use of SQLAlchemy


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, which MLflow takes seconds to make."""
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'hybridnets[mlflow]'")
    path: Path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a store of this test's own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"  # not relative: MLflow keeps a store open by its URI


def client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")


def rows() -> dict[str, list[Any]]:
    """All that MLflow holds of runs, deleted ones included."""
    with sqlite3.connect("mlflow.db") as database:
        return {
            table: sorted(map(repr, database.execute(f"select * from {table}")))
            for table in ("experiments", "runs", "params", "metrics", "latest_metrics", "tags")
        }


def test_every_value_is_imported_once(store: str, finished: Make, report: Callable[..., int], capsys: Any) -> None:
    runs = [
        finished("cnn", 0, test=0.7, val=0.8, predictions=True),
        finished("crnn", (1, 2, 3), test=0.6, val=0.7, loss=math.nan, predictions=True),
        finished("cnn", 0, "other", predictions=True),
    ]
    assert report("--mlflow", store, Path.cwd()) == 0
    assert capsys.readouterr().out.endswith("3 imported, 0 imported before\n")
    for run in runs:
        experiment = client().get_experiment_by_name(run.identity["data"]["name"])
        (imported,) = client().search_runs([experiment.experiment_id], f"tags.`hybridnets.hash` = '{run.hash}'")
        assert (imported.info.status, imported.info.run_name) == ("FINISHED", run.name)
        assert imported.info.end_time - imported.info.start_time == 15_000
        assert Path(imported.data.tags["hybridnets.folder"]) == run.folder.resolve()
        params, result = imported.data.params, run.result()
        assert result is not None
        assert params["model._target_"] == run.identity["model"]["_target_"]
        assert params["optimizer.lr"] == "0.001"
        assert [params[f"seeds.{key}"] for key in ("split", "init", "order")] == [
            str(seed) for seed in run.identity["seeds"].values()
        ]
        for key in ("train/acc", "val/acc"):
            history = client().get_metric_history(imported.info.run_id, key)
            assert [(point.step, point.value) for point in history] == [
                (row["epoch"], row[key]) for row in run.history()
            ]
            seconds = [(point.timestamp - imported.info.start_time) / 1000 for point in history]
            assert seconds == [9, 11, 15]
        metrics = imported.data.metrics
        assert metrics["test/acc"] == result.best["test/acc"]
        assert metrics["best/val/acc"] == result.best["val/acc"]
        assert metrics["best/epoch"] == 1
        assert math.isnan(metrics["best/val/loss"]) == (run is runs[1])
    before = rows()
    assert report("--mlflow", store, Path.cwd(), runs[0].folder) == 0
    assert capsys.readouterr().out.endswith("0 imported, 3 imported before\n")
    assert rows() == before
    assert not Path("mlruns").exists()


@pytest.mark.parametrize("step", ["log_batch", "set_terminated"])
def test_an_import_that_was_killed_is_repaired(
    store: str, finished: Make, report: Callable[..., int], capsys: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from mlflow import MlflowClient

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    run = finished("cnn", 0, predictions=True)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, step, die)
        with pytest.raises(KeyboardInterrupt):
            report("--mlflow", store, run.folder)
    assert report("--mlflow", store, run.folder) == 0
    assert capsys.readouterr().out.endswith("1 imported, 0 imported before\n")
    assert report("--mlflow", store, run.folder) == 0
    assert capsys.readouterr().out.endswith("0 imported, 1 imported before\n")
    (imported,) = client().search_runs([client().get_experiment_by_name("digits").experiment_id])
    assert imported.info.status == "FINISHED"
    result = run.result()
    assert result is not None
    assert imported.data.metrics["test/acc"] == result.best["test/acc"]


def test_what_mlflow_would_refuse_is_made_to_fit(store: str, finished: Make, report: Callable[..., int]) -> None:
    odd = {"model.odd@key": "x" * 9000, "model.odd?key": [1, {"a": None}], f"model.{'k' * 400}": {}}
    run = finished("cnn", 0, **odd, **{f"model.many{n}": n for n in range(250)})
    assert report("--mlflow", store, run.folder) == 0
    (imported,) = client().search_runs([client().get_experiment_by_name("digits").experiment_id])
    params = imported.data.params
    assert len(params["model.many0"]) == 1
    assert sum(key.startswith("model.many") for key in params) == 250
    long = {value for key, value in params.items() if key.startswith("model.odd_key-")}
    assert long == {"x" * 5996 + " ...", '[1, {"a": null}]'}
    assert [value for key, value in params.items() if key.startswith("model.kkk")] == ["{}"]


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("mlflow.db", "must be sqlite:///FILE, or the address of a tracking server, got mlflow.db"),
        ("file:./mlruns", "must be sqlite:///FILE, or the address"),
        ("sqlite:mlflow.db", "must name the file as in sqlite:///mlflow.db"),
        ("sqlite:///text", "must name a SQLite file that MLflow wrote, got text"),
        ("sqlite:///text/mlflow.db", "must name a file that can be written to"),
        ("sqlite:///damaged", "MLflow at sqlite:///damaged refused: "),
    ],
)
def test_slips_are_one_sentence(
    store: str, finished: Make, report: Callable[..., int], capsys: Any, uri: str, sentence: str
) -> None:
    finished("cnn", 0)
    Path("text").write_text("text")
    database = Path("mlflow.db").read_bytes()
    Path("damaged").write_bytes(database[:4096] + b"\0" * (len(database) - 4096))
    assert report("--mlflow", uri, Path.cwd()) == 2
    error = capsys.readouterr().err
    assert error.startswith("hybridnets report: ")
    assert sentence in error
    assert len(error.splitlines()) == 1, error
    assert store


def test_an_experiment_deleted_there_is_named(
    store: str, finished: Make, report: Callable[..., int], capsys: Any
) -> None:
    run = finished("cnn", 0)
    client().delete_experiment(client().create_experiment("digits"))
    assert report("--mlflow", store, run.folder) == 2
    assert (
        "hybridnets report: MLflow's experiment digits was deleted, but its name is still in use: "
        in capsys.readouterr().err
    )


def test_without_mlflow_the_extra_is_named(
    finished: Make, report: Callable[..., int], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished("cnn", 0)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "hybridnets.report.rendering.to_mlflow", raising=False)
    monkeypatch.delattr(hybridnets.report.rendering, "to_mlflow", raising=False)
    assert report("--mlflow", "sqlite:///mlflow.db", run.folder) == 2
    assert capsys.readouterr().err == (
        "hybridnets report: --mlflow needs MLflow, which is not installed: run pip install 'hybridnets[mlflow]'\n"
    )


def test_runs_of_an_archive_name_it(store: str, finished: Make, report: Callable[..., int]) -> None:
    run = finished("cnn", predictions=True)
    assert report("--pack", Path.cwd(), "-o", "e.npz") == 0
    assert report("--mlflow", store, "e.npz") == 0
    (experiment,) = [candidate for candidate in client().search_experiments() if candidate.name == "digits"]
    (imported,) = client().search_runs([experiment.experiment_id])
    assert imported.data.tags["hybridnets.folder"] == f"e.npz/{run.folder.relative_to(Path.cwd())}"
    assert report("--mlflow", store, "digits") == 0
    assert len(client().search_runs([experiment.experiment_id])) == 1
