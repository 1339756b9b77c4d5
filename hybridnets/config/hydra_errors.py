"""One sentence for each error that a user can cause: key, rule, value, and what to do."""

import contextlib
import errno
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigTypeError,
    GrammarParseError,
    InterpolationKeyError,
    OmegaConfBaseException,
    ValidationError,
)

from hybridnets import program
from hybridnets.config.keys import keys_of, proposal
from hybridnets.config.rules import RULES
from hybridnets.runs.files import whose

CONFIG_NAME = ("-cn", "--config-name")
RECURSIONS = 20  # of the last ones: more than any circle has files
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
COMPOSING = re.compile("raised while composing config:$")  # a line by Hydra that says nothing
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def explain(error: Exception, conf: Path, arguments: list[str]) -> str | None:
    """One sentence for a user's error; None for any other.

    Args:
        error: The error.
        conf: Folder of the configuration, for the legal keys.
        arguments: The command line.
    """
    if match := re.match(r"Ambiguous value for argument '(.*)'", str(error)):
        remedy = "add -m to sweep over them, or write a list as KEY=[A,B], and a comma within a value as KEY='\"A,B\"'"
        return f"{match[1]} names several values: {remedy}"
    if str(error).startswith("Config group override must be a string"):
        group = next((word.partition("=")[0] for word in arguments if word.endswith("=null")), "a group")
        options = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        return f"{group} must be one of {', '.join(options)}, got null"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing(error, error.missing_cfg_file, arguments)
    if isinstance(error, ConfigCompositionException):
        return _composition(error, conf, arguments)
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}, must be valid YAML: {error.problem}"
    if isinstance(error, yaml.YAMLError):  # a character that no YAML file may hold
        name = getattr(error, "name", "a file")
        return f"{name} must be valid YAML: {getattr(error, 'reason', '') or _first_line(error)}"
    if isinstance(error, UnicodeDecodeError) and (path := _first_not_utf8()):
        return f"{path} must be encoded as UTF-8, as all YAML files are, but has {error.reason}: save it as UTF-8"
    if isinstance(error, RecursionError) and (names := _circle(error)):
        return (
            f"{' and '.join(names)} must not lead back to {'itself' if len(names) == 1 else 'each other'} by a defaults list: "
            "remove the entry that does"
        )
    if isinstance(error, InterpolationKeyError) and (
        match := re.match(r"Interpolation key '(.+?)' not found", str(error))
    ):
        return f"{match[1]} is missing, although other settings take its value: give it a value, or do not remove it with ~"
    if isinstance(error, OverrideParseException):
        return f"{error.override} must be an override of the form KEY=VALUE: {_first_line(error)}"
    if isinstance(error, OmegaConfBaseException | HydraException):
        return _first_line(error)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return (
            f"out must be a folder with free space, got {error.filename or 'one without'} ({error.strerror}): the same command "
            "continues once there is space"
        )
    if isinstance(error, OSError) and error.errno in FORBIDDEN:
        return _forbidden(error)
    if isinstance(error, IsADirectoryError | NotADirectoryError) and error.filename:
        return f"{error.filename} must be another kind of file ({error.strerror}): delete it"
    # Lightning's, which is not imported here.
    if any(kind.__name__ == "MisconfigurationException" for kind in type(error).__mro__):
        return f"Lightning refuses this configuration: {_first_line(error)} (HYDRA_FULL_ERROR=1 shows where)"
    return str(error) if isinstance(error, ValueError) else None


def _missing(error: MissingConfigException, file: str, arguments: list[str]) -> str:
    """Which options there are instead of one that is missing, and where it may be after all."""
    group, _, name = file.rpartition("/")
    if group and not any(word.removesuffix(".yaml").endswith(file) for word in config_names(arguments)):
        options = [str(option) for option in error.options or () if (group, option) != ("hydra/launcher", "basic")]
        return f"{group} must be one of {', '.join(options)}, got {name}{_where(file) or proposal(name, options) or _project()}"
    folders = [*program.project_folders("conf", "sweeps"), program.folder("sweeps")]
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    if group:
        return f"--config-name must be a name without a folder, such as {', '.join(names)}, got {file}"
    hint = _where(file) or proposal(name, names) or _project()
    return f"--config-name must be the name of a file, such as {', '.join(names)}, got {name}{hint}"


def config_names(words: Sequence[str]) -> list[str]:
    """The values that words of a command line give to --config-name."""
    pairs = zip(["", *words], words, strict=False)
    return [
        word if previous in CONFIG_NAME else word.partition("=")[2]
        for previous, word in pairs
        if previous in CONFIG_NAME or word.partition("=")[0] in CONFIG_NAME
    ]


