"""The images that a run was trained on, where they are on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridnets.runs.store import CONFIG

if TYPE_CHECKING:
    from hybridnets.data.dataset import ImageDataset
    from hybridnets.runs.identities import Identity

# The loaders of conf/data/*.yaml: calling one with any values runs no code of a user's.
LOADERS = frozenset(
    f"hybridnets.data.{name}"
    for name in (
        *("cifar10.load", "cifar100.load", "digits.load", "folder.load", "huggingface.load"),
        *("mnist.load", "mnist.load_fashion", "npz.load", "svhn.load"),
    )
)


def read_images(folder: Path, identity: "Identity", *, users_code: bool) -> "ImageDataset | None":
    """The data set that a run's config.yaml names; nothing is downloaded, and no folder of pictures decoded.

    For this, a loader that can do such a thing takes the keyword `here_only`. A user's own loader that does not take it is
    called as in training.

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
    import inspect

    from hydra.utils import get_object
    from omegaconf import OmegaConf

    from hybridnets import config

    cfg: Any = OmegaConf.load(folder / CONFIG)
    settings: Any = OmegaConf.to_container(cfg.data.dataset, resolve=True)
    if not users_code and not LOADERS.issuperset(_targets(settings)):
        return None
    if "here_only" in inspect.signature(get_object(settings["_target_"])).parameters:
        settings["here_only"] = True
    dataset = config.load_dataset(settings)
    return dataset if dataset.sha256 == identity["data"].get("sha256") else None


def _targets(settings: Any) -> Iterator[str]:
    """What settings would call, at any depth."""
    if isinstance(settings, Mapping):
        if "_target_" in settings:
            yield str(settings["_target_"])
        settings = list(settings.values())
    if isinstance(settings, Sequence) and not isinstance(settings, str):
        for value in settings:
            yield from _targets(value)
