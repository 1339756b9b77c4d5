"""Where configurations are looked for: in hybridnets' own folders, and in conf/ and sweeps/ of the working folder."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from hybridnets import program
from hybridnets.config.errors import ConfigError


class ProjectSearchPath(SearchPathPlugin):
    """Adds the project's folders after hybridnets' configuration, and then hybridnets' sweeps."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Adds the folders that exist."""
        for folder in [*program.project_folders("conf", "sweeps"), program.folder("sweeps")]:
            search_path.append("hybridnets", f"file://{folder}")


def check_project(conf: Path, further: Path | None = None) -> None:
    """Refuses a configuration that one of hybridnets' own would hide, and a sweep that would hide one of its own.

    Args:
        conf: Folder of hybridnets' configuration.
        further: The folder that --config-dir names.

    Raises:
        ConfigError: If a file has the name of another one and differs from it.
    """
    sweeps = program.folder("sweeps")
    for folder in [*program.project_folders("conf", "sweeps"), *([further] if further and further.is_dir() else [])]:
        for path in sorted(folder.rglob("*.yaml")):
            for ours in (conf / path.relative_to(folder), sweeps / path.relative_to(folder)):
                if ours.is_file() and ours.read_bytes() != path.read_bytes():
                    raise ConfigError(
                        f"{folder.name}/{path.relative_to(folder)} must have another name, because hybridnets brings a "
                        f"{ours.relative_to(conf.parent)} too: rename it"
                    )