def _where(file: str) -> str:
    """A hint where a configuration exists that is not read: of another suffix, or of a project in a folder above.

    Args:
        file: The configuration, without its suffix, such as model/mlp.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in ("conf", "sweeps"):
            if (path := folder / name / f"{file}.yml").is_file():
                return f" ({path.relative_to(folder)} is not read: rename it to {path.stem}.yaml)"
            if folder != here and (path := folder / name / f"{file}.yaml").is_file():
                return f" ({path} exists: run the command in {folder})"
    for name in ("conf", "sweeps"):
        if (here / name).exists() and not (here / name).is_dir():
            return f" ({name} must be a folder to be read, and is a file here)"
    return ""


def _project() -> str:
    """A hint for somebody who is not in the project's folder."""
    return (
        ""
        if program.project_folders("conf", "sweeps")
        else " (a project's conf/ and sweeps/ are read in its own folder)"
    )


def _first_not_utf8() -> Path | None:
    """The first file of the project that is not encoded as UTF-8; decoding errors do not name their file."""
    for path in sorted(path for folder in program.project_folders("conf", "sweeps") for path in folder.rglob("*.yaml")):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return path
        except OSError:
            continue
    return None


def _circle(error: RecursionError) -> list[str]:
    """The files whose defaults lists lead back to them, which only the frames of Hydra's recursion say; empty for another."""
    paths: list[str] = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_create_defaults_tree_impl":
            with contextlib.suppress(AttributeError, KeyError):
                paths.append(f"{frame.f_locals['root'].node.get_config_path()}.yaml")
    return sorted(set(paths[-RECURSIONS:]))


def _forbidden(error: OSError) -> str:
    """Names the file that may not be written or read, and its owner."""
    return (
        f"{error.filename or 'out'} must be a file or folder that you may use ({error.strerror}{whose(error)}): have its "
        "permissions changed, or choose another folder with out="
    )


def _composition(error: ConfigCompositionException, conf: Path, arguments: list[str]) -> str:
    text, cause = str(error), error.__cause__
    if match := re.search(r"Error merging override (\+*)([^=]+)=(.*)", text):
        key, value = match[2], match[3]
        if isinstance(cause, GrammarParseError):
            return f"{key} must be a value or an interpolation such as ${{seed}}, got {value} ({_first_line(cause)})"
        if isinstance(cause, ValidationError | ConfigTypeError):
            if key in RULES:
                return f"{key} must be {RULES[key][0]}, got {value}"
            return f"{key} must have its type, got {value} ({_first_line(cause).rstrip('.')})"
        return _unknown(key, conf, arguments)
    if match := re.search(r"An item is already at '([^']+)'", text):
        return f"{match[1]} is a key already: set it as {match[1]}=VALUE, without the +"
    if match := re.search(r"Could not (?:override|append to config|find) '([^']+)'", text):
        key = match[1].split("@")[0]
        inner = re.search(r"full_key: (\S+)", str(cause))
        return _unknown(inner[1] if inner and inner[1].startswith(f"{key}.") else key, conf, arguments)
    if re.search(r"full_key: hydra\.launcher\.(plan|dry_run)", text):
        name = next((word.partition("=")[2] for word in arguments if word.startswith("hydra/launcher=")), "another")
        return f"hydra/launcher must be local or slurm, which start a process for each run of a sweep, got {name}"
    if match := re.fullmatch(r"(\S+) appears more than once in the final defaults list", _first_line(error)):
        return f"{match[1]} is chosen already: choose it as {match[1]}=NAME, without the +"
    return _first_line(error)


def _unknown(key: str, conf: Path, arguments: list[str]) -> str:
    cfg = _composed(conf, arguments)
    keys = [name for name in keys_of(cfg) if not re.match(r"hydra(?!\.launcher\.)", name)]
    if key in keys:
        section = key.partition(".")[0]
        return (
            f"{key} must be a key of every configuration that is requested, but in one of them {section}, as it is chosen or "
            f"set there, lacks it: leave {key} out there"
        )
    return f"{key} is not a key of the configuration{proposal(key, keys)} (--help lists the keys)"


def _composed(conf: Path, arguments: list[str]) -> DictConfig:
    """The configuration as it would be without the error: the group choices alone, or the defaults."""
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    choices = [a for a in arguments if a.partition("=")[0] in groups and "," not in a]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            return compose("config", choices, return_hydra_config=True)
        except HydraException:
            return compose("config", return_hydra_config=True)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not COMPOSING.search(line)]
    return lines[0] if lines else type(error).__name__
