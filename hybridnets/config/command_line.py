"""Hydra's command line as `train` offers it: words in any order, errors in one sentence, the command that repeats a run."""

import functools
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from hybridnets import program, signals
from hybridnets.config.errors import ConfigError
from hybridnets.config.hydra_errors import explain
from hybridnets.config.overrides import complete_overrides
from hybridnets.config.schema import register
from hybridnets.config.search_path import ProjectSearchPath, check_project
from hydra_plugins.process_launcher import JobFailed

# As the user set it: the ranks that DDP starts inherit what `run_command` sets.
SHOWS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1" and "LOCAL_RANK" not in os.environ
TAKES_VALUE = {  # Hydra's options whose value is the next word
    *("-cn", "-cd", "-cp", "-c", "-p"),
    *("--config-name", "--config-dir", "--config-path", "--cfg", "--package", "--experimental-rerun"),
}
_typed: list[str] = []  # the arguments of the command line before `run_command` puts them in order
EXITED = "sys.exit was called by a module that the configuration names"
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")  # optional values of --info


def report_user_errors(conf: Path) -> Callable[[Callable[[DictConfig], float]], Callable[[DictConfig], float]]:
    """Makes a Hydra application end with one sentence on a user's error, before Hydra would report it as the job's.

    Args:
        conf: Folder of the configuration, for the legal keys.
    """

    def decorate(main: Callable[[DictConfig], float]) -> Callable[[DictConfig], float]:
        @functools.wraps(main)
        def run(cfg: DictConfig) -> float:
            try:
                _check_is_sweep()
                return main(cfg)
            except Exception as error:
                sys.exit(_report(error, conf))
            except SystemExit as ended:
                if signals.exit_code() is not None:
                    raise
                sys.exit(_report(ConfigError(f"{EXITED}, with {ended.code!r}: remove that call"), conf))

        return run

    return decorate


def _check_is_sweep() -> None:
    """Refuses until=settled for a single run, to which no seed can be added; the jobs of a sweep have other words.

    Raises:
        ConfigError: If it was typed without a sweep.
    """
    if "until=settled" in _typed:
        raise ConfigError(
            "until=settled needs a sweep, because it adds seeds, got a single run: give -cn and a file in sweeps/ that "
            "declares the question and report.until"
        )


def run_command(main: Callable[[], Any], conf: Path) -> int:
    """Runs a Hydra application with the words of the command line.

    Args:
        main: The application.
        conf: Folder of the configuration.

    Returns:
        The exit code, 2 for a user's error.
    """
    # With --info Hydra logs by itself, and each line would appear twice.
    if not any(word.startswith(("-i", "--info")) for word in sys.argv[1:]):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.getLogger("fontTools").setLevel(
            logging.WARNING
        )  # the demo's report would name every glyph of its figures
    register()
    Plugins.instance().register(ProjectSearchPath)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors
    try:
        check_project(conf, _config_folder(sys.argv[1:]))
        _typed[:] = sys.argv[1:]
        sys.argv[1:] = _with_options_first(sys.argv[1:])
        _check_options(sys.argv[1:])
        main()
    except JobFailed:  # the sweep's summary reports it
        return 1
    except Exception as error:
        return _report(error, conf)
    return 0


def typed_command() -> str:
    """The command as the user typed it, without the interpreter and its options."""
    return shlex.join([*program.words("train"), *_typed])


def repeating_command(overrides: Sequence[str] | None = None) -> str:
    """The command that repeats this run alone, or the run that other overrides compose."""
    hydra = HydraConfig.get()
    name = hydra.job.config_name or "config"
    sweep = [] if name == "config" else ["-cn", name, "hydra.mode=RUN"]
    return shlex.join([*program.words("train"), *sweep, *(hydra.overrides.task if overrides is None else overrides)])


def _config_folder(words: Sequence[str]) -> Path | None:
    """The folder that --config-dir names; None without one."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option in ("-cd", "--config-dir"):
            return Path(value or following)
    return None


def _check_options(words: Sequence[str]) -> None:
    """Refuses what Hydra's parser of options would answer with all of its options.

    Raises:
        ConfigError: If an option is unknown, or lacks its value.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        if match := re.fullmatch(r"argument (?:\S+/)?(\S+): expected one argument", message):
            raise ConfigError(f"{match[1]} needs a value (--help lists the options)")
        if match := re.match(r"unrecognized arguments: (-+([^\s=]*)(?:=(\S+))?)", message):
            word, key, value = match.groups()
            following = _typed[_typed.index(word) + 1 :] if word in _typed else []
            value = value or next((text for text in following[:1] if not re.search("^-|=", text)), "VALUE")
            raise ConfigError(
                f"{word} is not an option of this command, and settings have no dashes: write {key}={value} "
                "(--help lists options and settings)"
            )
        raise ConfigError(f"{message} (--help lists the options)")

    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args(list(words))


def _with_options_first(words: Sequence[str]) -> list[str]:
    """Options before overrides, because DDP appends overrides of its own to the command of its ranks."""
    options: list[str] = []
    overrides: list[str] = []
    for previous, word in zip(["", *words], words, strict=False):
        is_value = previous in TAKES_VALUE or (previous in ("-i", "--info") and word in INFO)
        (options if word.startswith("-") or is_value else overrides).append(word)
    if options and options[-1] in ("-i", "--info"):
        options.append("all")  # its default; it would take an override for its value
    return options + complete_overrides(overrides)


def _report(error: Exception, conf: Path) -> int:
    """Prints a user's error in one sentence and returns the exit code; raises any other error, and all of a sweep's job."""
    if code := signals.exit_code():
        return code
    sentence = explain(error, conf, sys.argv[1:])
    if sentence is None or SHOWS_TRACEBACK:
        raise error
    print(f"{program.name('train')}: {program.printable(' '.join(sentence.splitlines()))}", file=sys.stderr)
    return 2
