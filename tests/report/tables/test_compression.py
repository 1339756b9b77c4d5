"""Reports on codes: before and after on the same images, by class, by size, and files that are refused."""

import csv
import dataclasses
import io
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from hybridnets import stats
from hybridnets.report import ReportRequest, analyse
from hybridnets.report.analysis import DataSetReport
from hybridnets.report.comparing.units import unit_of
from hybridnets.report.figures.compression import draw_compression
from hybridnets.report.figures.maps import draw_maps
from hybridnets.report.figures.picture import Picture
from hybridnets.report.reading.results import read
from hybridnets.report.reading.sources import opened
from hybridnets.report.rendering.files import table_files
from hybridnets.report.tables.table import Table
from hybridnets.runs import Run, identities, manifest
from hybridnets.runs.archive import container as archive
from hybridnets.runs.archive import pack
from hybridnets.runs.declaration import parse_declaration
from hybridnets.runs.published_figures import DeclarationError, parse_figures, read_figures

Make = Callable[..., Run]
Report = Callable[..., int]
ROOT = Path(__file__).parents[3]
PAPER = ROOT / "sweeps" / "published_compression.csv"
MAPS = (16, 4, 4)
LOST = {"cae": 20, "sae": 14}  # images that only the backbone gets right: of seed 0, with 4 channels


def requested(backbone: Run, kind: str, channels: int) -> Run:
    """A run that uses a finished run as its backbone, and of which nothing exists yet."""
    seeds = backbone.identity["seeds"]
    parts = {key: value for key, value in backbone.identity.items() if key not in ("protocol", "seeds", "model")}
    model = {"_target_": "hybridnets.models.FeatureAutoencoder", "kind": kind, "channels": channels}
    parts["trainer"] = {"max_epochs": 3}
    return Run(
        backbone.out,
        identities.identity(seeds, **parts, model=model, backbone=identities.as_input(backbone.identity, seeds)),
    )


