"""Jobs of Hydra with Lightning's metrics.csv, as Hydra 1.3.8 and Lightning 2.6.6 wrote them."""

import shutil
from pathlib import Path

import pytest

from hybridnets.report import ReportError
from hybridnets.report.reading.score_kind import ScoreOptions
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.tools import hydra_jobs
from hybridnets.report.reading.tools.tool_runs import SourceError
from tests.report.reading.tools.tool_runs import read, scores

JOBS = Path(__file__).parent / "fixtures" / "hydra"
ACCURACIES = {  # test/acc in the files
    **{("linear", 0): 0.625, ("linear", 1): 0.65625, ("linear", 2): 0.65625},
    **{("mlp", 0): 0.734375, ("mlp", 1): 0.671875, ("mlp", 2): 0.5625},
}


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(JOBS, tmp_path / "multirun"))


def test_jobs_give_their_settings_and_the_proposal_is_said_first() -> None:
    runs = read(JOBS)
    assert scores(runs) == ACCURACIES
    assert runs.score.name == "test/acc"
    assert runs.problems == ()
    assert runs.head[0] == f"6 runs of Hydra read from {JOBS}; the score is the last value of test/acc."
    assert runs.head[1] == (
        "Which column is what was proposed: --map variant=model seed=seed score=test/acc; give --map to change it."
    )


def test_the_last_or_the_best_epoch_counts() -> None:
    last = scores(read(JOBS, Reading.of([], "last", ScoreOptions("val/acc"))))
    assert [last["linear", 2], last["mlp", 1]] == [0.578125, 0.59375]
    best = read(JOBS, Reading.of(["seed=seed", "variant=model"], "best", ScoreOptions("val/acc")))
    assert [scores(best)["linear", 2], scores(best)["mlp", 1]] == [0.59375, 0.65625]
    assert "the score is the largest value of val/acc, which is optimistic: the score itself chose" in best.head[0]
    assert not any("proposed" in sentence for sentence in best.head)
    loss = read(JOBS, Reading.of([], "best", ScoreOptions("val/loss")))
    assert scores(loss)["linear", 0] == 0.6403594017028809
    assert "the smallest value of val/loss" in loss.head[0]


def test_the_whole_configuration_can_be_named() -> None:
    runs = read(JOBS, Reading.of(["variant=model.hidden"]))
    assert {run.name for run in runs.runs} == {"0", "16"}
    with pytest.raises(
        ReportError, match=r"--map variant= must name a column of .*, got width: its columns are model, seed"
    ) as e:
        read(JOBS, Reading.of(["variant=model+width"]))
    assert "model.hidden" in str(e.value)
    with pytest.raises(
        ReportError, match=r"--metric or --map score= must name a column of .*, got val_acc: its columns"
    ):
        read(JOBS, Reading.of([], None, ScoreOptions("val_acc")))


def test_an_override_that_a_job_lacks_is_its_choice_or_its_configuration(jobs: Path) -> None:
    for job in ("0", "1", "2"):  # where linear and the seed are the defaults
        (jobs / job / ".hydra" / "overrides.yaml").write_text("[]\n", encoding="utf-8")
    assert scores(read(jobs)) == ACCURACIES


def test_a_seed_that_no_job_sets_is_that_of_the_configuration(jobs: Path) -> None:
    for job in ("1", "2", "4", "5"):
        shutil.rmtree(jobs / job)
    for job, model in (("0", "linear"), ("3", "mlp")):
        (jobs / job / ".hydra" / "overrides.yaml").write_text(f"- model={model}\n", encoding="utf-8")
    assert scores(read(jobs)) == {("linear", 0): 0.625, ("mlp", 0): 0.734375}


def test_seeds_of_one_variant_are_one_variant(jobs: Path) -> None:
    for job in ("3", "4", "5"):
        shutil.rmtree(jobs / job)
    for job in ("0", "1", "2"):
        (jobs / job / ".hydra" / "overrides.yaml").write_text(f"- seed={job}\n", encoding="utf-8")
    assert {name for name, _ in scores(read(jobs))} == {"linear"}


