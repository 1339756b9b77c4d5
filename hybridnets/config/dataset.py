"""The data set that a configuration names: located, verified and hashed once a process, without torch."""

import functools
import json
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from hybridnets.config.errors import ConfigError, build_failure
from hybridnets.data.dataset import ImageDataset


def load_dataset(settings: Any) -> ImageDataset:
    """The data set of resolved settings, the section data.dataset.

    Raises:
        ValueError: If it cannot be loaded.
    """
    return _load(json.dumps(settings))


@functools.cache
def _load(settings: str) -> ImageDataset:
    try:
        dataset = instantiate(json.loads(settings), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):  # a sentence of the data set's
            raise error.__cause__ from None
        raise ConfigError(f"data.dataset cannot be built: {build_failure(error)}") from error
    if not isinstance(dataset, ImageDataset):
        raise ConfigError(f"data.dataset._target_ must return an ImageDataset, got {type(dataset).__name__}")
    return dataset
