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


def check_project(conf: Path) -> None:
    """Refuses a project's configuration that one of hybridnets' own would hide.

    Args:
        conf: Folder of hybridnets' configuration.

    Raises:
        ConfigError: If a file has the name of another one and differs from it.
    """
    for folder in program.project_folders("conf"):
        for path in sorted(folder.rglob("*.yaml")):
            ours = conf / path.relative_to(folder)
            if ours.is_file() and ours.read_bytes() != path.read_bytes():
                name = path.relative_to(folder.parent)
                raise ConfigError(f"{name} must have another name, because hybridnets brings a {name} too: rename it")