def test_a_job_without_scores_is_missing_and_one_cut_short_is_named(jobs: Path) -> None:
    (jobs / "5" / "csv" / "version_0" / "metrics.csv").unlink()
    table = jobs / "4" / "csv" / "version_0" / "metrics.csv"
    table.write_text("\n".join(table.read_text(encoding="utf-8").splitlines()[:3]) + "\n1,7,,,,,0.6", encoding="utf-8")
    runs = read(jobs, Reading.of([], None, ScoreOptions("val/acc")))
    assert ("mlp", 2) not in scores(runs)
    assert [str(run.folder) for run in runs.missing] == [str(jobs / "5")]
    assert scores(runs)["mlp", 1] == 0.46875
    assert runs.problems[0] == f"{table}, line 4: it has other cells than the header, or no number; it is left out"
    (short,) = [sentence for sentence in runs.head if "fewer values" in sentence]
    assert f"1 run has fewer values of val/acc than the longest, as {jobs / '4'} with 1 of 3: interrupted or" in short


def test_a_score_that_is_no_number_is_a_failure(jobs: Path) -> None:
    table = jobs / "0" / "csv" / "version_0" / "metrics.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.625", "nan"), encoding="utf-8")
    runs = read(jobs)
    assert [(run.name, run.seeds[0]) for run in runs.runs if run.diverged] == [("linear", 0)]


def test_two_tables_of_one_job_are_not_mixed(jobs: Path) -> None:
    shutil.copytree(jobs / "3" / "csv" / "version_0", jobs / "3" / "csv" / "version_1")
    runs = read(jobs)
    assert (
        f"{jobs / '3'} has 2 files metrics.csv, and nothing says which is the run's: its score is missing"
        in runs.problems
    )
    assert len(runs.missing) == 1


def test_the_same_settings_twice_conclude_nothing(jobs: Path) -> None:
    shutil.copytree(jobs / "3", jobs / "6")
    assert "1 of 7 runs repeats another and is skipped" in read(jobs).head[-1]
    table = jobs / "6" / "csv" / "version_0" / "metrics.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.734375", "0.75"), encoding="utf-8")
    runs = read(jobs)
    assert runs.partial == "1 of 7 runs is left out"
    assert f"{jobs / '6'}: mlp has seed 0 twice; the first counts; it is left out" in runs.problems


def test_what_differs_within_a_variant_is_said(jobs: Path) -> None:
    for job in ("0", "1", "3"):
        config = jobs / job / ".hydra" / "config.yaml"
        config.write_text(config.read_text(encoding="utf-8").replace("epochs: 3", "epochs: 30"), encoding="utf-8")
    assert "Runs of one variant differ in epochs (3 and 30): --map variant= can tell them apart." in read(jobs).head


def test_yaml_executes_nothing_and_aliases_do_not_multiply(tmp_path: Path) -> None:
    file = tmp_path / "hparams.yaml"
    made = tmp_path / "made"
    file.write_text(
        f"a: !!python/object/apply:pathlib.Path.touch [!!python/name:x '{made}']\nb: !t {{c: 1}}\n", encoding="utf-8"
    )
    assert hydra_jobs.load_settings(file)["b"] == {"c": 1}
    assert not made.exists()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(SourceError, match="must hold at most 100,000 values, got more"):
        hydra_jobs.load_settings(file)
    file.write_text("a: [", encoding="utf-8")
    with pytest.raises(SourceError, match="cannot be read as YAML"):
        hydra_jobs.load_settings(file)


def test_lightning_without_hydra_has_its_hyperparameters(tmp_path: Path) -> None:
    for n, (model, seed) in enumerate(ACCURACIES):
        folder = tmp_path / "lightning_logs" / f"version_{n}"
        shutil.copytree(JOBS / str(n) / "csv" / "version_0", folder)
        (folder / "hparams.yaml").write_text(f"model: {model}\nseed: {seed}\n", encoding="utf-8")
    assert scores(read(tmp_path)) == ACCURACIES
