"""The records of a run's files: what is written is read again, and files of the first versions are still read."""

import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridnets import signals
from hybridnets.runs import manifest, store
from hybridnets.runs.identities import folder, hash_of, identity, seeds_in
from hybridnets.runs.records import LayerRecord, RecordError, Result, metrics, provenance, result

IDENTITY = identity(
    {"split": 3, "init": 1, "order": 2},
    model={"_target_": "hybridnets.models.CNN", "channels": [4]},
    data={"name": "digits", "sha256": "0" * 64},
    trainer={"max_epochs": 2},
)
RECORD = Result(
    identity=IDENTITY,
    monitor="val/acc",
    best={"epoch": 0, "train/loss": math.nan, "val/acc": 0.5, "test/acc": 0.25},
    last={"epoch": 1, "val/acc": 0.25},
    epochs=2,
    images={"train": 7, "val": 3, "test": 4},
    split="abc",
    weights="def",
    classes=("0", "1"),
    parameters={"keras": 12, "torch": 10},
    layers=(LayerRecord("head", "Dense", (2,), 12),),
    facts={"anything": [1, None]},
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = RECORD.to_json()
    (tmp_path / "result.json").write_text(json.dumps(content, allow_nan=False))
    read = result.read(tmp_path)
    assert read is not None
    assert read.to_json() == content
    assert math.isnan(read.best["train/loss"])  # JSON has no NaN: the file says null
    assert read.diverged
    assert (read.monitored, read.layers, read.facts) == (0.5, RECORD.layers, RECORD.facts)
    assert list(content)[:5] == ["schema", "hash", "data", "variant", "seeds"]
    assert list(content)[-2:] == ["anything", "identity"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 2}, "must have schema 1, which this version reads, and has 2: use the version that wrote it"),
        ({"hash": "0" * 64}, "was altered: its hash does not follow from its identity"),
        ({"seeds": {"split": 0}}, "was altered: its hash does not follow from its identity"),
        ({"epochs": -1}, "has epochs -1, which is not a whole number"),
        ({"best": {"epoch": "0"}}, "has epoch 0, which is not a number"),
        ({"layers": [1]}, "does not have the shape of a result"),
        ({"parameters": {"torch": 1}}, "lacks 'keras'"),
    ],
)
def test_a_result_that_was_altered_is_refused(change: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(RECORD.to_json() | change))
    with pytest.raises(RecordError) as error:
        result.read(tmp_path)
    assert str(error.value) == f"{tmp_path / 'result.json'} {sentence}"


def test_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert len(metrics.read(tmp_path)) == 0
    epochs = [{"epoch": 0, "val/acc": 0.5}, {"epoch": 1, "val/acc": 0.25, "val/loss": 2.0}]
    text = metrics.to_csv(epochs)
    assert text == "epoch,val/acc,val/loss\n0,0.500000,nan\n1,0.250000,2.000000\n"
    (tmp_path / "metrics.csv").write_text(text)
    read = metrics.read(tmp_path)
    assert (len(read), read.columns["val/acc"], read.epochs()[1]) == (2, (0.5, 0.25), epochs[1])
    assert (read.highest("val/acc"), read.highest("val/loss")) == (0.5, 2.0)  # the first of its values is NaN
    assert math.isnan(read.highest("test/acc"))
    (tmp_path / "metrics.csv").write_text(text + "2,0.1\n")
    with pytest.raises(RecordError, match=r"metrics.csv cannot be read"):
        metrics.read(tmp_path)


@pytest.mark.parametrize(
    ("attempt", "diverged"),
    [
        ({"error": "DivergedError: train/loss is nan"}, True),  # as the first versions wrote it
        ({"error": "the loss is nan", "diverged": True}, True),
        ({"error": "OSError: no space left"}, False),
        ({}, False),
    ],
)
def test_whether_a_run_diverged(attempt: dict[str, Any], diverged: bool, tmp_path: Path) -> None:
    assert not store.diverged(tmp_path)
    (tmp_path / "provenance.json").write_text(json.dumps({"attempts": [attempt], "epoch_seconds": {}}))
    assert store.diverged(tmp_path) == diverged
    assert store.reason(tmp_path) == attempt.get("error", "")


def _end(run: store.Run, error: BaseException) -> None:
    with run.claim() as attempt:
        attempt.note(threads=1)
        raise error


def test_the_attempt_records_that_it_diverged(tmp_path: Path) -> None:
    run = store.Run(tmp_path, IDENTITY)
    with pytest.raises(store.DivergedError):
        _end(run, store.DivergedError("train/loss is nan"))
    record = provenance.read(run.folder)
    assert record is not None
    assert record.attempts[0]["diverged"]
    assert record.reason == "DivergedError: train/loss is nan"


