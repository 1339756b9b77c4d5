"""The images that a run was trained on, where they are on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridnets.data.dataset import ImageDataset
    from hybridnets.runs.identities import Identity

OURS = "hybridnets.data."  # the package of the data sets that are read without running a user's code
FOLDER = f"{OURS}folder.load"


def read_images(folder: Path, identity: "Identity", *, users_code: bool) -> "ImageDataset | None":
    """The data set that a run's config.yaml names; nothing is downloaded, and no folder of pictures decoded.

    Args:
        folder: The run's folder, with its config.yaml.
        identity: The run's identity, with the hash of the data's content.
        users_code: Whether a data set of the user's own may be loaded, which runs the code that the file names.

    Returns:
        The data set; None if it is of the user's own and must not be loaded, or if its content is no longer what was
        trained on.

    Raises:
        Exception: Whatever reading the data set raises.
    """
    from omegaconf import OmegaConf

    from hybridnets import config

    cfg: Any = OmegaConf.load(folder / "config.yaml")
    if not users_code and not str(cfg.data.dataset._target_).startswith(OURS):
        return None
    if "mirrors" in cfg.data.dataset:
        cfg.data.dataset.mirrors = []
    if cfg.data.dataset._target_ == FOLDER:
        cfg.data.dataset.cached_only = True
    dataset = config.load_dataset(OmegaConf.to_container(cfg.data.dataset, resolve=True))
    return dataset if dataset.sha256 == identity["data"].get("sha256") else None
