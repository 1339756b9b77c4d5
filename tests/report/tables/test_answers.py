"""What an answer says besides its verdict: its metric, the test images as a sample, and what too few images can show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hybridnets import stats
from hybridnets.report import ReportError, ReportRequest, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.families import CHOSEN
from hybridnets.report.comparing.methods import methods
from hybridnets.report.reading.results import read
from hybridnets.report.rendering.terminal import report_text
from hybridnets.report.tables.table import Table
from hybridnets.runs import Run, manifest
from hybridnets.runs.declaration import QUALITIES, parse_declaration

Make = Callable[..., Run]


@pytest.fixture
def runs(finished: Make) -> list[Run]:
    draws = np.random.default_rng(0)
    made = []
    for seed in range(6):
        for model, level in (("cnn", 0.7), ("crnn", 0.78)):
            test, val = level + draws.normal(0, 0.01, 2)
            made.append(finished(model, seed, test=test, val=val, predictions=True))
    return made


def part_of(out: Path, **request: Any) -> DataSetReport:
    (part,) = analyse(read([out]), "title", "command", ReportRequest(**request)).parts
    return part


def table(part: DataSetReport, kind: str) -> Table:
    return next(t for t in (*part.tables, *(t for a in part.answers for t in a.tables)) if t.kind == kind)


@pytest.mark.usefixtures("runs")
def test_another_measure_may_be_the_question(tmp_path: Path) -> None:
    part = part_of(tmp_path, metric="test/nll", primary=("crnn-lstm-1x16", "cnn"), margin=0.5)
    (answer,) = part.answers
    assert "by its test negative log-likelihood, of which less is better, on these test images" in answer.question
    evidence = answer.comparison.evidence("test/nll")
    by_hand = [a.scores["test/nll"] - b.scores["test/nll"] for a, b in answer.comparison.pairs]
    assert evidence.d == pytest.approx(by_hand)
    assert answer.analysis.test.p == pytest.approx(stats.paired_t(by_hand).p)
    assert np.mean(by_hand) < 0
    assert "So crnn-lstm-1x16 is better than cnn on these test images" in answer.sentences[1]
    assert "nats" in answer.sentences[0]
    assert "%)" not in answer.sentences[0]
    declared = parse_declaration({"primary": {"variant": "a", "baseline": "b", "metric": "test/nll", "margin": 0.5}})
    assert declared.primary[0].margin == 0.5  # in nats, and not in percent
    with pytest.raises(
        ReportError, match=r"--metric must be one of test, val, val_last, test/macro_f1, .*, got test/f2"
    ):
        part_of(tmp_path, metric="test/f2")


def test_the_measures_that_may_be_declared_are_those_that_are_computed() -> None:
    percent = {key: quality.unit == "percent" for key, quality in stats.QUALITY.items() if key != "accuracy"}
    assert percent == QUALITIES


@pytest.mark.usefixtures("runs")
def test_the_measures_of_each_variant_are_tabulated(tmp_path: Path) -> None:
    part = part_of(tmp_path)
    measures = table(part, "qualities")
    assert measures.header[2:] == (
        *("macro F1 (%) ↑", "balanced accuracy (%) ↑", "top-2 accuracy (%) ↑", "top-5 accuracy (%) ↑"),
        *("negative log-likelihood (nats) ↓", "Brier score ↓", "expected calibration error (%) ↓"),
        "AUROC, one against rest ↑",
    )
    cnn = next(v for v in part.data_set.variants if v.name == "cnn")
    wrong = [1 - run.scores["test"] for run in cnn.runs]  # one-hot probabilities: each wrong image is 2 away, squared
    place = measures.header.index("Brier score ↓")
    assert measures.rows[0][place].value == pytest.approx(2 * np.mean(wrong))


@pytest.mark.usefixtures("runs")
def test_other_test_images_widen_the_interval(tmp_path: Path) -> None:
    (answer,) = part_of(tmp_path).answers
    evidence = answer.analysis.evidence
    pairs = answer.comparison.pairs
    d = np.array([a.outcomes["test"].right.astype(int) - b.outcomes["test"].right.astype(int) for a, b in pairs])
    assert evidence.crossed == stats.crossed(d)
    low, high = evidence.crossed.interval or (0.0, 0.0)
    sentence = f"For other test images like these the 95 % interval is {100 * low:+.2f} to {100 * high:+.2f} points"
    assert any(text.startswith(sentence) for text in answer.sentences)
    on_val = answer.comparison.evidence("val").crossed
    assert (on_val.interval, on_val.why) == (None, "predictions of different images") or on_val.interval is None


def test_other_images_of_val_are_not_called_test_images(tmp_path: Path, finished: Make) -> None:
    for seed in range(4):
        for model, val in (("cnn", 0.5), ("crnn", 0.8)):
            finished(model, (0, seed, seed), val=val + 0.01 * seed * (model == "cnn"), split="own", predictions=True)
    (answer,) = part_of(tmp_path, metric="val").answers
    low, high = answer.analysis.evidence.crossed.interval or (0.0, 0.0)
    sentence = f"For other val images like these the 95 % interval is {100 * low:+.2f} to {100 * high:+.2f} points"
    assert any(text.startswith(sentence) for text in answer.sentences)


@pytest.mark.usefixtures("runs")
def test_fewer_images_than_a_margin_needs_are_named(tmp_path: Path) -> None:
    (answer,) = part_of(tmp_path, margin=0.4).answers  # of 200 test images each is half a point
    assert "200 images cannot show a margin of 0.40 points: a single image is 0.50 points." in answer.sentences
    assert answer.analysis.is_below_an_image
    (answer,) = part_of(tmp_path, margin=0.6).answers
    assert not any("cannot show a margin" in text for text in answer.sentences)


@pytest.mark.usefixtures("runs")
def test_the_last_epoch_on_val_answers_about_new_data(tmp_path: Path) -> None:
    (answer,) = part_of(tmp_path, metric="val_last").answers
    assert answer.question.endswith("by its val accuracy at the last epoch, on new data of this kind and size?")
    d = answer.analysis.evidence.d
    assert answer.analysis.test.p == pytest.approx(stats.paired_t(d, 3 / 7).p)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("metric", ["val_last", "test/nll"])
def test_the_metric_of_a_question_has_a_table_of_differences(tmp_path: Path, metric: str) -> None:
    report = analyse(read([tmp_path]), "title", "command", ReportRequest(metric=metric))
    (part,) = report.parts
    (differences,) = (t for t in part.tables if t.metric == metric)
    assert differences.key == f"differences-{metric.replace('/', '-')}"
    d = part.answers[0].analysis.evidence.d
    assert differences.rows[0][3].value == pytest.approx(d.mean())
    assert differences.title in report_text(report)
    (size, *_) = methods(part.data_set, part.families).families
    assert size.metric.key == metric


@pytest.mark.parametrize(("test", "name"), [("paired", "plain paired t"), (None, "corrected resampled t")])
def test_a_requested_test_is_that_of_every_comparison_at_a_questions_metric(
    tmp_path: Path, runs: list[Run], finished: Make, test: str | None, name: str
) -> None:
    for run in runs[::2]:
        finished("ecrnn", run.identity["seeds"]["split"], val=0.75 + 0.01 * run.identity["seeds"]["split"])
    part = part_of(tmp_path, metric="val_last", primary=("crnn-lstm-1x16", "cnn"), test=test)
    others = [m for m in part.families.at("val_last").values() if m.family.name != CHOSEN]
    assert others
    assert all(member.test_name.startswith(name) for member in others)


@pytest.mark.usefixtures("runs")
def test_equivalence_and_improvement_are_named(tmp_path: Path) -> None:
    part = part_of(tmp_path, margin=20.0)
    sensitivity = table(part, "sensitivity")
    rows = {cells[1].text: cells for cells in sensitivity.rows if cells[0].text == "test"}
    name = "two one-sided t tests (TOST) within ±20.00"
    d = part.answers[0].analysis.evidence.d
    upper = scipy_stats.ttest_1samp(d, 0.2, alternative="less").pvalue
    lower = scipy_stats.ttest_1samp(d, -0.2, alternative="greater").pvalue
    assert rows[name][5].value == pytest.approx(max(upper, lower))
    assert rows[name][4].text.endswith(" 90 %")
    assert rows["probability of improvement"][5].text == "significant and meaningful"


@pytest.mark.parametrize(
    ("gain", "decision"),
    [(0.01, "significant and meaningful"), (-0.01, "significant and meaningful, for the baseline")],
)
def test_the_chance_to_be_better_decides_for_either_side(
    tmp_path: Path, finished: Make, gain: float, decision: str
) -> None:
    for seed in range(6):
        finished("cnn", seed, test=0.7)
        finished("crnn", seed, test=0.7 + gain * (seed + 1))
    rows = {cells[1].text: cells for cells in table(part_of(tmp_path), "sensitivity").rows if cells[0].text == "test"}
    assert rows["probability of improvement"][5].text == decision


def test_the_question_of_a_sweep_that_added_seeds_is_answered_at_its_looks(tmp_path: Path, finished: Make) -> None:
    d = (0.02, 0.05, 0.03, 0.04, 0.035)
    runs = []
    for seed, difference in enumerate(d):
        runs += [finished("cnn", seed, test=0.7), finished("crnn", seed, test=0.7 + difference)]
    question = {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": 1.0}
    declared = {"primary": question, "until": {"looks": [3, 5, 8], "method": "obrien-fleming"}}
    path = manifest.write(tmp_path, "question", "python train.py -cn question until=settled", runs, declared)
    (answer,) = part_of(tmp_path).answers  # trained without until=settled: its number of seeds was fixed
    assert answer.analysis.test.p == pytest.approx(stats.paired_t(d).p)
    looks = stats.sequential(d, (3, 5, 8), "obrien-fleming", 0.01)
    taken = [manifest.TakenLook(k.n, "2026-11-29T12:00:00+00:00", k.estimate, k.interval, k.settled) for k in looks]
    manifest.record_looks(path, taken)
    assert manifest.read_one(path).looks == tuple(taken)
    part = part_of(tmp_path)
    (answer,) = part.answers
    assert answer.analysis.test.interval == pytest.approx(looks[-1].interval)
    assert "the group-sequential t over seeds, with O'Brien-Fleming-like spending" in answer.sentences[0]
    seen = table(part, "looks")
    assert [cells[0].text for cells in seen.rows] == ["3", "5"]
    assert answer.analysis.growth is None
    (member,) = part.families.at("test").values()
    assert member.test == answer.analysis.test
    assert "O'Brien-Fleming" in " ".join(table(part, "differences").caption)


def added_under_a_plan(tmp_path: Path, finished: Make) -> list[float]:
    """Five seeds of CNN and CRNN, added under a plan that stopped at the second look; and CRNN with one more, by hand."""
    d = [0.02, 0.05, 0.03, 0.04, 0.035]
    runs = []
    for seed, difference in enumerate(d):
        runs += [
            finished("cnn", seed, test=0.7, val=0.6),
            finished("crnn", seed, test=0.7 + difference, val=0.65 - seed / 100),
        ]
    question = {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": 1.0}
    declared = {"primary": question, "until": {"looks": [3, 5, 8], "method": "obrien-fleming"}}
    path = manifest.write(tmp_path, "planned", "python train.py -cn planned until=settled", runs, declared)
    looks = stats.sequential(d, (3, 5, 8), "obrien-fleming", 0.01)
    manifest.record_looks(
        path, [manifest.TakenLook(k.n, "2026-11-29T12:00:00+00:00", k.estimate, k.interval, k.settled) for k in looks]
    )
    path.write_text(path.read_text().replace('"declared": "20', '"declared": "19'), encoding="utf-8")
    return d


@pytest.mark.parametrize(
    "later",
    [
        {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": 2.0},
        {"variant": "cnn", "baseline": "crnn-lstm-1x16", "margin": 1.0, "test": "paired"},
        {"variant": "crnn-lstm-1x16", "baseline": "cnn", "metric": "val"},
    ],
)
def test_seeds_that_a_plan_added_are_answered_by_it_whatever_sweep_is_reported(
    later: dict[str, Any], tmp_path: Path, finished: Make
) -> None:
    d = added_under_a_plan(tmp_path, finished)
    metric, sign = later.get("metric", "test"), -1 if later["variant"] == "cnn" else 1
    d = [0.05 - seed / 100 for seed in range(5)] if metric == "val" else [sign * x for x in d]
    runs = [finished(model, seed, test=0.9, val=0.9) for model in ("cnn", "crnn") for seed in (8, 9)]
    both = [Run(tmp_path, run.identity) for run in read([tmp_path]).runs]
    assert len(both) == 10 + len(runs)
    manifest.write(tmp_path, "later", "python train.py -cn later", both, {"primary": later})
    part = part_of(tmp_path)
    (answer,) = part.answers
    assert part.scope.names == ("later",)
    looks = stats.sequential(d, (3, 5, 8), "obrien-fleming", later.get("margin", 0) / 100)  # without the seeds 8 and 9
    assert answer.analysis.test.interval == pytest.approx(looks[-1].interval)
    assert answer.analysis.growth is None
    said = " ".join(answer.sentences)
    assert ("added by the plan of the sweep planned, until another question was settled" in said) == (sign == 1)
    assert "The interval is that of the look at 5 seeds; 2 further seeds counted in the means" in said
    assert "These runs were requested" not in said


def test_a_pair_whose_seeds_no_plan_added_is_not_answered_by_one(tmp_path: Path, finished: Make) -> None:
    added_under_a_plan(tmp_path, finished)
    third = [finished("ecrnn", seed, test=0.7 + seed**2 / 100) for seed in range(3)]
    planned = [Run(tmp_path, run.identity) for run in read([tmp_path]).runs]
    question = {"variant": "ecrnn-lstm-1x16", "baseline": "cnn"}
    manifest.write(tmp_path, "later", "python train.py -cn later", [*planned, *third], {"primary": question})
    (answer,) = part_of(tmp_path).answers
    assert (answer.analysis.plan, answer.analysis.growth) == (None, None)
    assert answer.analysis.test.p == pytest.approx(stats.paired_t([0, 0.01, 0.04]).p)


def test_the_corrected_test_says_that_its_seeds_were_added_in_steps(tmp_path: Path, finished: Make) -> None:
    added_under_a_plan(tmp_path, finished)
    planned = [Run(tmp_path, run.identity) for run in read([tmp_path]).runs]
    question = {"variant": "crnn-lstm-1x16", "baseline": "cnn", "metric": "val", "test": "corrected"}
    manifest.write(tmp_path, "later", "python train.py -cn later", planned, {"primary": question})
    (answer,) = part_of(tmp_path).answers
    assert answer.analysis.plan is None
    assert answer.analysis.growth is not None
    assert answer.analysis.growth.looks == (3, 5)
    assert any("requested in 2 steps (3, 5 seeds)" in sentence for sentence in answer.sentences)
