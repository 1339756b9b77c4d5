"""Writes the locks that `make` installs from; `make lock` runs it where uv is installed.

uv resolves for every platform and Python at once and lists the hashes of every file on PyPI. What installs torch is a lock of
its own, with the CUDA packages that its build on PyPI needs on Linux. The CPU build lies on an index of its own, so its hashes
are written down in torch-cpu.sha256.

Versions stay as they are while pyproject.toml admits them; arguments go to uv, as --upgrade or --upgrade-package NAME.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = ("augment", "fast", "demo", "images", "progress", "report", "slurm", "export", "dev")
LOGGERS = ("tensorboard", "wandb", "mlflow")
BESIDE = {  # what an environment has beside requirements/main.lock: the lock, its extras, and what they are for
    "requirements/loggers.lock": (LOGGERS, "What TensorBoard, W&B and MLflow need besides."),
    "requirements/huggingface.lock": (("huggingface",), "What data=huggingface needs besides."),
    "requirements/docs.lock": (("docs",), "What builds the documentation, besides."),
}
BUILD = ("setuptools", "hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers")
TORCH = re.compile(r"(cuda|nvidia)-|(torch|triton)==")
HEADER = "# Written by `make lock`, not by hand. {}\n"

Entry = list[str]  # of a lock: a line `name==version ; marker` and its lines with hashes


def entries(lock: str) -> list[Entry]:
    """A lock's entries, in its order."""
    lines = [line for line in lock.splitlines(keepends=True) if not line.startswith("#")]
    starts = [i for i, line in enumerate(lines) if not line[0].isspace()]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def resolved(extras: Iterable[str], known: Iterable[str], arguments: Iterable[str]) -> list[Entry]:
    """What uv resolves for some extras, preferring the versions of known locks."""
    output = ROOT / ".venv-lock" / "resolved.txt"
    output.write_text("".join((ROOT / name).read_text() for name in known))
    words = [word for extra in extras for word in ("--extra", extra)]
    subprocess.run(
        [
            *(ROOT / ".venv-lock" / "bin" / "uv", "pip", "compile", "--universal", "--python-version", "3.11"),
            *("--fork-strategy", "fewest"),  # one version for every Python
            *(
                "--generate-hashes",
                "--no-annotate",
                "--no-header",
                "--quiet",
                "--output-file",
                output,
                *words,
                *arguments,
            ),
            *("--find-links", output.parent, "pyproject.toml", "-"),
        ],
        cwd=ROOT,
        check=True,
        input=b"hatchling>=1.27\nsetuptools\n",  # which build hybridnets, and what has no wheel
    )
    return [entry for entry in entries(output.read_text()) if not entry[0].startswith("hydra-process-launcher==")]


def cpu_build(torch: Entry) -> Entry:
    """The entry of torch's CPU build."""
    version = torch[0].split()[0].removeprefix("torch==")
    listed = [line.split() for line in (ROOT / "requirements" / "torch-cpu.sha256").read_text().splitlines()]
    hashes = [digest for digest, wheel in listed if wheel.startswith(f"torch-{version}+cpu-")]
    if not hashes:
        sys.exit(
            f"requirements/torch-cpu.sha256 must list torch {version}: add its wheels from download.pytorch.org/whl/cpu/torch"
        )
    return [" \\\n".join([f"torch=={version}+cpu", *(f"    --hash=sha256:{digest}" for digest in hashes)]) + "\n"]


def write(name: str, what: str, lock: Sequence[Entry]) -> None:
    """Writes a lock."""
    text = "".join(line for entry in lock for line in entry)
    (ROOT / name).write_text(HEADER.format(what) + text)
    print(f"{name}: {len(lock)} packages")


def main() -> None:
    """Writes all locks."""
    arguments = sys.argv[1:]
    pip = [sys.executable, "-m", "pip"]
    subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "-w", ".venv-lock", "./launcher"], cwd=ROOT, check=True
    )  # is on no index
    locks = ("requirements/main.lock", "requirements/torch.lock")
    solution = resolved(EVERYTHING, locks, arguments)
    torch = [entry for entry in solution if TORCH.match(entry[0])]
    ours = [entry for entry in solution if entry not in torch]
    write("requirements/main.lock", "What `make` installs, but for torch.", ours)
    write("requirements/torch.lock", "torch as on PyPI, and the CUDA packages that it needs on Linux.", torch)
    cpu = [cpu_build(entry) for entry in torch if entry[0].startswith("torch==")]
    write("requirements/torch-cpu.lock", "torch's CPU build.", cpu)
    build = [entry for entry in ours if entry[0].split("==")[0] in BUILD]
    write("requirements/build.lock", "What builds hybridnets, and what has no wheel.", build)
    fixed = ("--constraint", "requirements/main.lock")  # such an environment has both locks
    lines = {entry[0] for entry in solution}  # with the platforms for which a package is there
    for name, (extras, what) in BESIDE.items():
        known = [lock for lock in (*locks, name) if (ROOT / lock).exists()]
        everything = resolved((*EVERYTHING, *extras), known, (*fixed, *arguments))
        write(name, what, [entry for entry in everything if entry[0] not in lines])


if __name__ == "__main__":
    main()
