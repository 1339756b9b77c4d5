"""The demo learns: what a newcomer sees first is no table of chance."""

import json
from pathlib import Path

from tests.command_line.test_sweep import python


def test_every_variant_reads_85_percent_of_the_digits(tmp_path: Path) -> None:
    done = python("train.py", "-cn", "demo", "seed=0", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 settings, 5 runs, 0 finished already" in done.stdout
    assert "5 jobs: 5 finished (6 were asked for, but some are the same)" in done.stdout
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    accuracies = {result["variant"]: result["best"]["val/acc"] for result in results}
    assert sorted(accuracies) == ["cnn", "crnn-bilstm-1x16", "crnn-lstm-1x16", "ecrnn-bilstm-1x16", "ecrnn-lstm-1x16"]
    assert min(accuracies.values()) > 0.85, accuracies
