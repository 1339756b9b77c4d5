"""Data sets of the Hugging Face hub, or in its formats in a folder, by the library `datasets`. No code of a data set is run."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridnets.data.dataset import DataError, ImageDataset, Images, Integers, dataset_of_parts, path_of
from hybridnets.data.decoding import DecodingError, Form, Resize, decode_and_measure, form_of, require_pillow
from hybridnets.data.labels import Labels, as_positions, check_learned, check_one_label, classes_by_part
from hybridnets.data.progress import progress

if TYPE_CHECKING:
    from datasets import Dataset

VAL_NAMES = ("validation", "valid", "val", "dev")  # what a validation part is called, where nothing else is said
OLDEST = 4  # the first version of `datasets` that runs no code of a data set
BATCH = 1000  # rows that are read at a time


def load(
    path: str,
    image: str | None = None,
    label: str | None = None,
    subset: str | None = None,
    revision: str | None = None,
    train_split: str = "train",
    val_split: str | None = None,
    test_split: str = "test",
    image_size: int | Sequence[int] | None = None,
    resize: Resize = "crop",
    channels: int = 3,
    *,
    here_only: bool = False,
) -> ImageDataset:
    """Reads a data set of the hub, or a folder with parquet files, or one that `save_to_disk` wrote.

    Args:
        path: The data set's name on the hub, such as ylecun/mnist, or a folder.
        image: The column of images; None for the only one.
        label: The column of labels, which has classes, whole numbers or names; None for the only one with classes.
        subset: The configuration, where a data set of the hub has several.
        revision: The version on the hub: a branch, a tag or a commit.
        train_split: The name of the part to train on.
        val_split: The name of the validation part; None for one that is called `validation`, `valid`, `val` or `dev`, if any.
        test_split: The name of the test part.
        image_size: Height and width of all images in pixels, one number if they are equal; None if all images have one size.
        resize: How images of other sizes are brought to it, as `hybridnets.data.decoding.Form` says.
        channels: 1 for grey, 3 for colour.
        here_only: Whether to refuse a data set of the hub that would have to be downloaded.

    Raises:
        DataError: If `datasets` is missing, a setting is not legal, or the data set cannot be read or is not one of images with
            one class each.
    """
    folder = path_of(path, "path", "a data set of the Hugging Face hub or a folder")
    form = form_of([1, 1] if image_size is None else image_size, resize, channels)
    _check_library()
    opened = _opened(path, folder, subset, revision, here_only)
    parts = _parts(path, opened, train_split, val_split, test_split)
    image, label = _columns(path, parts, image, label)
    classes, labels = _labels(path, parts, label)
    if image_size is None:
        height, width = _size_of_first(path, parts["train"], image)
        form = dataclasses.replace(form, height=height, width=width)
    images = {
        name: _images(f"{name} of {path}", part, image, form, is_fixed=image_size is None)
        for name, part in parts.items()
    }
    return dataset_of_parts(images, labels, classes, resize)


def _check_library() -> None:
    """Refuses a missing or an old library, without importing it."""
    try:
        installed = version("datasets")
    except PackageNotFoundError:
        installed = ""
    if not installed:
        raise DataError(
            "data=huggingface needs datasets, which is not installed: pip install 'hybridnets[huggingface]'"
        )
    require_pillow("data=huggingface")
    if int(installed.partition(".")[0]) < OLDEST:
        raise DataError(
            f"data=huggingface needs datasets of version {OLDEST} or later, which never runs code of a data set, got "
            f"{installed}: pip install -U 'hybridnets[huggingface]'"
        )


def _opened(
    path: str, folder: Path, subset: str | None, revision: str | None, here_only: bool
) -> Mapping[str, "Dataset"]:
    """All parts of a data set by name."""
    import datasets

    is_saved = any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
    try:
        if is_saved:
            opened: Any = datasets.load_from_disk(folder)
        elif folder.is_file():
            raise DataError(f"data.path must be a folder or a name on the hub, but {path} is a file: give its folder")
        else:
            with _offline() if here_only else nullcontext():
                opened = datasets.load_dataset(str(folder) if folder.is_dir() else path, subset, revision=revision)
    except DataError:
        raise
    except Exception as error:  # of many kinds, from the network to a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        if here_only:
            raise DataError(f"data.path={path} cannot be read on this machine alone ({reason})") from error
        where = "is a folder that" if folder.is_dir() else "is no folder here, and as a data set of the hub"
        raise DataError(
            f"data.path={path} {where} cannot be read ({reason}): give a name on the hub (which needs a network the first "
            "time), or a folder with parquet files or one that save_to_disk wrote"
        ) from error
    if not isinstance(opened, datasets.DatasetDict):
        raise DataError(
            f"{path} holds one part without a name, but train and test are needed: save a DatasetDict of both"
        )
    parts: Mapping[str, Dataset] = opened
    return parts


@contextmanager
def _offline() -> Iterator[None]:
    """Hugging Face's offline mode, which both libraries read from the environment once, when they are imported.

    DownloadConfig(local_files_only=True) does not suffice: `datasets` asks the hub for the newest commit all the same.
    """
    import datasets
    import huggingface_hub

    log = datasets.logging
    modules: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    with ExitStack() as stack:
        for module in modules:
            stack.callback(setattr, module, "HF_HUB_OFFLINE", module.HF_HUB_OFFLINE)
            module.HF_HUB_OFFLINE = True
        stack.callback(log.set_verbosity, log.get_verbosity())
        log.set_verbosity_error()  # it warns that the hub was not asked
        yield


def _parts(path: str, opened: Mapping[str, "Dataset"], train: str, val: str | None, test: str) -> dict[str, "Dataset"]:
    """The parts by what they are for: train, test, and val if there is one."""
    names = {"train": train, "test": test}
    if val := val or next((name for name in VAL_NAMES if name in opened and name not in names.values()), None):
        names["val"] = val
    for part, name in names.items():
        if name not in opened:
            raise DataError(
                f"{path} has no part {name}, but {', '.join(opened)}: data.{part}_split=NAME says which one is for {part}"
            )
    if len(set(names.values())) < len(names):
        raise DataError(
            f"data.train_split, val_split and test_split must be different parts, got {', '.join(names.values())}"
        )
    return {part: opened[name] for part, name in names.items()}


def _columns(path: str, parts: Mapping[str, "Dataset"], image: str | None, label: str | None) -> tuple[str, str]:
    """The columns of images and of labels, which every part has."""
    import datasets

    features = parts["train"].features
    image = image or _only(path, "image", features, datasets.Image)
    label = label or _only(path, "label", features, datasets.ClassLabel)
    chosen = {"image": image, "label": label}
    for name, part in parts.items():
        for key, column in chosen.items():
            if column not in part.features:
                raise DataError(
                    f"{path} has no column {column} in {name}: data.{key} must be one of {_listed(part.features)}"
                )
        if not isinstance(kind := part.features[image], datasets.Image):
            raise DataError(
                f"data.image must be a column of images, but {image} of {path} is {type(kind).__name__}: choose one "
                f"of {_listed(part.features)}"
            )
        if len(part) == 0:
            raise DataError(f"{name} of {path} has no images")
    return image, label


def _only(path: str, key: str, features: Mapping[str, Any], kind: type) -> str:
    """The only column of a kind."""
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(found) != 1:
        raise DataError(f"data.{key} must name a column of {path}, which has {_listed(features)}")
    return found[0]


def _listed(features: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({getattr(kind, 'dtype', type(kind).__name__)})" for name, kind in features.items())


def _labels(path: str, parts: Mapping[str, "Dataset"], column: str) -> tuple[tuple[str, ...], dict[str, Integers]]:
    """The classes' names, and the labels of each part as positions among them."""
    import datasets

    values: dict[str, Labels] = {}
    for name, part in parts.items():
        entries = list(part[column])
        if any(entry is None for entry in entries):
            raise DataError(f"{name} of {path} has images without a {column}")
        try:
            values[name] = check_one_label(np.array(entries), len(entries), f"{column} in {name} of {path}")
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{column} in {name} of {path} has several labels for an image (multi-label): an image must have one class"
            ) from error
    kinds = {name: part.features[column] for name, part in parts.items()}
    if not any(isinstance(kind, datasets.ClassLabel) for kind in kinds.values()):
        return as_positions(values, None, path)
    names = {tuple(getattr(kind, "names", None) or ()) for kind in kinds.values()}
    if len(names) != 1:
        raise DataError(f"{column} of {path} must have the same classes in every part")
    for name, labels in values.items():
        if labels.min() < 0:
            raise DataError(
                f"{name} of {path} has images without a {column} ({labels.min()}): data.{name}_split=NAME takes another"
            )
    (classes,) = names
    check_learned(classes_by_part(classes, values), path)
    return classes, values


