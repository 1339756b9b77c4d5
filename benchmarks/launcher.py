"""What the launcher costs: each job's time beyond its training, and the parent's memory and processor time over many jobs.

    python -m benchmarks.launcher [--jobs 200] [--json FILE]          about 11 minutes on 2 cores with 200 jobs

The first part trains short runs on the digits, one at a time, and subtracts the time of the epochs from that of the process.
The second part starts stub jobs of an application that imports only Hydra; they wait `--seconds`, by default less than it
takes to start a run. Linux only.
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


def measure_job(runs: int) -> float:
    """Median seconds of a run's process beyond its epochs: starting, claiming, building, predicting, finishing."""
    overheads = []
    with tempfile.TemporaryDirectory() as out:
        for seed in range(runs):
            words = ["data=digits", "model=cnn", "trainer.max_epochs=2", f"seed={seed}", f"out={out}"]
            start = time.monotonic()
            subprocess.run([sys.executable, ROOT / "train.py", *words], check=True, stderr=subprocess.DEVNULL)
            seconds = time.monotonic() - start
            (file,) = Path(out).glob(f"digits/*/seed={seed}-*/provenance.json")
            epochs = json.loads(file.read_text(encoding="utf-8"))["epoch_seconds"]
            overheads.append(seconds - sum(epochs.values()))
    return float(statistics.median(overheads))


def measure_parent(jobs: int, at_a_time: int, wait: float) -> tuple[float, float, float, float, float]:
    """The parent's peak memory in MB; its seconds and processor seconds before the first job starts, and both after that."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(APP, encoding="utf-8")
        words = [
            "-m",
            "hydra/launcher=local",
            f"hydra.launcher.jobs={at_a_time}",
            f"+x=range({jobs})",
            f"+seconds={wait}",
        ]
        start = time.monotonic()
        process = subprocess.Popen([sys.executable, "app.py", *words], cwd=folder, stdout=subprocess.DEVNULL)
        proc = Path(f"/proc/{process.pid}")
        memory, ticks, before, first = 0.0, 0, 0, 0.0
        while process.poll() is None:
            try:
                status = (proc / "status").read_text(encoding="utf-8")
                fields = (proc / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                children = (proc / "task" / str(process.pid) / "children").read_text(encoding="utf-8")
            except OSError:
                break
            if "VmHWM:" in status:
                memory = int(status.split("VmHWM:")[1].split()[0]) / 1000
                ticks = int(fields[11]) + int(fields[12])  # user and system time, without children
            if children and not first:
                before, first = ticks, time.monotonic() - start
            time.sleep(0.2)
        watching = time.monotonic() - start - first
        second = os.sysconf("SC_CLK_TCK")
        return memory, first, before / second, watching, (ticks - before) / second


def main() -> None:
    """Measures both parts and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=positive, default=5, help="short runs of the first part")
    parser.add_argument("--jobs", type=positive, default=60, help="stub jobs of the second part")
    parser.add_argument("--at-a-time", type=positive, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each stub job waits")
    parser.add_argument("--json", type=output_file, metavar="FILE")
    arguments = parser.parse_args()
    facts = machine_facts("torch", "pytorch-lightning", "hydra-core")
    print(facts_line(facts))
    job = measure_job(arguments.runs)
    print(f"a job beyond its epochs: {job:.1f} s, the median of {arguments.runs}")
    memory, seconds, composing, watching, used = measure_parent(arguments.jobs, arguments.at_a_time, arguments.seconds)
    share = (composing + used) / (seconds + watching)
    print(f"the parent over {arguments.jobs} stub jobs of {arguments.seconds:g} s, {arguments.at_a_time} at a time:")
    print(
        f"  {memory:.0f} MB, {share:.1%} of a core: {composing:.0f} s of processor time until the first job (Hydra composes"
    )
    print(f"  them all, {seconds:.0f} s), then {used / watching:.1%} for {watching:.0f} s")
    if arguments.json:
        results = {
            "job_seconds": job,
            "parent_mb": memory,
            "composing_processor_seconds": composing,
            "after_it": used / watching,
        }
        arguments.json.write_text(json.dumps({"machine": facts, **results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