def coded(backbone: Run, kind: str, channels: int, examples: int = 0) -> Run:
    """The same run once it is finished: it loses some of the images that the backbone gets right, and wins two others."""
    run, seed = requested(backbone, kind, channels), backbone.identity["seeds"]["split"]
    theirs = backbone.result()
    assert theirs is not None
    with np.load(backbone.folder / "predictions.npz") as arrays:
        columns: dict[str, Any] = dict(arrays)
    for part in ("val", "test"):
        label, before = columns[f"{part}_label"], columns[f"{part}_class"]
        right, wrong = np.flatnonzero(before == label), np.flatnonzero(before != label)
        after = before.copy()
        after[right[: LOST[kind] * 4 // channels + seed]] += 1
        after[wrong[:2]] = label[wrong[:2]]
        columns |= {f"{part}_before": before, f"{part}_class": after % 10}
    if examples:
        stored = np.random.default_rng(seed).normal(size=(examples, *MAPS)).astype(np.float32)
        columns |= {"examples_index": np.arange(examples), "examples_maps": stored, "examples_rebuilt": stored / 2}
    numbers = channels * 4 if kind == "sae" else channels * 2 * 2
    with run.claim() as attempt:
        np.savez(run.folder / "predictions.npz", **columns)
        best = {f"{p}/acc": float(np.mean(columns[f"{p}_class"] == columns[f"{p}_label"])) for p in ("val", "test")}
        rows = [f"{epoch},{best['val/acc']},0.1" for epoch in range(3)]
        (run.folder / "metrics.csv").write_text("\n".join(["epoch,val/acc,val/loss", *rows]), encoding="utf-8")
        attempt.finish(
            dataclasses.replace(
                theirs,
                identity=run.identity,
                monitor="val/loss",
                best={"epoch": 1, "val/loss": 0.1 / channels, **best},
                last={"epoch": 2, "val/loss": 0.1, "val/acc": best["val/acc"]},
                epochs=3,
                facts={
                    "maps": {"shape": list(MAPS), "numbers": 256},
                    "code": {
                        "shape": [numbers] if kind == "sae" else [channels, 2, 2],
                        "numbers": numbers,
                        "compression": 1 - numbers / 256,
                        "bytes": 4 * numbers,
                    },
                    "before": {key: theirs.best[key] for key in ("val/acc", "test/acc")},
                },
            )
        )
    return run


@pytest.fixture
def runs(finished: Make) -> list[Run]:
    """Two kinds and sizes on three seeds of CNN; the last one is missing."""
    backbones = [finished("cnn", seed, test=0.7 + seed / 100, predictions=True) for seed in range(3)]
    wanted = list(itertools.product(backbones, ("cae", "sae"), (4, 8)))
    return [*backbones, *(coded(*arguments, examples=3) for arguments in wanted[:-1]), requested(*wanted[-1])]


def part(out: Path, **words: Any) -> DataSetReport:
    (report_part,) = analyse(read([out]), "title", "command", ReportRequest(**words)).parts
    return report_part


def table(report_part: DataSetReport, key: str) -> Table:
    (table,) = [candidate for candidate in report_part.tables if candidate.key == key]
    return table


def cells(printed: Table) -> dict[str, list[str]]:
    return {first.text: [cell.text for cell in rest] for first, *rest in printed.rows}


def words(picture: Picture) -> str:
    root = ElementTree.fromstring(picture.svg)
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text"))


@pytest.mark.usefixtures("runs")
def test_before_and_after_are_paired_by_seed_and_by_image(tmp_path: Path) -> None:
    report = analyse(read([tmp_path]), "title", "command")
    changes = table(report.parts[0], "compression-test")
    assert changes.header == (
        "variant",
        "n",
        "before",
        "after",
        "difference",
        "95 % interval",
        "p",
        "p Holm",
        "lost:won",
    )
    line = cells(changes)["cnn+cae-4"]
    d = [(2 - lost) / 200 for lost in (20, 21, 22)]
    test = stats.paired_t(d)
    assert test.interval is not None
    assert test.p is not None
    low, high = (100 * end for end in test.interval)
    assert line[:5] == ["3", "71.00", "61.50", "-9.50", f"{low:+.2f} to {high:+.2f}"]
    assert line[7] == "20:2**, 21:2***, 22:2***"
    assert stats.mcnemar(2, 20).exact < 0.005
    p_values = [np.nan if row[6].value is None else row[6].value for row in changes.rows]
    assert [row[7].value for row in changes.rows] == pytest.approx(list(stats.holm(p_values)))
    captions = {metric: " ".join(table(report.parts[0], f"compression-{metric}").caption) for metric in ("test", "val")}
    assert (
        "its question: on these test images, over splits and seeds, does the code change the accuracy?"
        in captions["test"]
    )
    assert "do these trained networks on these images differ? It counts images, not runs" in captions["test"]
    assert "on new data of this kind and size, does the code" in captions["val"]
    tests = list(csv.DictReader(io.StringIO(table_files(report)["tests.csv"])))
    (exact,) = [
        float(test["p"])
        for test in tests
        if (test["variant"], test["baseline"], test["metric"]) == ("cnn+cae-4", "cnn", "test")
        and test["test"] == "McNemar exact, seed 1"
    ]
    assert exact == stats.mcnemar(2, 21).exact
    # The recipe of an autoencoder is not compared with that of its backbone.
    assert not any("differ in more than the model" in note for note in report.parts[0].notes)


def test_the_backbones_own_runs_are_not_needed(tmp_path: Path, runs: list[Run]) -> None:
    manifest.write(tmp_path, "s", "c", runs[3:], {"primary": {"variant": "cnn+cae-4", "baseline": "cnn", "margin": 1}})
    complete = analyse(read([tmp_path]), "", "")
    assert {c.baseline.label for c in complete.parts[0].compressed} == {"cnn"}
    assert "by another sweep" not in complete.parts[0].answers[0].analysis.declared
    with_them = table_files(complete)
    shutil.rmtree(tmp_path / "digits" / "cnn")
    alone = analyse(read([tmp_path]), "", "")
    assert {c.baseline.label for c in alone.parts[0].compressed} == {"cnn (before)"}
    assert alone.parts[0].answers[0].sentences == complete.parts[0].answers[0].sentences
    without = table_files(alone)
    same = [name for name in without if "compression" in name or "classes" in name]
    assert len(same) == 4 * (3 + 8)
    for name in same:
        assert without[name] == with_them[name], name
    assert part(tmp_path, primary=("cnn+sae-4", "cnn")).answers


def test_before_is_measured_on_the_runs_own_backbones_only(tmp_path: Path, runs: list[Run]) -> None:
    shutil.rmtree(runs[0].folder)
    digits = part(tmp_path)
    for (
        comparison
    ) in digits.compressed:  # with the three seeds that it recorded, not the two that remain of its backbone
        assert (comparison.baseline.label, len(comparison.pairs)) == (
            "cnn (before)",
            2 if comparison.variant.label == "cnn+sae-8" else 3,
        )


def test_accuracies_by_class_next_to_the_papers(tmp_path: Path, runs: list[Run]) -> None:
    figures = {f"class {n}": figure for n, figure in enumerate(parse_figures(read_figures(PAPER)).classes.values())}
    rows = [{"class": name, "before": 100 * before, "after": 100 * after} for name, (before, after) in figures.items()]
    manifest.write(tmp_path, "sweep", "command", runs[3:], {"published": rows})
    digits = part(tmp_path)
    classes = table(digits, "classes-4-test")
    assert classes.title == "cnn+sae-8 (2/3 runs): accuracy by class, before and after (test accuracy)"
    assert "mean over 2/3 runs" in classes.caption[0]
    by_class = []
    for run in runs[3:]:
        if run.identity["model"] == {**run.identity["model"], "kind": "sae", "channels": 8} and run.result():
            with np.load(run.folder / "predictions.npz") as arrays:
                label = arrays["test_label"]
                columns = [arrays[f"test_{name}"] == label for name in ("before", "class")]
                by_class.append([[right[label == k].mean() for k in range(10)] for right in columns])
    before, after = np.mean(by_class, axis=0)  # (10,) each
    lines = cells(classes)
    assert list(lines) == [*(f"class {k}" for k in range(10)), "average"]
    for k in (0, 7):
        expected = [f"{100 * before[k]:.2f}", f"{100 * after[k]:.2f}", f"{100 * (after[k] - before[k]):+.2f}"]
        assert lines[f"class {k}"][:3] == expected
    assert lines["class 2"][4:] == ["75.00", "69.00", "-6.00"]
    assert classes.rows[-1][1].value == pytest.approx(before.mean())
    assert lines["average"][4:] == ["82.40", "79.80", "-2.60"]  # the paper's own averages
    assert len(table(digits, "classes-4-val").header) == 5  # which are about test


def test_the_curve_as_a_table(tmp_path: Path, runs: list[Run]) -> None:
    manifest.write(tmp_path, "sweep", "command", runs[3:], None)
    lines = cells(table(part(tmp_path), "compression"))
    line = lines["cnn+cae-8"]
    assert line[:6] == ["3", "87.5", "8 x 2 x 2", "32", "128", "0.0125"]
    assert line[8] == f"{-100 * (10 + 11 + 12 - 6) / 600:+.2f}"
    assert lines["cnn+sae-8"][0] == "2/3"


def test_kinds_are_compared_at_equal_size(tmp_path: Path, runs: list[Run], finished: Make) -> None:
    for seed in range(3):
        finished("crnn", seed)
    (contrast,) = part(tmp_path, vary=("kind",)).contrasts
    names = {c.name for c in contrast.comparisons}
    assert names == {"cnn+sae-4 - cnn+cae-4", "cnn+sae-8 - cnn+cae-8"}
    digits = part(tmp_path)
    grids = {(c.levels.axis, c.levels.low, c.levels.high): c.comparisons for c in digits.contrasts}
    alone = {c.baseline.label for c in grids["model", "cnn", "cnn+autoencoder"]}
    assert alone == {"cnn"}
    assert not any("crnn" in key[1:] and "cnn+autoencoder" in key for key in grids)  # no CRNN is its backbone
    manifest.write(tmp_path, "s", "c", runs, {"tables": [{"vary": "kind", "from": "sae", "to": "cae"}]})
    (declared,) = part(tmp_path).contrasts
    assert {c.name for c in declared.comparisons} == {"cnn+cae-4 - cnn+sae-4", "cnn+cae-8 - cnn+sae-8"}
    lines = cells(table(part(tmp_path), "table-1-test"))
    assert lines["cae - sae, cnn+autoencoder"] == ["-3.00 (3)", "-1.50 (2/3 seeds)"]


def test_a_single_compressed_run_is_reported_and_verified(
    tmp_path: Path, finished: Make, report: Report, capsys: Any
) -> None:
    backbone = finished("cnn", predictions=True)
    run = coded(backbone, "cae", 4, examples=1)
    shutil.rmtree(backbone.folder)
    folder = tmp_path / "report"
    assert report(tmp_path, "--to", folder) == 0
    text = capsys.readouterr().out
    assert max(len(line) for line in text.splitlines() if not line.startswith(("The page: ", "    "))) <= 120
    for sentence in (
        "What the code saves and costs",
        "n/a (one seed)",
        "20:2**",
        "accuracy by class, before and after",
    ):
        assert sentence in text, sentence
    assert "nothing to compare it with" not in text
    html = (folder / "index.html").read_text(encoding="utf-8")
    assert "Before and after compression" in html
    assert "feature maps before and after the code" in html
    assert report("--verify", tmp_path, "--to", folder) == 0
    path = run.folder / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["before"]["test/acc"] += 1e-7  # less than rounding
    path.write_text(json.dumps(result), encoding="utf-8")
    assert report("--verify", tmp_path, "--to", folder) == 1
    assert "predictions give test 0.750000 before, the result says 0.750000" in capsys.readouterr().out


ALTERED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "before": (
        lambda result: result["before"].update({"test/acc": 0.5}),
        "gives test/acc 0.750000 before, and result.json",
    ),
    "shape": (lambda result: result["code"].update(shape=[9, 2, 2]), "which the shapes of code and maps do not give"),
    "compression": (lambda result: result["code"].update(compression=0.99), "and the shapes give 0.937500"),
    "no backbone": (lambda result: result.pop("backbone"), "lacks 'backbone'"),
    "no maps": (lambda result: result["maps"].update(shape=None), "does not have the shape of a result"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_what_was_altered_is_left_out(how: str, tmp_path: Path, finished: Make) -> None:
    path = coded(finished("cnn", predictions=True), "cae", 4).folder / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    alter, sentence = ALTERED[how]
    alter(result)
    path.write_text(json.dumps(result), encoding="utf-8")
    run_set = read([tmp_path])
    assert [run.name for run in run_set.runs] == ["cnn"]
    assert sentence in run_set.problems[0]


@pytest.mark.usefixtures("runs")
def test_the_curve_and_the_maps_are_drawn(tmp_path: Path) -> None:
    images = SimpleNamespace(
        train_images=np.zeros((1000, 3, 4, 4), np.uint8), test_images=np.zeros((200, 3, 4, 4), np.uint8)
    )
    digits = part(tmp_path)
    compressed = digits.compressed
    curve = draw_compression("digits", compressed, "test", unit_of(digits.data_set, "test"))
    drawn, alone = draw_maps("digits", compressed, images), draw_maps("digits", compressed, None)
    assert curve is not None
    assert drawn is not None
    assert alone is not None
    root = ElementTree.fromstring(curve.svg)
    for kind, dots in (("cae", 6), ("sae", 5)):
        (group,) = [element for element in root.iter() if element.get("id") == f"seeds-{kind}"]
        assert sum(element.tag.endswith("}use") for element in group.iter()) == dots
    assert "93.8 % 16 87.5 % 32" in words(curve) or "87.5 % 32 93.8 % 16" in words(curve)
    assert "values kept of 256" in words(curve)
    assert "test image 1, class 1: " in words(drawn)
    assert "cnn+cae-4, seed 0: the 8 channels" in drawn.caption
    assert alone.svg.count("<image") == drawn.svg.count("<image") - 2


@pytest.mark.parametrize("examples", ["none", "infinite", "of another shape"])
def test_maps_that_cannot_be_drawn_are_left_out(examples: str, tmp_path: Path, finished: Make) -> None:
    run = coded(finished("cnn", predictions=True), "cae", 4, examples=0 if examples == "none" else 2)
    path = run.folder / "predictions.npz"
    with np.load(path) as arrays:
        columns: dict[str, Any] = dict(arrays)
    if examples == "infinite":
        columns["examples_maps"][0, 0] = np.inf
    elif examples != "none":
        columns["examples_rebuilt"] = columns["examples_rebuilt"][:1]
    np.savez(path, **columns)
    digits = part(tmp_path)
    assert len(digits.compressed) == 1
    assert draw_maps("digits", digits.compressed, None) is None
    # One size is no curve.
    assert draw_compression("digits", digits.compressed, "test", unit_of(digits.data_set, "test")) is None


def test_published_classes_are_read_and_slips_refused(tmp_path: Path, report: Report, capsys: Any) -> None:
    figures = parse_figures(read_figures(PAPER))
    assert not figures.accuracies
    before, after = (100 * np.mean(side) for side in zip(*figures.classes.values(), strict=True))
    assert (before, after) == (pytest.approx(82.4), pytest.approx(79.8))  # as the paper says
    assert parse_declaration({"published": read_figures(PAPER)}).published.classes["truck"] == (0.87, 0.82)
    assert report("--published", PAPER) == 2
    assert "got one of accuracies by class" in capsys.readouterr().err
    for text, sentence in (
        ("class,before\ncat,1\n", "must have the columns class, before, after, got no after"),
        ("class,before,after\ncat,1,many\n", "with percentages, got row 1"),
        ("class,before,after\ncat,1,101\n", "with percentages, got row 1"),
        ("class,before,after\ncat,nan,10\n", "with percentages, got row 1"),
        ("class,before,after\n", "must have a row of published figures, got none"),
    ):
        (tmp_path / "slip.csv").write_text(text, encoding="utf-8")
        with pytest.raises(DeclarationError, match=sentence):
            read_figures(tmp_path / "slip.csv")


@pytest.mark.usefixtures("runs")
def test_an_archive_gives_the_same_report_on_codes_but_keeps_no_maps(tmp_path: Path) -> None:
    run_set = read([tmp_path])
    pack([run.folder for run in run_set.runs], [tmp_path], tmp_path / "e.npz", all_probabilities=True)
    complete = analyse(run_set, "title", "command")
    with opened([tmp_path / "e.npz"]) as sources:
        same = analyse(read(sources.paths), "title", "command")
        assert table_files(same) == table_files(complete)
        assert draw_maps("digits", same.parts[0].compressed, None) is None
    assert draw_maps("digits", complete.parts[0].compressed, None) is not None
    _, arrays = archive.read(tmp_path / "e.npz")
    columns = {name.partition("-")[2] for name in arrays}
    assert columns == {"index", "label", "class", "before", "probabilities"}