def _size_of_first(path: str, part: "Dataset", column: str) -> tuple[int, int]:
    (entry,) = _entries(part, column, 0, 1)
    _, size = _decoded(entry, Form(1, 1, 1), f"image 0 in train of {path}")
    return size


def _decoded(entry: Any, form: Form, name: str) -> tuple[Images, tuple[int, int]]:
    """An image in a form, and the size that it had before."""
    if entry is None:
        raise DataError(f"{name} is missing")
    try:
        return decode_and_measure(BytesIO(entry["bytes"]) if entry["bytes"] is not None else Path(entry["path"]), form)
    except DecodingError as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error


def _images(name: str, part: "Dataset", column: str, form: Form, *, is_fixed: bool) -> Images:
    """The decoded images of one part, (N, C, H, W).

    Args:
        name: What messages call the part.
        part: The part.
        column: Its column of images.
        form: What every image is brought to.
        is_fixed: Whether every image must have that size already.
    """
    images = np.empty((len(part), form.channels, form.height, form.width), dtype=np.uint8)

    def read(position: int, entry: Any) -> None:
        images[position], size = _decoded(entry, form, f"image {position} in {name}")
        if is_fixed and size != (form.height, form.width):
            raise DataError(
                f"image {position} in {name} has {size} pixels and others have {(form.height, form.width)}: "
                "data.image_size=64 (or another size) brings all to one"
            )

    # Pillow decodes without Python's lock, so that threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as threads, progress(f"decoding {name}", len(part), "images") as advance:
        for start in range(0, len(part), BATCH):
            entries = _entries(part, column, start, BATCH)
            for _ in threads.map(read, range(start, start + len(entries)), entries):
                advance(1)
    return images


def _entries(part: "Dataset", column: str, start: int, n: int) -> list[Any]:
    """Undecoded images: dictionaries of their bytes or their path; None for one that is missing."""
    import datasets

    rows = part.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    return list(rows[start : start + n][column])
