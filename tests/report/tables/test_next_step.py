"""The next step is a command that can be typed as it is, and never adds seeds to what is undecided."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hybridnets.report import ReportRequest, analyse
from hybridnets.report.comparing.answers import Verdict
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.tables.next_step import Invocation, NextStep
from hybridnets.runs import Run, manifest
from hybridnets.runs.store import DivergedError

Make = Callable[..., Run]
OWN = "python report.py runs"
SWEEP = "python train.py -cn question seed=0,1,2 out=results/"


def step(out: Path, **request: Any) -> NextStep:
    (part,) = analyse(read([out]), "title", OWN, ReportRequest(**request), [Path("runs")]).parts
    return part.next_step


def declare(out: Path, runs: list[Run], margin: float = 1.0, command: str = SWEEP) -> None:
    primary = {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": margin}
    manifest.write(out, "question", command, runs, {"primary": primary})


@pytest.fixture
def pairs(finished: Make) -> Callable[..., list[Run]]:
    def make(*differences: float) -> list[Run]:
        runs = [finished("cnn", seed, test=0.7) for seed in range(len(differences))]
        return runs + [finished("crnn", seed, test=0.7 + d) for seed, d in enumerate(differences)]

    return make


def test_missing_runs_get_the_sweeps_own_command(
    tmp_path: Path, pairs: Callable[..., list[Run]], requested: Make
) -> None:
    pending = requested("crnn", 3)
    declare(tmp_path, [*pairs(0.01, 0.02, 0.03), pending])
    expected = "1 requested run has no result: the sweep's command trains these and nothing else:"
    assert step(tmp_path) == NextStep(expected, SWEEP)
    with pending.claim():
        assert step(tmp_path).sentence.startswith("1 run is being trained")
        assert step(tmp_path).command == "python report.py --watch runs"


def test_an_archive_is_unpacked_before_its_sweep_continues(tmp_path: Path, finished: Make, requested: Make) -> None:
    command = "python train.py -cn question out=.../runs"
    manifest.write(tmp_path, "question", command, [finished("cnn"), requested("cnn", 1)], None)
    report = analyse(read([tmp_path]), "title", "hybridnets report my.npz", paths=[Path("my.npz")])
    assert report.parts[0].next_step.command == (
        "hybridnets report --unpack my.npz -o runs && python train.py -cn question out=runs"
    )


def test_diverged_runs_are_not_trained_again(tmp_path: Path, pairs: Callable[..., list[Run]], requested: Make) -> None:
    lost = requested("crnn", 3)
    declare(tmp_path, [*pairs(0.01, 0.02, 0.03), lost])
    with contextlib.suppress(DivergedError), lost.claim() as attempt:
        attempt.note(threads=1)
        raise DivergedError("loss is nan")
    assert step(tmp_path).command == "python report.py --status runs"


def test_what_is_undecided_gets_a_fresh_sweep_of_the_planned_size(
    tmp_path: Path, pairs: Callable[..., list[Run]]
) -> None:
    declare(tmp_path, pairs(-0.01, 0.0, 0.02))
    (part,) = analyse(read([tmp_path]), "title", OWN).parts
    needed = part.answers[0].analysis.needed(100)
    assert needed is not None
    assert needed.plan.seeds == 21  # the plan of a paired t for 1 point, from a standard deviation of 1.53 points
    advised = step(tmp_path)
    assert advised.command == "python train.py -cn question 'seed=range(3,24)' out=results-fresh"
    assert "a fresh sweep of 21 other seeds, declared before it runs" in advised.sentence
    assert "seeds added to these until the interval excludes 0" in advised.sentence


def test_a_margin_below_one_image_needs_images_not_seeds(tmp_path: Path, pairs: Callable[..., list[Run]]) -> None:
    declare(tmp_path, pairs(-0.01, 0.0, 0.02), margin=0.4)  # of 200 test images each is half a point
    advised = step(tmp_path)
    assert not advised.command
    assert "use at least 250 test images" in advised.sentence


def test_a_second_question_that_is_open_is_not_ignored(
    tmp_path: Path, pairs: Callable[..., list[Run]], finished: Make
) -> None:
    settled = pairs(0.05, 0.051, 0.052)
    open_runs = [finished("ecrnn", seed, test=0.7 + d) for seed, d in enumerate((-0.01, 0.0, 0.02))]
    questions = [{"variant": f"{model}-lstm-1x16", "baseline": "cnn", "margin": 1.0} for model in ("crnn", "ecrnn")]
    command = "python train.py -cn second seed=0,1,2"
    manifest.write(tmp_path, "second", command, [*settled, *open_runs], {"primary": questions})
    (part,) = analyse(read([tmp_path]), "title", OWN).parts
    assert [answer.analysis.verdict for answer in part.answers] == [Verdict.BETTER_BY_MARGIN, Verdict.OPEN]
    advised = step(tmp_path)
    assert "a fresh sweep of 21 other seeds" in advised.sentence
    assert "'seed=range(3,24)'" in advised.command


def test_without_a_margin_the_margin_comes_first(tmp_path: Path, pairs: Callable[..., list[Run]]) -> None:
    declare(tmp_path, pairs(-0.01, 0.0, 0.02), margin=0.0)
    assert step(tmp_path).command == f"{OWN} --margin 1"


def test_one_seed_gets_a_pilot_of_five(tmp_path: Path, pairs: Callable[..., list[Run]]) -> None:
    declare(tmp_path, pairs(0.01))
    assert step(tmp_path).command == "python train.py -cn question seed=1,2,3,4,5 out=results-fresh"


def test_an_answer_is_looked_at_closer_and_then_kept(
    tmp_path: Path, pairs: Callable[..., list[Run]], finished: Make
) -> None:
    runs = pairs(0.03, 0.031, 0.032)
    declare(tmp_path, runs)
    assert step(tmp_path).command == "python report.py --pack runs -o runs.npz"
    declare(tmp_path, [*runs, finished("crnn", model__hidden_size=32)])
    assert step(tmp_path).command == f"{OWN} --vary model nodes"
    assert step(tmp_path, vary=("nodes",)).command == "python report.py --pack runs -o runs.npz"


def test_scores_have_no_sweep_but_a_next_step(tmp_path: Path) -> None:
    path = tmp_path / "my scores.csv"

    def of(*rows: str, **request: Any) -> NextStep:
        path.write_text("\n".join(["variant,seed,score", *rows]), encoding="utf-8")
        own = Invocation("python report.py scores.csv", ()).command
        report = analyse(read_scores(path), "title", own, ReportRequest(**request), [Path("my scores.csv")])
        return report.parts[0].next_step

    undecided = ("a,0,.70", "a,1,.71", "a,2,.72", "b,0,.71", "b,1,.70", "b,2,.74")
    primary = {"primary": ("b", "a"), "margin": 1.0}
    assert of(*undecided, **primary).command == ("python report.py 'my scores-fresh.csv' --primary b a --margin 1")
    assert of(*undecided[:-1], **primary).command == "python report.py scores.csv"
    assert "1 of 3 seeds has no pair of scores" in of(*undecided[:-1], **primary).sentence
    assert (
        "a column predictions" in of("a,0,.7", "a,1,.71", "a,2,.7", "b,0,.8", "b,1,.811", "b,2,.8", **primary).sentence
    )
    several = of(*undecided, "c,0,.7", "c,1,.7")
    assert several.command == "python report.py scores.csv --primary b a --margin 1"


def test_a_command_with_an_open_quote_breaks_nothing(tmp_path: Path, pairs: Callable[..., list[Run]]) -> None:
    declare(tmp_path, pairs(-0.01, 0.0, 0.02), command="python train.py 'seed=0,1,2")
    assert step(tmp_path).command == "python train.py ''\"'\"'seed=0,1,2' 'seed=range(3,24)' out=runs-fresh"
