"""Stores of MLflow: a database of 3.17, and a folder of 3.9."""

import gzip
import math
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError
from hybridnets.report.reading.score_kind import ScoreOptions
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.tools import mlflow_store
from tests.report.reading.tools.tool_runs import read, sound_scores

STORES = Path(__file__).parent / "fixtures" / "mlflow"
ACCURACIES = {("cnn", 0): 0.7, ("cnn", 1): 0.71, ("cnn", 2): 0.72, ("crnn", 0): 0.825, ("crnn", 1): 0.835}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "mlflow.db"
    path.write_bytes(gzip.decompress((STORES / "mlflow.db.gz").read_bytes()))
    return path


@pytest.fixture(params=["database", "folder"])
def store(request: pytest.FixtureRequest, database: Path) -> Path:
    return database if request.param == "database" else STORES / "mlruns"


def test_a_store_gives_parameters_metrics_and_states(store: Path) -> None:
    runs = read(store)
    assert sound_scores(runs) == pytest.approx(ACCURACIES)
    assert [(run.name, run.seeds[0]) for run in runs.runs if run.diverged] == [("crnn", 2)]
    assert runs.score.name == "val/acc"
    assert runs.runs[0].axes == {"optimizer.lr": "0.01"}
    assert runs.problems == ()
    assert "--map variant=model seed=seed score=val/acc" in runs.head[1]


def test_a_metric_that_is_no_number_is_a_failure(store: Path) -> None:
    runs = read(store, Reading.of([], "best", ScoreOptions("val/loss")))
    assert [(run.name, run.seeds[0]) for run in runs.runs if run.diverged] == [("crnn", 1), ("crnn", 2)]
    assert sound_scores(runs)["cnn", 2] == pytest.approx(0.28)


def test_an_infinite_metric_is_a_failure(database: Path) -> None:
    change(
        database,
        "UPDATE metrics SET value = 1.7976931348623157e308 WHERE step = 2 AND run_uuid IN (SELECT run_uuid FROM runs "
        "WHERE name = 'cnn-1')",
    )
    assert [(run.name, run.seeds[0]) for run in read(database).runs if run.diverged] == [("cnn", 1), ("crnn", 2)]


def test_tags_and_names_can_be_named(store: Path) -> None:
    runs = read(store, Reading.of(["variant=model+tags.note"]))
    assert {run.name for run in runs.runs} == {"cnn-fixture", "crnn-fixture"}


def test_the_folder_of_a_database_is_as_good_as_its_file(
    database: Path, report: Callable[..., int], capsys: Any
) -> None:
    assert sound_scores(read(database.parent)) == pytest.approx(ACCURACIES)
    assert report(f"sqlite:///{database}", "--no-page") == 0
    assert "6 runs of MLflow read from" in capsys.readouterr().out
    assert not database.with_name("mlflow-report").exists()


def test_every_run_is_what_mlflow_reads(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    uri, database = f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "new.db"
    client = mlflow.MlflowClient(uri)
    run = client.create_run(client.create_experiment("study", artifact_location=str(tmp_path))).info.run_id
    client.log_param(run, "model", "cnn")
    for step, value in enumerate((0.5, 0.75, float("inf"))):
        client.log_metric(run, "val/acc", value, step=step)
    client.set_terminated(run)
    (ours,) = mlflow_store.read_database(database).runs
    theirs = client.get_run(run)
    assert (ours.settings, ours.state) == (theirs.data.params, theirs.info.status.lower())
    history = {metric.step: metric.value for metric in client.get_metric_history(run, "val/acc")}
    assert ours.metrics == {"val/acc": {**history, 2: math.inf}}  # which the database holds as the largest number


def test_a_database_is_not_changed(database: Path) -> None:
    before = database.read_bytes()
    read(database)
    assert database.read_bytes() == before
    assert [file.name for file in database.parent.iterdir()] == ["mlflow.db"]


def change(database: Path, *statements: str) -> None:
    connection = sqlite3.connect(database)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_parent_that_only_groups_runs_is_none(database: Path) -> None:
    change(database, "UPDATE runs SET lifecycle_stage = 'active' WHERE name = 'deleted'")
    assert read(database).partial == "1 of 7 runs is left out"  # it has neither a variant nor a seed
    deleted = "SELECT run_uuid FROM runs WHERE name = 'deleted'"
    child = "SELECT run_uuid FROM runs WHERE name = 'cnn-0'"
    change(database, f"INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.parentRunId', ({deleted}), ({child}))")
    runs = read(database)
    assert (runs.partial, runs.problems) == ("", ())


def test_a_run_that_did_not_finish_and_was_repeated_does_not_count(database: Path) -> None:
    failed = "(SELECT run_uuid FROM runs WHERE name = 'crnn-2')"
    change(database, f"UPDATE params SET value = '0' WHERE key = 'seed' AND run_uuid = {failed}")
    runs = read(database)
    assert sound_scores(runs) == pytest.approx(ACCURACIES)
    assert not any(run.diverged for run in runs.runs)
    assert (
        "1 run that did not finish is not counted, because another of the same variant and seed finished." in runs.head
    )
    change(database, f"UPDATE runs SET status = 'FINISHED' WHERE run_uuid = {failed}")
    assert read(database).partial == "1 of 6 runs is left out"


def test_runs_of_several_experiments_are_told_apart(database: Path) -> None:
    change(
        database,
        "UPDATE runs SET experiment_id = 0 WHERE name LIKE 'crnn%'",
        "UPDATE params SET value = 'cnn' WHERE key = 'model'",
    )
    assert {run.name for run in read(database).runs} == {"study", "Default"}


def test_a_running_run_is_missing(database: Path) -> None:
    change(database, "UPDATE runs SET status = 'RUNNING' WHERE name = 'crnn-2'")
    assert [str(run.folder) for run in read(database).missing] == [f"{database}, run crnn-2"]


def test_a_locked_database_is_one_sentence(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_store, "WAIT_SECONDS", 0.05)
    other = sqlite3.connect(database)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ReportError, match=rf"{database} cannot be read as a database of MLflow \(database is locked\)"):
        read(database)
    other.close()


def test_a_foreign_or_damaged_database_is_one_sentence(tmp_path: Path, database: Path) -> None:
    foreign = tmp_path / "optuna.db"
    made = sqlite3.connect(foreign)
    made.execute("CREATE TABLE studies (a)")
    made.commit()
    made.close()
    with pytest.raises(
        ReportError, match=r"optuna.db must be a database of MLflow, got one without the table experiments"
    ):
        read(foreign)
    assert sound_scores(read(tmp_path)) == pytest.approx(ACCURACIES)  # which passes over the foreign one
    database.write_bytes(database.read_bytes()[:5000])
    with pytest.raises(ReportError, match=rf"{database} cannot be read as a database of MLflow \("):
        read(database)


def test_a_damaged_file_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(STORES, tmp_path, dirs_exist_ok=True)
    file = next(tmp_path.glob("mlruns/*/*/metrics/val/acc"))
    file.write_text("1795956808853 0.5 0\nmuch\n", encoding="utf-8")
    runs = read(tmp_path / "mlruns")
    assert runs.problems[0] == f"{file} must hold lines of time, value and step; the metric is left out"
    assert len(runs.runs) + len(runs.missing) == 6
