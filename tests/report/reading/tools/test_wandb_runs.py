"""Runs of W&B, as wandb 0.31 wrote them offline; its server as a double, because none can be reached."""

import json
import shutil
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hybridnets.report import ReportError, RunSet, analyse
from hybridnets.report.reading.score_kind import ScoreOptions
from hybridnets.report.reading.scores.mapping import Reading
from hybridnets.report.reading.scores.reader import read_scores
from hybridnets.report.reading.tools import wandb_runs
from tests.report.reading.tools.tool_runs import read, sound_scores

RUNS = Path(__file__).parent / "fixtures" / "wandb"
FAILED = "offline-run-20261129_125126-9mb1iu89"  # crnn with seed 2


def failed(runs: RunSet) -> list[tuple[str, int]]:
    return [(run.name, run.seeds[0]) for run in runs.runs if run.diverged]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS, tmp_path / "wandb"))


def test_offline_runs_have_config_history_summary_and_their_end() -> None:
    runs = read(RUNS)
    assert sound_scores(runs) == pytest.approx(
        {("cnn", 0): 0.65, ("cnn", 1): 0.66, ("cnn", 2): 0.67, ("crnn", 0): 0.775, ("crnn", 1): 0.785}
    )
    assert failed(runs) == [("crnn", 2)]
    assert runs.score.name == "test/acc"
    assert runs.runs[0].axes == {"optimizer.lr": "0.01", "optimizer.name": "adam"}
    assert "--map variant=model seed=seed score=test/acc" in runs.head[1]
    (part,) = analyse(runs, "title", "command").parts
    assert part.comparisons[0].why_no_stars == "1 failed"


def test_nested_metrics_and_the_best_of_them() -> None:
    runs = read(RUNS, Reading.of([], "best", ScoreOptions("val.acc")))
    assert sound_scores(runs)["crnn", 1] == pytest.approx(0.835)
    loss = read(RUNS, Reading.of([], None, ScoreOptions("val.loss")))
    assert sorted(failed(loss)) == [("crnn", 1), ("crnn", 2)]  # one loss is no number, and one run failed


def test_an_unfinished_run_is_missing_and_a_damaged_file_one_sentence(copy: Path) -> None:
    (file,) = (copy / FAILED).glob("*.wandb")
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    runs = read(copy)
    assert f"{file} is cut short after " in runs.problems[0]
    assert [str(run.folder) for run in runs.missing] == [f"{file.parent} (crnn-2)"]
    file.write_bytes(whole[:100] + b"?" + whole[101:])
    (problem,) = read(copy).problems
    assert problem.startswith(f"{file} is damaged at byte ")
    file.write_bytes(b"something else")
    (problem,) = read(copy).problems
    assert problem == f"{file} is no file of W&B: it begins with other bytes; its run is left out"


def test_a_run_may_have_only_its_summary(tmp_path: Path) -> None:
    for model in ("cnn", "crnn"):
        files = tmp_path / f"run-20261129_125125-{model}" / "files"
        files.mkdir(parents=True)
        (files / "config.yaml").write_text(
            f"wandb_version: 1\n_wandb:\n  value: {{}}\nmodel:\n  value: {model}\nseed:\n  desc: null\n  value: 0\n",
            encoding="utf-8",
        )
        (files / "wandb-summary.json").write_text(
            json.dumps({"val": {"acc": 0.5 + len(model) / 10}, "_step": 3, "_runtime": 7}), encoding="utf-8"
        )
    runs = read(tmp_path)
    assert sound_scores(runs) == {("cnn", 0): 0.8, ("crnn", 0): 0.9}
    assert runs.score.name == "val.acc"
    (files / "wandb-summary.json").write_text("{", encoding="utf-8")
    (problem,) = read(tmp_path).problems
    assert problem.startswith(f"{files / 'wandb-summary.json'} cannot be read as JSON (")


def test_every_record_is_what_the_package_s_schema_says() -> None:
    schema = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="wandb is not installed")
    for file in RUNS.rglob("*.wandb"):
        history: dict[str, list[Any]] = {}
        for raw in wandb_runs._records(file):
            record = schema.Record.FromString(raw)
            for item in record.history.item:
                history.setdefault(".".join(item.nested_key) or item.key, []).append(json.loads(item.value_json))
        run, problem = wandb_runs._read_file(file)
        assert problem == ""
        assert [*run.metrics["val.acc"].values()] == history["val.acc"]


