"""Records the results of small runs and their reports to the last bit, and compares them after a refactoring.

    python -m benchmarks.behaviour --write before.json      # about three minutes on two cores
    python -m benchmarks.behaviour --against before.json    # after the change; exits with 1 if anything differs

Every model of conf/model is trained for two short epochs on the digits, the recurrent ones with our kernels and with torch's.
The comparison covers each run's identity, result.json, metrics.csv, predictions.npz and best weights, and every cell of the
tables that report.py writes for these runs and for an invented file of scores. Bits are the same only on the same machine.
"""

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from hybridnets.training.checkpoints import hash_weights

ROOT = Path(__file__).resolve().parents[1]
SHORT = (
    *("data=digits", "recipe=cifar10", "trainer.max_epochs=2", "trainer.limit_train_batches=8"),
    "hydra.launcher.jobs=2",
)
SMALL = (*SHORT, "model.channels=[4,8,8,16]", "model.batch_norm_momentum=0.9", "nodes=8")
RECURRENT = ("-m", *SMALL, "model=crnn,ecrnn", "rnn=lstm,bilstm,gru", "seed=0,1")
SWEEPS = {
    "fused": (*RECURRENT, "rnn.backend=auto"),
    "torch": (*RECURRENT, "rnn.backend=torch"),
    "others": ("-m", *SMALL, "model=cnn,ecnn", "seed=0,1"),
    "positions": ("-m", *SMALL, "model=crnn", "model.sequence=positions", "model.order=natural,permuted"),
    "vgg16": ("-m", *SHORT, "model=vgg16", "model.image_size=null", "model.dense=[16]", "seed=0"),
    "autoencoder": (
        *("-m", *SHORT, "model=feature_autoencoder", "model.kind=cae,sae", "model.channels=4", "seed=0,1"),
        "backbone=[model=cnn,recipe=cifar10,model.channels=[4,8,8,16],model.batch_norm_momentum=0.9]",
    ),
}
FILES = ("result.json", "metrics.csv", "predictions.npz")


def main() -> int:
    """Records the behaviour, or compares it with an earlier record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="JSON", help="write a record of the present behaviour")
    action.add_argument("--against", type=Path, metavar="JSON", help="compare the present behaviour with a record")
    arguments = parser.parse_args()
    before = json.loads(arguments.against.read_text(encoding="utf-8")) if arguments.against else None
    with tempfile.TemporaryDirectory() as folder:
        now = record(Path(folder))
    if before is None:
        arguments.write.write_text(json.dumps(now, indent=1, sort_keys=True), encoding="utf-8")
        print(f"{len(now['runs'])} runs and {len(now['tables'])} tables written to {arguments.write}")
        return 0
    differences = list(compare(before, now))
    for difference in differences:
        print(f"- {difference}")
    count = f"{len(now['runs'])} runs and {len(now['tables'])} tables"
    print(f"{count}: {f'{len(differences)} differences' if differences else 'all equal'}")
    return 1 if differences else 0


def record(folder: Path) -> dict[str, Any]:
    """Trains and reports in an empty folder.

    Returns:
        "runs": the hashes of identity, files and weights, by sweep and folder; "tables": rows of cells, by report and file.
    """
    runs: dict[str, dict[str, str]] = {}
    tables: dict[str, list[list[str]]] = {}
    for name, overrides in SWEEPS.items():
        _run_script("train.py", *overrides, f"out={folder / name}")
        for result in sorted((folder / name).glob("*/*/*/result.json")):
            runs[f"{name}/{result.parent.relative_to(folder / name)}"] = _hashes(result.parent)
        tables |= _tables(name, folder / name)
    scores = folder / "scores.csv"
    scores.write_text(_scores(), encoding="utf-8")
    tables |= _tables("scores", scores)
    return {"runs": runs, "tables": tables}


def _run_script(script: str, *arguments: str) -> None:
    process = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if process.returncode:
        raise SystemExit(
            f"{script} {' '.join(arguments)} ended with {process.returncode}:\n{process.stdout}{process.stderr}"
        )


def _hashes(folder: Path) -> dict[str, str]:
    best = torch.load(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    return {
        **{name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES},
        "identity": json.loads((folder / "result.json").read_text(encoding="utf-8"))["hash"],
        "weights": hash_weights(best["state_dict"]),
    }


def _tables(name: str, path: Path) -> dict[str, list[list[str]]]:
    """The cells of all tables that a report writes, without the columns of seconds."""
    report = path.parent / f"{name}-report"
    folder = str(path.parent).lstrip("/")
    _run_script("report.py", str(path), "--to", str(report))
    tables = {}
    for table in sorted((report / "tables").rglob("*.csv")):
        with table.open(newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file)) or [[]]
        timed = {i for i, column in enumerate(head) if column.startswith(("s/", "seconds"))}
        tables[f"{name}/{table.relative_to(report / 'tables')}"] = [
            [cell.replace(folder, "") for i, cell in enumerate(row) if i not in timed] for row in (head, *rows)
        ]
    return tables


def _scores() -> str:
    rows = ["variant,seed,score,lr"]
    for i, variant in enumerate(("base", "wide", "deep")):
        rows += [f"{variant},{seed},{0.7 + 0.01 * i + 0.003 * ((7 * seed + i) % 5):.4f},0.1" for seed in range(5)]
    return "\n".join(rows) + "\n"


def compare(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yields a sentence for every difference.

    Args:
        before: An earlier return value of `record`.
        now: The present one.
    """
    for kind in ("runs", "tables"):
        for name in sorted(before[kind].keys() ^ now[kind].keys()):
            yield f"{name} exists only {'before' if name in before[kind] else 'now'}"
    for name in sorted(before["runs"].keys() & now["runs"].keys()):
        changed = [key for key, value in before["runs"][name].items() if now["runs"][name].get(key) != value]
        if changed:
            yield f"{name} has another {', '.join(changed)}"
    for name in sorted(before["tables"].keys() & now["tables"].keys()):
        old, new = before["tables"][name], now["tables"][name]
        if [len(row) for row in old] != [len(row) for row in new]:
            yield f"{name} has other rows or columns"
            continue
        for line, (old_row, new_row) in enumerate(zip(old, new, strict=True), start=1):
            for column, (old_cell, new_cell) in enumerate(zip(old_row, new_row, strict=True), start=1):
                if old_cell != new_cell:
                    yield f"{name}, line {line}, column {column}: {old_cell!r} before, {new_cell!r} now"


if __name__ == "__main__":
    sys.exit(main())
