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


def test_a_single_run_cannot_be_settled(command: Callable[..., Said]) -> None:
    said = command("until=settled", "data=digits")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "until=settled" in said.err
