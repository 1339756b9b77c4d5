"""The data set that a configuration names: located, verified and hashed once a process, without torch."""

import functools
import json
import re
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from hybridnets import signals
from hybridnets.config.errors import ConfigError, build_failure
from hybridnets.data.dataset import RESIZE, DataError, ImageDataset

# What numpy says when arrays of different shapes are to become one.
RAGGED = re.compile("inhomogeneous shape|must have the same shape|could not broadcast input array")


def load_dataset(settings: Any) -> ImageDataset:
    """The data set of resolved settings, the section data.dataset.

    Raises:
        ValueError: If it cannot be loaded.
    """
    return _load(json.dumps(settings), str(Path.cwd()))


@functools.lru_cache(maxsize=8)  # a sweep over more data sets than that reads them again
def _load(settings: str, _: str) -> ImageDataset:  # the working folder, from which relative paths are found
    try:
        dataset = instantiate(json.loads(settings), _convert_="all")
    except SystemExit as ended:
        if signals.exit_code() is not None:
            raise
        raise ConfigError(f"data.dataset must return an ImageDataset, but called sys.exit({ended.code!r})") from None
    except InstantiationException as error:
        if isinstance(cause := error.__cause__, ValueError):
            if not isinstance(cause, DataError) and RAGGED.search(str(cause)):
                raise ConfigError(
                    f"data.dataset must return images of one size, but some differ and make no array: {RESIZE} ({cause})"
                ) from error
            raise cause from None  # a sentence of the data set's
        raise ConfigError(f"data.dataset cannot be built: {build_failure(error)}") from error
    if not isinstance(dataset, ImageDataset):
        raise ConfigError(f"data.dataset._target_ must return an ImageDataset, got {type(dataset).__name__}")
    return dataset
