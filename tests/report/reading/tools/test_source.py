"""Which tool recorded the runs of a source is found by its content; several tools in one folder are not mixed."""

import gzip
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportError
from hybridnets.report.reading.score_kind import ScoreOptions
from hybridnets.report.reading.scores.mapping import AS_IT_IS, Reading
from hybridnets.report.reading.tools.source import read_source
from hybridnets.report.rendering.files import PAGE

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize(
    ("fixture", "tool"),
    [("hydra", "Hydra"), ("tensorboard", "TensorBoard"), ("wandb", "W&B"), ("mlflow/mlruns", "MLflow")],
)
def test_names_of_folders_do_not_matter(fixture: str, tool: str, tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / fixture, tmp_path / "results" / "x")
    runs = read_source(tmp_path, AS_IT_IS)
    assert runs is not None
    assert runs.head[0].startswith(f"6 runs of {tool} read from {tmp_path}; ")


def test_a_mixture_is_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "wandb", tmp_path / "wandb")
    (tmp_path / "mlflow.sqlite").write_bytes(gzip.decompress((FIXTURES / "mlflow" / "mlflow.db.gz").read_bytes()))
    with pytest.raises(
        ReportError, match=r"must hold the runs of one tool, got in .* W&B \(6, as .*\) and MLflow \(database\)"
    ):
        read_source(tmp_path, AS_IT_IS)


def test_an_empty_experiment_of_mlflow_is_no_mixture(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "hydra", tmp_path / "multirun")
    shutil.copytree(FIXTURES / "mlflow" / "mlruns" / "0", tmp_path / "mlruns" / "0")
    runs = read_source(tmp_path, AS_IT_IS)
    assert runs is not None
    assert runs.head[0].startswith("6 runs of Hydra")


def test_what_loggers_write_into_a_job_belongs_to_the_job(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "hydra", tmp_path / "multirun")
    for number, folder in enumerate(sorted((FIXTURES / "tensorboard").iterdir())):
        shutil.copytree(folder, tmp_path / "multirun" / str(number) / "tensorboard")
    runs = read_source(tmp_path, AS_IT_IS)
    assert runs is not None
    assert runs.score.name == "test/acc"
    for table in tmp_path.rglob("metrics.csv"):
        table.unlink()
    runs = read_source(tmp_path, AS_IT_IS)
    assert runs is not None
    assert {(run.name, run.seeds[0]): run.scores["score"] for run in runs.runs}["mlp", 0] == 0.825
    for folder in tmp_path.rglob("tensorboard"):
        shutil.rmtree(folder)
    shutil.copytree(FIXTURES / "wandb", tmp_path / "multirun" / "0" / "wandb")
    runs = read_source(tmp_path, AS_IT_IS)  # Hydra has no scores here
    assert runs is not None
    assert runs.head[0].startswith("6 runs of W&B")


def test_our_own_runs_are_none_of_another_tool(tmp_path: Path, report: Callable[..., int], capsys: Any) -> None:
    run = tmp_path / "digits" / "cnn" / "seed=0-abc"
    shutil.copytree(FIXTURES / "hydra" / "0" / "csv" / "version_0", run)
    (run / "provenance.json").write_text(json.dumps({}), encoding="utf-8")
    assert read_source(tmp_path, AS_IT_IS) is None
    assert report(tmp_path, "--map", "seed=seed") == 2
    assert "--map goes with one file of scores, or one folder of another tool's runs" in capsys.readouterr().err


def test_a_source_without_runs_is_refused(tmp_path: Path) -> None:
    assert read_source(tmp_path, AS_IT_IS) is None
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    with pytest.raises(ReportError, match="must hold a run of TensorBoard that can be read, got none"):
        read_source(tmp_path, AS_IT_IS)


def test_the_page_and_its_verification(tmp_path: Path, report: Callable[..., int], capsys: Any) -> None:
    words = ("--metric", "val/acc", "--at", "best", "--to", tmp_path / "told")
    assert report(FIXTURES / "hydra", *words) == 0
    page = (tmp_path / "told" / PAGE).read_text(encoding="utf-8")
    assert '<p class="head">6 runs of Hydra read from ' in page
    assert report("--verify", FIXTURES / "hydra", "--to", tmp_path / "told") == 0  # by the recorded options
    verified = capsys.readouterr().out
    assert "names no predictions, so its scores cannot be verified; every cell of the 5 tables" in verified
    assert report("--verify", FIXTURES / "hydra", "--metric", "test/acc", "--to", tmp_path / "told") == 1
    assert "do not agree" in capsys.readouterr().out


def test_the_best_value_is_that_of_the_chosen_metric() -> None:
    runs = read_source(FIXTURES / "tensorboard", Reading.of([], "best", ScoreOptions("val/loss")))
    assert runs is not None
    assert {run.scores["score"] for run in runs.runs if run.name == "cnn"} == {0.3, 0.29, 0.28}


@pytest.mark.parametrize("fixture", ["hydra", "tensorboard-hparams", "wandb", "mlflow/mlruns", "mlflow/mlflow.db.gz"])
def test_damage_anywhere_is_a_sentence_and_no_traceback(fixture: str, tmp_path: Path) -> None:
    draw = random.Random(0)
    for n in range(30):
        folder = tmp_path / str(n)
        if fixture.endswith(".gz"):
            folder.mkdir()
            (folder / "mlflow.db").write_bytes(gzip.decompress((FIXTURES / fixture).read_bytes()))
        else:
            shutil.copytree(FIXTURES / fixture, folder)
        file = draw.choice([path for path in sorted(folder.rglob("*")) if path.is_file()])
        content = bytearray(file.read_bytes())
        if n % 3 == 0:
            del content[draw.randrange(len(content)) :]
        else:
            for _ in range(n):
                content[draw.randrange(len(content))] = draw.randrange(256)
        file.write_bytes(content)
        try:
            read_source(folder, AS_IT_IS)
        except ReportError as error:
            assert "\n" not in str(error)  # noqa: PT017
        shutil.rmtree(folder)


def test_the_working_folder_has_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES / "hydra")
    runs = read_source(Path(), AS_IT_IS)
    assert runs is not None
    assert {run.data for run in runs.runs} == {"hydra"}
