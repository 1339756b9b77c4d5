"""The wheel in an environment of its own, and the README, whose application, commands and settings are those of these tests."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import MISSING, fields
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from application import SOURCE
from hydra_plugins.process_launcher._settings import LocalSettings, SlurmSettings

README = (SOURCE / "README.md").read_text(encoding="utf-8")
ALONE = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
ALONE["PYTHONNOUSERSITE"] = "1"


def pip(*words: object) -> str:
    command = [sys.executable, "-m", "pip", *map(str, words)]
    done = subprocess.run(command, env=ALONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def link_requirements(needing: Distribution, packages: Path) -> None:
    """Make what a distribution requires importable from `packages` too, as tests have no package index."""
    for text in needing.requires or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        needed = distribution(requirement.name)
        for name in {file.parts[0] for file in needed.files or []} - {"..", "__pycache__"}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(str(needed.locate_file(name))))
        link_requirements(needed, packages)


def install_wheel(folder: Path) -> tuple[Path, Path]:
    """Build the wheel and install it in a new environment with what it requires: the environment's Python and packages."""
    shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("tests", "build", "*.egg-info"))
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, folder / "source")
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    (installed,) = distributions(name="hydra-process-launcher", path=[str(packages)])
    link_requirements(installed, packages)
    return python, packages


def test_the_wheel_alone_sweeps_the_application_of_the_readme(tmp_path: Path) -> None:
    python, packages = install_wheel(tmp_path)
    assert "No broken requirements found" in pip("--python", python, "check")
    assert (packages / "hydra_plugins" / "process_launcher" / "py.typed").exists()
    assert [path.name for path in packages.glob("hydra_process_launcher-*/licenses/*")] == ["LICENSE"]
    app, plan = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(app)
    (folder / "jobs.py").write_text(plan)

    absent = (
        "import importlib.util as u; print([n for n in ('torch', 'hybridnets', 'rich', 'submitit') if u.find_spec(n)])"
    )
    assert subprocess.check_output([python, "-c", absent], cwd=folder, env=ALONE, text=True) == "[]\n"
    local, planned, _slurm = (words.split() for words in re.findall(r"^    python (app\.py .*)$", README, re.MULTILINE))
    assert local[2:4] == ["hydra/launcher=local", "hydra.launcher.jobs=2"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen([python, *local], cwd=folder, env=ALONE, **pipes) as parent:
        output, _ = parent.communicate(timeout=120)
    assert parent.returncode == 0, output
    processes = []
    for x in (1, 2):
        text, _, process = (folder / f"square-{x}.txt").read_text().rpartition(" ")
        assert text == f"{x} squared is {x * x}, by process"
        processes.append(int(process))
    assert len({*processes, parent.pid}) == 3  # each job's, and the launcher's
    (printed,) = re.findall(r"^```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert set(map(without_chance, printed.splitlines())) <= set(map(without_chance, output.splitlines()))

    for counts in ("1 finished, 2 already done", "3 already done"):
        output = subprocess.check_output([python, *planned], cwd=folder, env=ALONE, text=True)
        assert f"\n3 jobs: {counts} (4 requested, some of them identical)" in output


def without_chance(line: str) -> str:
    """A line of the launcher without the order of the jobs, times and process ids."""
    return re.sub(r"process \d+", "process N", re.sub(r"in [\d:]+", "in TIME", re.sub(r"^\[\d/2\]", "", line)))


def test_the_readme_has_each_setting_and_its_default() -> None:
    both, local, slurm = (
        dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
        for table in re.findall(r"^\| `hydra\.launcher\.`.*?\n\n", README, re.DOTALL | re.MULTILINE)
    )
    assert both.pop("jobs") == f"{LocalSettings().jobs}; slurm: {SlurmSettings().jobs}"
    for settings, table in ((LocalSettings, both | local), (SlurmSettings, both | slurm)):
        defaults: dict[str, str] = {}
        for setting in fields(settings):
            value = setting.default if setting.default_factory is MISSING else setting.default_factory()
            words = {None: "null", True: "true", False: "false"}
            defaults[setting.name] = words[value] if value is None or isinstance(value, bool) else str(value)
        del defaults["_target_"], defaults["jobs"]
        assert {name: default.strip("`") for name, default in table.items()} == defaults
