"""What a paper says is true of the very runs, and what is not recorded is named."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as scipy_stats

from hybridnets import stats
from hybridnets.report import Report, ReportRequest, analyse
from hybridnets.report.comparing.methods import methods
from hybridnets.report.comparing.resources import Share, duration, resources
from hybridnets.report.reading.results import read
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.rendering.for_paper import for_paper, paper_latex, paper_text
from hybridnets.runs import Run, manifest

Make = Callable[..., Run]
PRIMARY = {"primary": {"variant": "crnn-lstm-1x16", "baseline": "cnn", "margin": 1.0}}


def report_of(out: Path) -> Report:
    return analyse(read([out]), "title", "python report.py runs")


def alter(run: Run, **facts: Any) -> None:
    """Changes the last attempt of a run, and takes away a fact that is None."""
    path = run.folder / "provenance.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["attempts"][-1] |= facts
    record["attempts"][-1] = {key: value for key, value in record["attempts"][-1].items() if value is not None}
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def runs(tmp_path: Path, finished: Make, requested: Make) -> list[Run]:
    """Three pairs, of 15 seconds a run, and a requested run that failed after 6 seconds."""
    cnn, crnn = (0.70, 0.72, 0.71), (0.712, 0.738, 0.719)
    lost = requested("crnn", 3)
    asked = [requested(model, seed) for model in ("cnn", "crnn") for seed in range(4)]
    manifest.write(tmp_path, "question", "python train.py -cn question", asked, PRIMARY)
    made = [finished("cnn", seed, test=cnn[seed]) for seed in range(3)]
    made += [finished("crnn", seed, test=crnn[seed], val=0.79 + 0.01 * seed) for seed in range(3)]
    with contextlib.suppress(RuntimeError), lost.claim() as attempt:
        attempt.epoch(0, 6.0)
        raise RuntimeError
    return made


@pytest.mark.usefixtures("runs")
def test_the_methods_state_what_was_done(tmp_path: Path) -> None:
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    for sentence in (
        "On digits, we compare 2 variants over 3 seeds (0, 1, 2), with 6 finished runs of 8 requested.",
        "A seed sets the split into train and val, the initialisation and the order of the training images.",
        "Each split has 700 images for training and 300 held out as val, the same for all variants at a seed; the 200 test "
        "images are the same for all runs.",
        "We report each run at its epoch with the best val/acc",
        "Adam (lr 0.001); ReduceLROnPlateau (patience 1); EarlyStopping (patience 4); trainer (max_epochs 12).",
        "before the runs) compares crnn-lstm-1x16 with cnn by test accuracy, by the plain paired t over seeds, with n = 3 of 4 "
        "pairs of runs with equal seed, split and data.",
        "The smallest difference that matters is 1.00 points.",
        # The worked example: t = 1.3 / (0.4583 / sqrt(3)) with 2 degrees of freedom.
        "a difference of +1.30 points (95 % interval +0.16 to +2.44; t(2) = 4.91, p = 0.039, uncorrected).",
        "There is one primary comparison by test accuracy (the paired t-test over seeds), whose p-value needs no correction.",
        "There is one exploratory comparison by val accuracy (the corrected resampled t-test (Nadeau and Bengio, 2003))",
    ):
        assert sentence in paragraph, sentence


def test_each_declared_table_is_named_beside_its_comparisons(tmp_path: Path, finished: Make) -> None:
    titles = {"CNN and ECRNN": "cnn", "CRNN and ECRNN": "crnn"}
    tables = [{"title": title, "vary": "model", "from": model, "to": "ecrnn"} for title, model in titles.items()]
    accuracies = {"cnn": (0.70, 0.72, 0.71), "crnn": (0.712, 0.738, 0.719), "ecrnn": (0.75, 0.74, 0.76)}
    runs = [finished(model, seed, test=test) for model, tests in accuracies.items() for seed, test in enumerate(tests)]
    manifest.write(tmp_path, "question", "python train.py -cn question", runs, {**PRIMARY, "tables": tables})
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    for title in titles:
        assert f'There is one secondary comparison of "{title}" by test accuracy (' in paragraph
        assert f'No test applies to the one secondary comparison of "{title}" by val accuracy.' in paragraph


def test_a_part_that_the_recipe_leaves_out_is_said_to_be_missing(tmp_path: Path, finished: Make) -> None:
    for seed in range(2):
        finished("cnn", seed, scheduler=None, trainer__gradient_clip_val=None)
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    assert "; no scheduler; " in paragraph
    assert "trainer (max_epochs 12, no gradient_clip_val)" in paragraph


def test_what_differs_outside_the_model_is_named(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    finished("crnn", (0, 1, 2), optimizer__lr=0.1)
    report = report_of(tmp_path)
    (paragraph,) = for_paper(report).methods
    assert "Outside the model the variants differ in optimizer.lr." in paragraph
    assert "The seeds of split, initialisation and order were set apart." in paragraph
    assert "lr 0" not in paragraph
    known = methods(report.parts[0].data_set, report.parts[0].families)
    assert known.varying == ("the initialisation", "the order of the training images")


def test_a_look_with_a_p_but_no_interval_does_not_contradict_itself(tmp_path: Path, finished: Make) -> None:
    d = (0.02, 0.05)
    runs = []
    for seed, difference in enumerate(d):
        runs += [finished("cnn", seed, test=0.7), finished("crnn", seed, test=0.7 + difference)]
    declared = {**PRIMARY, "until": {"looks": [2, 5], "method": "anytime"}}
    path = manifest.write(tmp_path, "question", "python train.py -cn question until=settled", runs, declared)
    (look,) = stats.sequential(d, (2, 5), "anytime", 0.01)
    taken = manifest.TakenLook(look.n, "2026-11-29T12:00:00+00:00", look.estimate, look.interval, look.settled)
    manifest.record_looks(path, [taken])
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    assert look.p is not None
    assert f"(p = {look.p:.3f}".rstrip("0") in paragraph
    assert "valid at whichever look the sweep stopped)" in paragraph
    assert "no p-value is given" not in paragraph


def test_the_loss_is_part_of_the_recipe(tmp_path: Path, finished: Make) -> None:
    for seed in (0, 1, 2):
        finished("cnn", seed, loss__label_smoothing=0.1)
        finished("crnn", seed, loss__label_smoothing=0.1, loss__class_weights="balanced")
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    assert "loss (label_smoothing 0.1)" in paragraph
    assert "Outside the model the variants differ in loss.class_weights." in paragraph


def test_one_split_for_all_seeds_is_stated(tmp_path: Path, finished: Make) -> None:
    for seed in range(3):
        for model in ("cnn", "crnn"):
            finished(model, seed, test=0.7 + 0.01 * seed, split="own", data__train_fraction=None)
    paper = for_paper(report_of(tmp_path))
    (paragraph,) = paper.methods
    for sentence in (
        "All runs share one split into train and val, the data set's own; what varies between seeds is the initialisation and "
        "the order of the training images.",
        "The split has 700 images for training and 300 held out as val; the 200 test images are the same for all runs.",
    ):
        assert sentence in paragraph, sentence
    assert "A seed sets" not in paragraph
    assert "at a seed" not in paragraph
    assert (
        "What varies between seeds: the initialisation, the order of the training images."
        in paper.items[0].justification
    )


def test_one_split_by_one_split_seed_is_not_called_the_data_sets_own(tmp_path: Path, finished: Make) -> None:
    for seed in range(3):
        finished("cnn", (0, seed, 0))
    (paragraph,) = for_paper(report_of(tmp_path)).methods
    assert "All runs share one split into train and val; what varies between seeds is the initialisation." in paragraph


def test_holms_family_is_counted_as_it_is_corrected(tmp_path: Path, grid: Callable[..., list[Run]]) -> None:
    grid(2, lost=(("crnn", "lstm", 16, 1),))
    report = report_of(tmp_path)
    (part,) = report.parts
    test, val = methods(part.data_set, part.families).families
    with_p = [c for c in part.comparisons if c.evidence("test").plain.p is not None]
    one_seed = [c for c in part.comparisons if len(c.pairs) == 1]
    assert one_seed
    assert (test.family.size, test.tested, test.corrected) == (len(part.comparisons), len(with_p), 0)
    assert test.tested <= test.family.size - len(one_seed)
    assert val.corrected == val.tested  # on val every test is the corrected one
    (paragraph,) = for_paper(report).methods
    assert (
        f"Holm's method for {len(with_p)} tests ({len(part.comparisons) - len(with_p)} of {len(part.comparisons)} comparisons"
        in paragraph
    )


@pytest.mark.usefixtures("runs")
def test_hours_and_hardware_are_summed_from_the_runs(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    took = report.resources
    assert (took.finished, took.requested, took.seeds, took.seconds, took.lost_seconds) == (6, 8, 3, 90.0, 6.0)
    assert took.hardware == {"cpu, 1 thread, a processor": Share(6, 90.0)}
    item = for_paper(report).items[1]
    assert item.answer == "Yes"
    assert item.justification[0].startswith("The 6 finished runs took 1.5 min in all, 15 s per run on average")
    assert "All ran on cpu, 1 thread, a processor." in item.justification
    assert "2 requested runs without a result took another 6.0 s." in item.justification
    assert "Not recorded: memory and storage; how many runs shared a machine at a time." in item.justification


def test_a_mixture_of_hardware_is_named_with_its_shares(tmp_path: Path, runs: list[Run]) -> None:
    alter(runs[0], device="NVIDIA H200", threads=8)
    alter(runs[1], device=None, threads=None, processor=None)
    paper = for_paper(report_of(tmp_path))
    assert (
        "They ran on different hardware, whose times cannot be compared: 4 runs on cpu, 1 thread, a processor (1.0 min); 1 "
        "run on NVIDIA H200, 8 threads, a processor (15 s)." in paper.items[1].justification
    )
    assert paper.items[1].answer == "No"
    assert "the hardware of 1 run" in paper.gaps


def test_runs_without_seconds_are_counted_as_a_gap(tmp_path: Path, runs: list[Run]) -> None:
    path = runs[0].folder / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "epoch_seconds": {}}), encoding="utf-8")
    paper = for_paper(report_of(tmp_path))
    assert "(5 of 6 finished runs recorded theirs), 15 s per run" in paper.items[1].justification[0]
    assert "the time of 1 run" in paper.gaps


@pytest.mark.usefixtures("runs")
def test_error_bars_say_what_they_are(tmp_path: Path) -> None:
    item = for_paper(report_of(tmp_path)).items[0]
    text = " ".join(item.justification)
    assert item.answer == "Yes"
    assert "(the plain paired t over seeds), with n = 3 pairs." in text
    assert "What varies between seeds: the split into train and val, the initialisation, the order of the" in text
    assert "The intervals speak of differences on these test images, over splits and seeds." in text
    assert "which so few pairs cannot show" in text


def test_one_seed_has_no_error_bars(tmp_path: Path, finished: Make) -> None:
    finished("cnn")
    finished("crnn")
    item = for_paper(report_of(tmp_path)).items[0]
    assert (item.answer, item.justification) == (
        "No",
        ("Differences have no error bars, because there is one pair of runs per comparison.",),
    )


def test_of_scores_less_is_known_and_said(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = ["variant,seed,score", "a,0,70.0", "a,1,72.0", "a,2,71.0", "b,0,71.2", "b,1,73.8", "b,2,71.9", "b,3,"]
    path.write_text("\n".join(rows), encoding="utf-8")
    request = ReportRequest(primary=("b", "a"), margin=0.5)
    report = analyse(read_scores(path), "title", "python report.py scores.csv", request)
    paper = for_paper(report)
    (paragraph,) = paper.methods
    assert paragraph.startswith(
        "On scores, we compare 2 variants over 3 seeds (0, 1, 2), with 6 scores of 7 requested."
    )
    assert "n = 3 of 4 pairs of runs with equal seed." in paragraph
    assert "no p-value is given (1 of 4 seeds has no pair of scores)" in paragraph
    assert "recipe" not in paragraph
    assert "split" not in paragraph
    assert paper.items[1].answer == "No"
    assert paper.items[1].justification == ("Neither the hardware nor the time of these runs was recorded.",)
    for gap in ("how the runs were trained", "whether runs with equal seeds share a split", "the hardware of 6 runs"):
        assert any(gap in known for known in paper.gaps), gap


@pytest.mark.usefixtures("runs")
def test_text_and_latex_say_the_same(tmp_path: Path) -> None:
    paper = for_paper(report_of(tmp_path))
    text = " ".join(paper_text(paper).split())
    latex = paper_latex(paper)
    assert paper.methods[0] in text
    assert r"(95 \% interval +0.16 to +2.44; t(2) = 4.91, p = 0.039, uncorrected)" in latex
    assert r"\item[] Answer: \answerYes{}" in latex
    assert r"max\_epochs 12" in latex
    for gap in paper.gaps:
        assert f"- not recorded: {gap}" in text
        assert f"Not recorded: {gap}." in latex
    assert "python train.py -cn question" in text
    assert latex.count("{") == latex.count("}")


def test_durations_have_the_unit_that_suits_them() -> None:
    assert [duration(s) for s in (0, 0.25, 45, 90, 3600, 4_000_000)] == [
        "0 s",
        "0.2 s",
        "45 s",
        "1.5 min",
        "1.0 h",
        "1,111.1 h",
    ]
    assert resources([]).hours is None


def test_several_data_sets_are_one_paragraph_with_the_joint_answer_first(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    lines = ["dataset,variant,seed,score"]
    for n, data in enumerate("uvwxyz"):
        for seed in range(4 if data != "z" else 3):
            lines += [f"{data},a,{seed},{0.7 + n / 100}", f"{data},b,{seed},{0.72 + n / 100 + seed / 1000}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = analyse(read_scores(path), "title", "command")
    assert report.joint is not None
    (paragraph,) = for_paper(report).methods
    assert paragraph.startswith(f"Over 6 data sets together: {report.joint.sentences[0]}")
    # By hand: 0, 1, 2, 3 thousandths more than 2 points; their deviation is 0.00129, t = 2.15 / (0.129 / 2).
    p = f"{2 * scipy_stats.t.sf(33.31, 3):.1e}"
    result = f"a difference of +2.15 points (95 % interval +1.94 to +2.36; t(3) = 33.31, p = {p}, uncorrected)."
    assert f"On u, with n = 4, b reaches 72.15 % and a 70.00 % on average: {result}" in paragraph
    assert "On z, with n = 3, b reaches 77.10 % and a 75.00 % on average: a difference of +2.10 points" in paragraph
    places = [paragraph.index(f"On {data}, with n = ") for data in "uvwxyz"]
    assert places == sorted(places)
    # What holds for all is said once, and the rest with the data sets that it holds for.
    assert paragraph.count("compares b with a by score") == 1
    assert "On u, v, w, x and y: We compare 2 variants over 4 seeds (0, 1, 2, 3), with 8 scores." in paragraph
    assert "On z: We compare 2 variants over 3 seeds (0, 1, 2), with 6 scores." in paragraph
    (item, _) = for_paper(report).items
    assert " ".join(item.justification).count("There is one primary comparison by score") == 1