@pytest.mark.parametrize(
    ("attempt", "state", "reason"),
    [
        # as the first versions wrote it
        (
            {"error": "StoppedError: stopped on request after epoch 1: x"},
            "stopped",
            "stopped on request after epoch 1: x",
        ),
        ({"error": "Ended: by SIGINT"}, "stopped", "by SIGINT"),
        ({"error": "SystemExit: 1", "stopped": True}, "stopped", "SystemExit: 1"),
        ({"error": "OSError: Ended: by nobody"}, "failed", "OSError: Ended: by nobody"),
        ({}, "failed", ""),
    ],
)
def test_whether_a_run_was_stopped(attempt: dict[str, Any], state: str, reason: str, tmp_path: Path) -> None:
    assert store.state(tmp_path) == "pending"
    (tmp_path / "provenance.json").write_text(json.dumps({"attempts": [{}, attempt], "epoch_seconds": {}}))
    assert (store.state(tmp_path), store.reason(tmp_path)) == (state, reason)


@pytest.mark.parametrize("error", [store.StoppedError("on request"), signals.Ended(signal.SIGINT), KeyboardInterrupt()])
def test_the_attempt_records_that_it_was_stopped(error: BaseException, tmp_path: Path) -> None:
    run = store.Run(tmp_path, IDENTITY)
    with pytest.raises(type(error)):
        _end(run, error)
    record = provenance.read(run.folder)
    assert record is not None
    assert record.attempts[0]["stopped"]
    assert record.identity == IDENTITY
    assert store.state(run.folder) == "stopped"
    with pytest.raises(OSError, match="no space"):
        _end(run, OSError("no space left"))
    assert store.state(run.folder) == "failed"  # the last attempt decides


def _exit_on_interrupt(run: store.Run) -> None:
    with run.claim():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)  # as Lightning does


def test_an_interrupt_that_a_library_turns_into_an_exit_is_a_stop(tmp_path: Path) -> None:
    run = store.Run(tmp_path, IDENTITY)
    with pytest.raises(SystemExit):
        _exit_on_interrupt(run)
    assert store.state(run.folder) == "stopped"


def test_a_result_that_cannot_be_read_is_not_finished(tmp_path: Path) -> None:
    run = store.Run(tmp_path, IDENTITY)
    run.folder.mkdir(parents=True)
    (run.folder / "result.json").write_text('{"schema": 1')
    assert store.state(run.folder) == "unreadable"


@pytest.mark.parametrize(
    ("recorded", "kernels"),
    [
        ("fused and pooled", ["fused", "pooled"]),
        ("torch", ["torch"]),
        (["fused", "torch"], ["fused", "torch"]),
        (None, ["torch"]),
    ],
)
def test_a_resumed_run_reads_its_kernels_also_as_first_versions_wrote_them(
    recorded: Any, kernels: list[str], tmp_path: Path
) -> None:
    run = store.Run(tmp_path, IDENTITY)
    run.folder.mkdir(parents=True)
    attempt = {"threads": 1, "kernels": recorded}
    (run.folder / "provenance.json").write_text(json.dumps({"attempts": [attempt], "epoch_seconds": {}}))
    assert store.Attempt(run).kernels == kernels


def test_a_manifest_has_the_seeds_of_its_runs_also_one_of_the_first_versions(tmp_path: Path) -> None:
    run = store.Run(tmp_path, IDENTITY)
    path = manifest.write(tmp_path, "s", "python", [run], None)
    content = json.loads(path.read_text())
    settings = {key: value for key, value in IDENTITY.items() if key != "seeds"}
    entry = {"hash": run.hash, "folder": str(folder(IDENTITY)), "seeds": IDENTITY["seeds"]}
    assert content["runs"] == [{**entry, "variant": hash_of(settings)}]
    new = manifest.parse(path, tmp_path, content)
    assert new.requested[run.hash].variant == settings
    del content["runs"][0]["seeds"]
    assert manifest.parse(path, tmp_path, content) == new
    assert new.requested[run.hash].seeds == (3, 1, 2)
    path.write_text(json.dumps(content))
    assert manifest.write(tmp_path, "s", "python", [run], None) == path  # the same sweep, which keeps its first date
    assert json.loads(path.read_text()) == content
    del content["runs"][0]["variant"], content["variants"]
    assert manifest.parse(path, tmp_path, content).requested[run.hash].variant is None


def test_a_folder_that_is_not_named_like_a_run_has_no_seeds() -> None:
    with pytest.raises(ValueError, match="is no run's folder"):
        seeds_in(folder(IDENTITY).with_name("seed=x-123456"))
