"""The command lines that start a job: the launcher's, and another for the user to repeat it."""

import shlex
import shutil
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.utils import JobReturn

import __main__


def program() -> list[str]:
    """The command that starts the application again, without its arguments."""
    if __main__.__spec__ is not None:
        return [sys.executable, "-m", __main__.__spec__.name]
    return [sys.executable, str(Path.cwd() / sys.argv[0])]


def job_command(program: list[str], folder: Path, number: int) -> list[str]:
    """The command that runs the job whose configuration is job-N.yaml in `folder`."""
    return [*program, "--config-path", str(folder), "--config-name", f"job-{number}"]


def repeat_command(job_return: JobReturn) -> str:
    """The shell command that runs one job alone, as a user would, with the same configuration files."""
    if __main__.__spec__ is not None:
        words = ["python", *program()[1:]]
    else:  # a script, or else an installed command
        name, installed = Path(sys.argv[0]).name, shutil.which(Path(sys.argv[0]).name)
        words = [name] if installed and Path(installed).samefile(sys.argv[0]) else ["python", sys.argv[0]]
    arguments, _ = get_args_parser().parse_known_args()
    for option in ("config_path", "config_name", "config_dir"):
        if getattr(arguments, option):
            words += ["--" + option.replace("_", "-"), getattr(arguments, option)]
    assert job_return.hydra_cfg is not None
    if "hydra.mode=MULTIRUN" not in job_return.hydra_cfg.hydra.overrides.hydra:  # a configuration file sets the mode
        words.append("hydra.mode=RUN")
    return shlex.join([*words, *(job_return.overrides or [])])