def test_records_longer_than_a_block_are_put_together(tmp_path: Path) -> None:
    def part(kind: int, data: bytes) -> bytes:
        return struct.pack("<IHB", zlib.crc32(bytes([kind]) + data), len(data), kind) + data

    room = wandb_runs.BLOCK - wandb_runs.HEADER_SIZE - 7
    text = bytes(range(256)) * 300
    parts = [text[:room], text[room : room + wandb_runs.BLOCK - 7], text[room + wandb_runs.BLOCK - 7 :]]
    raw = b":W&B" + bytes(3) + b"".join(part(kind, data) for kind, data in zip((2, 3, 4), parts, strict=True))
    (tmp_path / "run.wandb").write_bytes(raw)
    assert [*wandb_runs._records(tmp_path / "run.wandb")] == [text]


EXPORT = """"Name","State","Notes","User","Tags","Created","Runtime","Sweep","model","seed","lr","test/acc","val/loss"
"cnn-0","finished","-","me","","2026-11-29T12:51:25.000Z","312","","cnn","0","0.01","0.65","0.3"
"cnn-1","finished","-","me","","2026-11-29T12:52:25.000Z","301","","cnn","1","0.01","0.66","0.29"
"crnn-0","finished","-","me","","2026-11-29T12:53:25.000Z","298","","crnn","0","0.01","0.775","0.175"
"crnn-1","crashed","-","me","","2026-11-29T12:54:25.000Z","12","","crnn","1","0.01","","0.9"
"""


def test_the_export_of_the_web_page_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "wandb_export.csv").write_text(EXPORT, encoding="utf-8")
    runs = read_scores(tmp_path / "wandb_export.csv")
    assert sound_scores(runs) == {("cnn", 0): 0.65, ("cnn", 1): 0.66, ("crnn", 0): 0.775}
    assert failed(runs) == [("crnn", 1)]
    assert runs.runs[0].axes == {"lr": "0.01"}
    assert runs.score.name == "test/acc"
    assert runs.head[0] == (
        "Which column is what was proposed: --map variant=model seed=seed score=test/acc; give --map to change it."
    )


def test_what_the_web_page_adds_is_no_setting_unless_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "wandb_export.csv").write_text(EXPORT, encoding="utf-8")
    words = ["variant=model", "seed=seed", "score=val/loss", "seconds=Runtime"]
    runs = read_scores(tmp_path / "wandb_export.csv", Reading.of(words))
    assert [run.seconds for run in runs.runs[:3]] == [312, 301, 298]
    assert not any(name in problem for problem in runs.problems for name in ("Created", "Name", "User"))


def test_a_project_on_the_server_is_read_by_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(model: str, seed: int, state: str, values: list[Any]) -> SimpleNamespace:
        rows = [{"_step": n, "val/acc": value} for n, value in enumerate(values)]
        return SimpleNamespace(
            name=f"{model}-{seed}",
            id=f"{model}{seed}",
            state=state,
            config={"model": model, "seed": seed, "_wandb": {}},
            summary={"val/acc": values[-1], "_step": 3},
            scan_history=lambda keys: [row for row in rows if keys == ["val/acc", "_step"]],
        )

    runs = [run("a", 0, "finished", [0.5, 0.4]), run("b", 0, "finished", [0.6, 0.7]), run("a", 1, "running", [0.1])]
    api = SimpleNamespace(runs=lambda name: runs if name == "me/study" else 1 / 0)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Api=lambda: api))
    read_last = read(Path("wandb:me/study"))
    assert sound_scores(read_last) == {("a", 0): 0.4, ("b", 0): 0.7}
    assert len(read_last.missing) == 1
    assert sound_scores(read(Path("wandb:me/study"), Reading.of([], "best", ScoreOptions("val/acc")))) == {
        ("a", 0): 0.5,
        ("b", 0): 0.7,
    }
    with pytest.raises(ReportError, match=r"wandb:me/other cannot be read from W&B's server \(division by zero\)"):
        read(Path("wandb:me/other"))
    with pytest.raises(ReportError, match="--at best needs --metric"):
        read(Path("wandb:me/study"), Reading.of([], "best"))


def test_a_project_without_the_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ReportError, match=r"needs wandb: pip install 'hybridnets\[wandb\]'"):
        read(Path("wandb:me/study"))
