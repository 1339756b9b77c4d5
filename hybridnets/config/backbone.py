"""The finished run whose network a model uses as its backbone: by its folder, or by the configuration that trains it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridnets.config.errors import ConfigError
from hybridnets.config.rules import text_of
from hybridnets.runs import identities
from hybridnets.runs.identities import Identity
from hybridnets.runs.records import RecordError, result
from hybridnets.runs.records.errors import ForbiddenRecordError

if TYPE_CHECKING:
    from hybridnets.config.request import RunRequest

# Settings of the data that may differ from the backbone's: they neither choose images nor change those that are predicted.
MAY_DIFFER = {"batch_size", "augment"}


@dataclass(frozen=True)
class Backbone:
    """A run that another run needs.

    Attributes:
        identity: Its identity.
        folder: Where it is, or will be.
        request: What trains it; None where the folder of a finished run was given.
        overrides: The overrides that compose that request; empty where they are not known.
    """

    identity: Identity
    folder: Path
    request: "RunRequest | None" = None
    overrides: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether it has its result; a folder is accepted of a finished run only."""
        return self.request is None or self.request.run.result() is not None


def finished_backbone(path: Path) -> Backbone:
    """The backbone in the folder of a finished run, or of the checkpoint of its reported epoch.

    Raises:
        ConfigError: If the folder holds no finished run.
    """
    folder = path.parent.parent if path.name == "best.ckpt" else path
    try:
        record = result.read(folder) if folder.is_dir() else None
    except ForbiddenRecordError as error:
        raise ConfigError(f"backbone must be a run that you may read, but {error}") from None
    except RecordError:
        record = None
    if record is None:  # its weights matter only where something is trained on them
        raise ConfigError(
            f"backbone must be the folder of a finished run, with result.json and checkpoints/best.ckpt in it, or a list of "
            f"overrides such as [model=cnn], got {folder}"
        )
    return Backbone(record.identity, folder)


def check_same_images(identity: Identity, backbone: Identity) -> None:
    """Refuses a backbone with another data set, split or standardisation, which may have been trained on the run's val.

    Raises:
        ConfigError: If it has one, or if it has a backbone itself.
    """
    if "backbone" in backbone:
        raise ConfigError(f"backbone must be a run without a backbone itself, got {identities.name(backbone)}")
    pairs = {"seeds.split": (backbone["seeds"]["split"], identity["seeds"]["split"])}
    for key in sorted({*backbone["data"], *identity["data"]} - MAY_DIFFER):
        pairs[f"data.{key}"] = (backbone["data"].get(key), identity["data"].get(key))
    for key, (theirs, ours) in pairs.items():
        if identities.canonical(theirs) != identities.canonical(ours):
            raise ConfigError(
                f"backbone must have this run's data, split and standardisation, because it may have been trained on this "
                f"run's val, but its {key} is {text_of(theirs)} and this run's is {text_of(ours)}"
            )
