"""Hydra's errors as one sentence each: key, rule, value, and what to do."""

import contextlib
import difflib
import errno
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigTypeError, GrammarParseError, OmegaConfBaseException, ValidationError

from hybridnets.config.check import RULES

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
COMPOSING = re.compile("raised while composing config:$")  # a line of Hydra's that says nothing more
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def explain(error: Exception, conf: Path, arguments: list[str]) -> str | None:
    """One sentence for a slip of the user's; None for an error that is nobody's slip.

    Args:
        error: What was raised.
        conf: Folder of the configuration, for the legal keys.
        arguments: The command line.
    """
    if found := re.match(r"Ambiguous value for argument '(.*)'", str(error)):
        how = "add -m to sweep over them, or write a list as KEY=[A,B], and a comma within a value as KEY='\"A,B\"'"
        return f"{found[1]} names several values: {how}"
    if str(error).startswith("Config group override must be a string"):
        group = next((word.partition("=")[0] for word in arguments if word.endswith("=null")), "a group")
        options = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        return f"{group} must be one of {', '.join(options)}, got null"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        options = [str(option) for option in error.options or () if (group, option) != ("hydra/launcher", "basic")]
        if not group:
            return f"--config-name must be the name of a file in the configuration folders, without .yaml, got {name}"
        return f"{group} must be one of {', '.join(options)}, got {name}{_close(name, options)}"
    if isinstance(error, ConfigCompositionException):
        return _composition(error, conf, arguments)
    if isinstance(error, OverrideParseException):
        return f"{error.override} must be an override of the form KEY=VALUE: {_first_line(error)}"
    if isinstance(error, OmegaConfBaseException | HydraException):
        return _first_line(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = f"{error.filename}: " if error.filename else ""
        return (
            f"out must be a folder with room to write in, and is not ({where}{error.strerror}): the same command goes on "
            "where there is some"
        )
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        return _forbidden(error)
    if isinstance(error, IsADirectoryError | NotADirectoryError) and error.filename:
        return f"{error.filename} must be another kind of file, and stands in the way ({error.strerror}): remove it"
    # Lightning's, which is not imported here.
    if any(kind.__name__ == "MisconfigurationException" for kind in type(error).__mro__):
        return f"Lightning refuses this configuration: {_first_line(error)} (HYDRA_FULL_ERROR=1 shows where)"
    return str(error) if isinstance(error, ValueError) else None


def _forbidden(error: OSError) -> str:
    """Names the file that may not be written or read, and whose it is."""
    whose = ""
    with contextlib.suppress(OSError, TypeError, KeyError):
        found = Path(error.filename).stat()
        whose = f"; it belongs to {pwd.getpwuid(found.st_uid).pw_name} and has mode {stat.S_IMODE(found.st_mode):o}"
    return (
        f"{error.filename or 'out'} must be a file or folder that you may use, and is not ({error.strerror}{whose}): have its "
        "permissions changed, or choose another folder with out="
    )


def _composition(error: ConfigCompositionException, conf: Path, arguments: list[str]) -> str:
    text, cause = str(error), error.__cause__
    if found := re.search(r"Error merging override (\+*)([^=]+)=(.*)", text):
        key, value = found[2], found[3]
        if isinstance(cause, GrammarParseError):
            return f"{key} must be a value or an interpolation such as ${{seed}}, got {value} ({_first_line(cause)})"
        if isinstance(cause, ValidationError | ConfigTypeError):
            if key in RULES:
                return f"{key} must be {RULES[key][0]}, got {value}"
            return f"{key} must be of its type, got {value} ({_first_line(cause).rstrip('.')})"
        return _unknown(key, conf, arguments)
    if found := re.search(r"An item is already at '([^']+)'", text):
        return f"{found[1]} is a key already: set it as {found[1]}=VALUE, without the +"
    if found := re.search(r"Could not (?:override|append to config|find) '([^']+)'", text):
        key = found[1].split("@")[0]
        inner = re.search(r"full_key: (\S+)", str(cause))
        return _unknown(inner[1] if inner and inner[1].startswith(f"{key}.") else key, conf, arguments)
    if re.search(r"full_key: hydra\.launcher\.(plan|dry_run)", text):
        name = next((word.partition("=")[2] for word in arguments if word.startswith("hydra/launcher=")), "another")
        return f"hydra/launcher must be local or slurm, which start a process for each run of a sweep, got {name}"
    return _first_line(error)


def _unknown(key: str, conf: Path, arguments: list[str]) -> str:
    keys = list(_keys(_composed(conf, arguments)))
    if key in keys:
        section = key.partition(".")[0]
        return (
            f"{key} must be a key of every configuration that is asked for, and {section}, as it is chosen or set in one, has "
            f"none: leave {key} out there"
        )
    return f"{key} must be a key of the configuration, which it is not{_close(key, keys)} (--help lists the knobs)"


def _composed(conf: Path, arguments: list[str]) -> DictConfig:
    """The configuration as it would be without the slip: the group choices alone, or the defaults."""
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    choices = [a for a in arguments if a.partition("=")[0] in groups and "," not in a]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            return compose("config", choices)
        except HydraException:
            return compose("config")


def _keys(node: DictConfig, above: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{above}{key}"
        inner = node._get_node(key)
        if isinstance(inner, DictConfig) and not inner._is_none() and not inner._is_interpolation():
            yield from _keys(inner, f"{above}{key}.")


def _close(word: str, words: list[str]) -> str:
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not COMPOSING.search(line)]
    return lines[0] if lines else type(error).__name__
