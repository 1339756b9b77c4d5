"""What small runs and reports come to, to the last bit: taken before a change that must change nothing, and compared after it.

    python -m benchmarks.behaviour --write before.json      # about three minutes on two cores
    python -m benchmarks.behaviour --against before.json    # after the change; exits 1 where anything differs

Every model of conf/model is trained for two short epochs on the digits, the recurrent ones with our kernels and with torch's.
Compared are each run's identity, result.json, metrics.csv, predictions.npz and best weights, and every cell of
the tables that report.py makes of these runs and of a made-up file of scores. Only the same machine gives the same bits.
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

from hybridnets.training.checkpoints import weights_digest

ROOT = Path(__file__).resolve().parents[1]
SHORT = ("data=digits", "trainer.max_epochs=2", "trainer.limit_train_batches=8", "hydra.launcher.jobs=2")
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
        "backbone=[model=cnn,model.channels=[4,8,8,16],model.batch_norm_momentum=0.9]",
    ),
}
FILES = ("result.json", "metrics.csv", "predictions.npz")


def main() -> int:
    """Takes the state, or compares it with one taken before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--write", type=Path, metavar="JSON", help="where to keep what the code does now")
    one.add_argument("--against", type=Path, metavar="JSON", help="what it did before")
    arguments = parser.parse_args()
    before = json.loads(arguments.against.read_text(encoding="utf-8")) if arguments.against else None
    with tempfile.TemporaryDirectory() as folder:
        now = behaviour(Path(folder))
    if before is None:
        arguments.write.write_text(json.dumps(now, indent=1, sort_keys=True), encoding="utf-8")
        print(f"{len(now['runs'])} runs and {len(now['tables'])} tables written to {arguments.write}")
        return 0
    differences = list(compared(before, now))
    for difference in differences:
        print(f"- {difference}")
    count = f"{len(now['runs'])} runs and {len(now['tables'])} tables"
    print(f"{count}: {f'{len(differences)} differences' if differences else 'all equal'}")
    return 1 if differences else 0


def behaviour(folder: Path) -> dict[str, Any]:
    """Trains and reports in an empty folder.

    Returns:
        "runs": by sweep and folder, the hashes of identity, files and weights; "tables": by report and file, the rows of cells.
    """
    runs: dict[str, dict[str, str]] = {}
    tables: dict[str, list[list[str]]] = {}
    for name, words in SWEEPS.items():
        _command("train.py", *words, f"out={folder / name}")
        for result in sorted((folder / name).glob("*/*/*/result.json")):
            runs[f"{name}/{result.parent.relative_to(folder / name)}"] = _hashes(result.parent)
        tables |= _tables(name, folder / name)
    scores = folder / "scores.csv"
    scores.write_text(_scores(), encoding="utf-8")
    tables |= _tables("scores", scores)
    return {"runs": runs, "tables": tables}


def _command(script: str, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _hashes(folder: Path) -> dict[str, str]:
    best = torch.load(folder / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=True)
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    return {
        **found,
        "identity": json.loads((folder / "result.json").read_text(encoding="utf-8"))["hash"],
        "weights": weights_digest(best["state_dict"]),
    }


def _tables(name: str, path: Path) -> dict[str, list[list[str]]]:
    """The cells of all tables that a report writes, but for those that hold seconds."""
    to = path.parent / f"{name}-report"
    here = str(path.parent).lstrip("/")
    _command("report.py", str(path), "--to", str(to))
    found = {}
    for table in sorted((to / "tables").rglob("*.csv")):
        with table.open(newline="", encoding="utf-8") as file:
            head, *rows = list(csv.reader(file)) or [[]]
        timed = {place for place, column in enumerate(head) if column.startswith(("s/", "seconds"))}
        found[f"{name}/{table.relative_to(to / 'tables')}"] = [
            [cell.replace(here, "") for place, cell in enumerate(row) if place not in timed] for row in (head, *rows)
        ]
    return found


def _scores() -> str:
    rows = ["variant,seed,score,lr"]
    for place, variant in enumerate(("base", "wide", "deep")):
        rows += [
            f"{variant},{seed},{0.7 + 0.01 * place + 0.003 * ((7 * seed + place) % 5):.4f},0.1" for seed in range(5)
        ]
    return "\n".join(rows) + "\n"


def compared(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """A sentence on everything that differs.

    Args:
        before: What `behaviour` gave.
        now: The same of the code as it is now.
    """
    for kind in ("runs", "tables"):
        for name in sorted(before[kind].keys() ^ now[kind].keys()):
            yield f"{name} is there {'before' if name in before[kind] else 'now'} only"
    for name in sorted(before["runs"].keys() & now["runs"].keys()):
        other = [key for key, value in before["runs"][name].items() if now["runs"][name].get(key) != value]
        if other:
            yield f"{name} has another {', '.join(other)}"
    for name in sorted(before["tables"].keys() & now["tables"].keys()):
        old, new = before["tables"][name], now["tables"][name]
        if [len(row) for row in old] != [len(row) for row in new]:
            yield f"{name} has other rows or columns"
            continue
        for line, (was, is_) in enumerate(zip(old, new, strict=True), start=1):
            for column, (cell, other) in enumerate(zip(was, is_, strict=True), start=1):
                if cell != other:
                    yield f"{name}, line {line}, column {column}: {cell!r} before, {other!r} now"


if __name__ == "__main__":
    sys.exit(main())
