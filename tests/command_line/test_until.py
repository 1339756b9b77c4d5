"""`until=settled`: a sweep that adds seeds in declared steps, from the command line to the report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hybridnets import stats
from tests.command_line.test_sweep import python
from tests.conftest import SMALL, Said

UNTIL = {"looks": [2, 3], "method": "pocock", "train": "primary"}
QUESTION = {
    "variant": "ecnn",
    "baseline": "cnn",
    "metric": "test",
    "margin": 90.0,
}  # within which any two are equivalent


def write_sweep(folder: Path, **changes: object) -> None:
    report = {"primary": QUESTION, "until": UNTIL, **changes}
    params = {key: value for key, _, value in (word.partition("=") for word in SMALL)}
    params |= {
        "model": "cnn,ecnn,crnn",
        "rnn": "lstm",
        "nodes": "4",
        "seed": "5",
        "trainer.max_epochs": "1",
        "trainer.limit_train_batches": "2",
    }
    content = {
        "defaults": ["config", "_self_"],
        "report": {key: value for key, value in report.items() if value is not None},
        "hydra": {"mode": "MULTIRUN", "sweeper": {"params": params}, "launcher": {"jobs": 2}},
    }
    (folder / "question.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content), encoding="utf-8")


def test_seeds_are_added_until_the_question_is_settled(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    words = ("--config-dir", ".", "-cn", "question", "until=settled", "recipe=cifar10")
    completed = python("train.py", *words, cwd=tmp_path)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    looks = [line for line in completed.stdout.splitlines() if line.startswith("look ")]
    (path,) = (tmp_path / "runs" / "sweeps").glob("*.json")
    content = json.loads(path.read_text())
    assert len(content["looks"]) == len(looks)
    by_variant: dict[str, dict[int, float]] = {}
    for result in (json.loads(p.read_text()) for p in (tmp_path / "runs").rglob("result.json")):
        by_variant.setdefault(result["variant"], {})[result["seeds"]["init"]] = result["best"]["test/acc"]
    seeds = sorted(by_variant["ecnn"])
    assert seeds == list(range(5, 5 + content["looks"][-1]["n"]))  # counted from the first declared seed
    assert sorted(by_variant["cnn"]) == seeds
    assert sorted(by_variant["crnn-lstm-1x4"]) == seeds[:2]  # only the question's variants get more
    d = [by_variant["ecnn"][seed] - by_variant["cnn"][seed] for seed in seeds]
    expected = stats.sequential(d, UNTIL["looks"], "pocock", 0.9)  # type: ignore[arg-type]
    assert [look["settled"] for look in content["looks"]] == [look.settled for look in expected]
    assert content["looks"][-1]["estimate"] == pytest.approx(expected[-1].estimate)
    assert content["looks"][-1]["settled"] == "equivalent" or len(looks) == 2

    times = [look["time"] for look in content["looks"]]
    again = python(
        "train.py", *words, cwd=tmp_path
    )  # the same command trains nothing, and keeps when the looks were taken
    assert again.returncode == 0
    assert "started" not in again.stdout
    assert [look["time"] for look in json.loads(path.read_text())["looks"]] == times

    reported = python("report.py", "runs", "--no-page", cwd=tmp_path)
    text = " ".join(reported.stdout.split())
    assert "the group-sequential t over seeds, with Pocock-like spending" in text
    assert "Declared " in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"until": None}, "got 1 questions and no design"),
        ({"primary": None}, "got 0 questions and a design"),
        ({"until": {"looks": [5, 3]}}, "report.until must look at increasing numbers of seeds from 2 on, got 5, 3"),
        ({"until": {"first": 0}}, "report.until.first must be a whole number from 1 to 1000, got 0"),
        ({"until": {"first": 5, "looks": [3]}}, "report.until must have looks, or first, most and every, got both"),
        ({"until": {"method": "peek"}}, "report.until.method must be anytime, obrien-fleming or pocock, got peek"),
        ({"until": {"train": "best"}}, "report.until.train must be primary or all, got best"),
        ({"until": {"most": "many"}}, "report.until.most must be a whole number from 1 to 1000, got many"),
    ],
)
def test_a_design_that_cannot_be_followed_is_refused(
    changes: dict[str, object], sentence: str, tmp_path: Path, command: Callable[..., Said]
) -> None:
    write_sweep(tmp_path, **changes)
    said = command("--config-dir", ".", "-cn", "question", "until=settled")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "words", "sentence"),
    [
        (
            {"primary": {**QUESTION, "variant": "ecn"}},
            (),
            "two variants that the sweep trains, got ecn, which the sweep does not train: its variants are cnn, crnn-lstm-1x4, "
            "ecnn; did you mean ecnn?",
        ),
        (
            {"primary": {**QUESTION, "baseline": "ecrnn-gru-2x8"}},
            (),
            "got ecrnn-gru-2x8, which the sweep does not train: its variants are cnn, crnn-lstm-1x4, ecnn; to train it, sweep "
            "over model=ecrnn rnn=gru layers=2 nodes=8, too",
        ),
        (
            {},
            ("model.channels=[2],[3]",),
            "got ecnn, which 2 of them are called: add the settings in which they differ",
        ),
        ({}, ("out=a,b",), "out must be one folder if until=settled, got a, b"),
        (
            {},
            ("trainer.fast_dev_run=true",),
            "trainer.fast_dev_run must be null if until=settled: its runs are not kept",
        ),
    ],
)
def test_a_question_that_the_sweep_cannot_answer_is_refused(
    changes: dict[str, object], words: tuple[str, ...], sentence: str, tmp_path: Path, command: Callable[..., Said]
) -> None:
    write_sweep(tmp_path, **changes)
    said = command("--config-dir", ".", "-cn", "question", "until=settled", *words)
    assert said.code == 2
    assert sentence in said.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("train", "looks", "runs"),
    [
        ("primary", ["look 1: 2 seeds, 6 runs", "look 2: 3 seeds, 2 more runs", "look 3: 5 seeds, 4 more runs"], 12),
        ("all", ["look 1: 2 seeds, 6 runs", "look 2: 3 seeds, 3 more runs", "look 3: 5 seeds, 6 more runs"], 15),
    ],
)
def test_a_dry_run_shows_all_looks(
    train: str, looks: list[str], runs: int, tmp_path: Path, command: Callable[..., Said]
) -> None:
    write_sweep(tmp_path, until={"looks": [2, 3, 5], "method": "pocock", "train": train})
    said = command("--config-dir", ".", "-cn", "question", "until=settled", "dry_run=true")
    assert said.code == 0
    lines = said.out.splitlines()
    assert [line for line in lines if line.startswith("look ")] == looks
    assert "if the question stays open until the last look:" in lines
    assert "6 jobs: 6 would run, 0 already done" in lines  # before the first look
    assert f"{runs} jobs: {runs} would run, 0 already done" in lines  # with their cost, as of any dry run
    assert ("  crnn-lstm-1x4 seed=9: would run" in lines) == (train == "all")
    assert said.out.count("ecnn seed=9: would run") == 1
    assert not (tmp_path / "runs").exists()


def test_a_sweep_that_stops_because_a_run_diverged_says_so(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    words = ("--config-dir", ".", "-cn", "question", "until=settled", "optimizer.lr=1e30")
    completed = python("train.py", *words, "trainer.limit_train_batches=3", cwd=tmp_path)
    assert completed.returncode == 1
    (sentence,) = [line for line in completed.stderr.splitlines() if line.startswith("until=settled: ")]
    assert "the sweep stopped before its question was settled, because cnn seed=5 and 5 more diverged" in sentence
    assert "sweep a recipe with which none diverges, as with a smaller optimizer.lr" in sentence
    assert "look 1" not in completed.stdout


def test_a_report_that_is_no_section_is_refused(tmp_path: Path, command: Callable[..., Said]) -> None:
    write_sweep(tmp_path)
    path = tmp_path / "question.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "report": ["cnn", "ecnn"]}))
    said = command("--config-dir", ".", "-cn", "question", "until=settled")
    assert said.code == 2
    assert said.err.startswith("train.py: report must be a section with primary, until, tables, published")


def test_null_switches_off_what_a_sweeps_file_sets(tmp_path: Path, command: Callable[..., Said]) -> None:
    write_sweep(tmp_path)
    path = tmp_path / "question.yaml"
    path.write_text(path.read_text().replace("- config\n", "- config\n- override until: settled\n"))
    said = command("--config-dir", ".", "-cn", "question", "dry_run=true")
    assert "until=settled: seeds 5 to 7 at most" in said.out
    said = command("--config-dir", ".", "-cn", "question", "dry_run=true", "until=null")
    assert said.code == 0, said.err
    assert "until=settled" not in said.out
    assert "3 jobs: 3 would run, 0 already done" in said.out  # of the file's one seed


def test_a_single_run_cannot_be_settled(command: Callable[..., Said]) -> None:
    said = command("until=settled", "data=digits")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "until=settled" in said.err
