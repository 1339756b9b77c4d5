"""What the launcher costs: a job beyond its own training, and the parent's memory and processor time over many jobs.

    python -m benchmarks.launcher [--jobs 200] [--json FILE]          about 11 minutes on 2 cores with 200 jobs

The first part trains short runs on the digits, one at a time, and takes from each process's time what its epochs took. The
second starts stub jobs of an application that imports nothing but Hydra; they wait `--seconds`, by default less than it takes
a training to begin. Linux only.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import facts_line, machine_facts, output_file, positive

ROOT = Path(__file__).parents[1]
APP = """
import time
import hydra

@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    time.sleep(cfg.seconds)

main()
"""


def overhead(runs: int) -> float:
    """Seconds of a run's process beyond its epochs, the median: starting, claiming, building, predicting, finishing."""
    found = []
    with tempfile.TemporaryDirectory() as out:
        for seed in range(runs):
            words = ["data=digits", "model=cnn", "trainer.max_epochs=2", f"seed={seed}", f"out={out}"]
            began = time.monotonic()
            subprocess.run([sys.executable, ROOT / "train.py", *words], check=True, stderr=subprocess.DEVNULL)
            seconds = time.monotonic() - began
            (file,) = Path(out).glob(f"digits/*/seed={seed}-*/provenance.json")
            epochs = json.loads(file.read_text(encoding="utf-8"))["epoch_seconds"]
            found.append(seconds - sum(epochs.values()))
    return float(statistics.median(found))


def parent(jobs: int, at_a_time: int, wait: float) -> tuple[float, float, float, float, float]:
    """The parent's largest memory in MB, seconds and processor seconds until the first job, then both until the end."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APP, encoding="utf-8")
        words = [
            "-m",
            "hydra/launcher=local",
            f"hydra.launcher.jobs={at_a_time}",
            f"+x=range({jobs})",
            f"+seconds={wait}",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "app.py", *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL
        )
        own = Path(f"/proc/{process.pid}")
        memory, ticks, before, first = 0.0, 0, 0, 0.0
        while process.poll() is None:
            try:
                status = (own / "status").read_text(encoding="utf-8")
                fields = (own / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                started = (own / "task" / str(process.pid) / "children").read_text(encoding="utf-8")
            except OSError:
                break
            if "VmHWM:" in status:
                memory = int(status.split("VmHWM:")[1].split()[0]) / 1000
                ticks = int(fields[11]) + int(fields[12])  # user and system, of itself alone
            if started and not first:
                before, first = ticks, time.monotonic() - began
            time.sleep(0.2)
        watching = time.monotonic() - began - first
        second = os.sysconf("SC_CLK_TCK")
        return memory, first, before / second, watching, (ticks - before) / second


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=positive, default=5, help="short runs of the first part")
    parser.add_argument("--jobs", type=positive, default=60, help="stub jobs of the second part")
    parser.add_argument("--at-a-time", type=positive, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a stub job waits")
    parser.add_argument("--json", type=output_file, metavar="FILE")
    arguments = parser.parse_args()
    facts = machine_facts("torch", "pytorch-lightning", "hydra-core")
    print(facts_line(facts))
    job = overhead(arguments.runs)
    print(f"a job beyond its epochs: {job:.1f} s, the median of {arguments.runs}")
    memory, first, composing, watching, used = parent(arguments.jobs, arguments.at_a_time, arguments.seconds)
    share = (composing + used) / (first + watching)
    print(f"the parent over {arguments.jobs} stub jobs of {arguments.seconds:g} s, {arguments.at_a_time} at a time:")
    print(
        f"  {memory:.0f} MB, {share:.1%} of a core: {composing:.0f} s of processor time until the first job (Hydra composes"
    )
    print(f"  them all, {first:.0f} s), then {used / watching:.1%} for {watching:.0f} s")
    if arguments.json:
        found = {
            "job_seconds": job,
            "parent_mb": memory,
            "composing_processor_seconds": composing,
            "after_it": used / watching,
        }
        arguments.json.write_text(json.dumps({"machine": facts, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
