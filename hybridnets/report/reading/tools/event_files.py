"""The event files of TensorBoard: records with checksums, of which only those with scalars and hyperparameters are read.

Source: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, tensorboard/plugins/hparams/plugin_data.proto.
The package tensorboard reads them too, with 250 MB of requirements; a record is simple enough to be read here.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hybridnets.report.reading.scores.column_names import is_part
from hybridnets.report.reading.tools import wire
from hybridnets.report.reading.tools.tool_runs import SourceError, ToolRun, ToolRuns, text_of
from hybridnets.report.reading.tools.tool_table import shortest
from hybridnets.report.reading.tools.wire import Field

NAME = "tfevents"  # in the name of every event file
LARGEST = 2**16  # bytes of a record that may hold scalars; larger ones are images, graphs and histograms
HEADER = struct.Struct("<QI")  # a record's length, and its checksum
CHECKSUM = struct.Struct("<I")
MASK = 0xA282EAD8
FLOAT, DOUBLE = 1, 2  # types of a tensor
SEED = re.compile(r"(?<![a-z])(?:random_?)?seed[-_= ]?([0-9]+)", re.IGNORECASE)
NUMBER = re.compile(r"[0-9]+$")


@dataclass
class Scalars:
    """What some event files of one run hold.

    Attributes:
        metrics: The values of each scalar by step.
        hyperparameters: Those of the hparams plugin.
        cut: A sentence if a file ends within a record, as after a crash, or while it is written.
    """

    metrics: dict[str, dict[float, float]] = field(default_factory=dict)
    hyperparameters: dict[str, str] = field(default_factory=dict)
    cut: str = ""


def read_folders(path: Path, files: Sequence[Path]) -> ToolRuns:
    """The runs below a folder: one for each folder with event files.

    A folder called train or validation belongs to the run above it, as Keras writes them; so does one that holds only
    hyperparameters and their results, as `SummaryWriter.add_hparams` writes it.

    Args:
        path: The folder that the user gave.
        files: The event files.
    """
    problems: list[str] = []
    by_folder: dict[Path, list[Path]] = {}
    for file in files:
        by_folder.setdefault(file.parent, []).append(file)
    runs: dict[Path, Scalars] = {}
    for folder, own in by_folder.items():
        try:
            scalars = read_scalars(own)
        except SourceError as error:
            scalars = Scalars(cut=str(error))
        if scalars.cut:
            problems.append(f"{scalars.cut}; its run counts as unfinished")
        run = folder if folder == path else _run_folder(folder, by_folder, scalars)
        _merge(
            runs.setdefault(run, Scalars()),
            scalars,
            f"{folder.name}/" if is_part(folder.name) and run != folder else "",
        )
    tool_runs = []
    for folder, scalars in runs.items():
        name = folder.relative_to(path).as_posix() if folder != path else folder.resolve().name
        if not scalars.metrics and not scalars.cut:
            continue
        number = match[0] if (match := NUMBER.search(name)) else ""
        labels = {"folder": name, "number": number, "stem": name.removesuffix(number).strip("-_./ ")}
        settings = scalars.hyperparameters or settings_of_name(name)
        tool_runs.append(ToolRun(str(folder), settings, scalars.metrics, labels, "unfinished" if scalars.cut else ""))
    return ToolRuns(path, "TensorBoard", tuple(tool_runs), problems=tuple(problems))


def settings_of_name(name: str) -> dict[str, str]:
    """The settings that a run's folder states in its name: `lr=0.1,seed=0`, or a seed and the rest: `cnn/seed_0`, `cnn-seed0`.

    A short form is no seed: vit-s16 is a model.

    Args:
        name: The folder below the one that the user gave.
    """
    words = [word for part in name.split("/") for word in part.split(",")]
    settings = dict(word.split("=", 1) for word in words if "=" in word.strip("="))
    rest = "/".join(word for word in words if "=" not in word)
    if "seed" not in settings and (match := SEED.search(rest)):
        settings["seed"] = match[1]
        rest = rest[: match.start()] + rest[match.end() :]
    rest = re.sub(r"/{2,}", "/", rest).strip("-_./ ")
    return {**({"name": rest} if rest else {}), **settings}


def read_scalars(files: Iterable[Path]) -> Scalars:
    """What some event files of one run hold; later files go on where earlier ones end.

    Args:
        files: The files.

    Raises:
        SourceError: If one is no event file, or damaged.
    """
    whole = Scalars()
    for path in sorted(files):
        scalars, count = Scalars(), 0
        try:
            with path.open("rb") as file:
                for record in _records(path, file):
                    count += 1
                    _add_event(scalars, record)
        except _CutError:
            scalars.cut = f"{path} is cut short after {count:,} record{'s' * (count != 1)}"
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror})") from None
        except wire.WireError as error:
            raise SourceError(f"{path} is no event file of TensorBoard: {error} in record {count:,}") from None
        _merge(whole, scalars)
    return whole


class _CutError(ValueError):
    """A file ends within a record."""


def _records(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """The records that may hold scalars, each with the right checksum.

    Raises:
        SourceError: If a checksum is not right.
        _CutError: If the file ends within a record.
    """
    size = path.stat().st_size
    while header := file.read(HEADER.size):
        if len(header) < HEADER.size:
            raise _CutError
        length, checksum = HEADER.unpack(header)
        place = file.tell() - HEADER.size
        if _masked(header[:8]) != checksum:
            raise SourceError(
                f"{path} is no event file of TensorBoard, or damaged at byte {place:,}: a checksum is wrong"
            )
        if file.tell() + length + CHECKSUM.size > size:
            raise _CutError
        if length > LARGEST:
            file.seek(length + CHECKSUM.size, 1)
            yield b""
            continue
        record, (checksum,) = file.read(length), CHECKSUM.unpack(file.read(CHECKSUM.size))
        if _masked(record) != checksum:
            raise SourceError(f"{path} is damaged at byte {place:,}: a checksum is wrong")
        yield record


def _add_event(scalars: Scalars, event: bytes) -> None:
    step, summaries = 0, []
    for part in wire.fields(event):
        if part.number == 2:
            step = part.signed
        elif part.number == 5:
            summaries.append(part.raw)
    for summary in summaries:
        for part in wire.fields(summary):
            if part.number == 1:
                _add_value(scalars, step, {inner.number: inner for inner in wire.fields(part.raw)})


def _add_value(scalars: Scalars, step: int, value: dict[int, Field]) -> None:
    tag = value[1].text if 1 in value else ""
    if 9 in value and (plugin := wire.first(value[9].raw, 1)):
        content = {part.number: part for part in wire.fields(plugin.raw)}
        if content.get(1, Field(1, b"", 0)).text == "hparams":
            if 2 in content and (start := wire.first(content[2].raw, 3)):
                scalars.hyperparameters.update(_hyperparameters(start.raw))
            return
    if 2 in value:
        number: float | None = shortest(value[2].real)
    else:
        number = _scalar(value[8].raw) if 8 in value else None
    if tag and number is not None:
        scalars.metrics.setdefault(tag, {})[float(step)] = number


def _scalar(tensor: bytes) -> float | None:
    """The value of a tensor without dimensions, as TensorFlow 2 writes scalars; None for any other tensor."""
    parts = {part.number: part for part in wire.fields(tensor)}
    kind = parts[1].integer if 1 in parts else 0
    shape = parts[2].raw if 2 in parts else b""
    size = {FLOAT: 4, DOUBLE: 8}.get(kind)
    value = parts.get(4) or parts.get(5 if kind == FLOAT else 6)
    if shape or size is None or value is None or len(value.raw) != size:
        return None
    return shortest(value.real) if kind == FLOAT else value.real


def _hyperparameters(start: bytes) -> Iterator[tuple[str, str]]:
    """The values of a session's start: a map from names to numbers, texts and truth values."""
    for entry in wire.fields(start):
        if entry.number != 1:
            continue
        parts = {part.number: part for part in wire.fields(entry.raw)}
        values = [*wire.fields(parts[2].raw)] if 2 in parts else []
        if 1 in parts and values:
            kind = values[0].number
            plain = values[0].real if kind == 2 else values[0].text if kind == 3 else bool(values[0].integer)
            yield parts[1].text, text_of(plain) if kind in (2, 3, 4) else ""


def _run_folder(folder: Path, others: Iterable[Path], scalars: Scalars) -> Path:
    """The folder of the run to which a folder's event files belong."""
    is_child = is_part(folder.name) or (scalars.hyperparameters and all(len(v) == 1 for v in scalars.metrics.values()))
    return folder.parent if is_part(folder.name) or (is_child and folder.parent in {*others}) else folder


def _merge(whole: Scalars, part: Scalars, prefix: str = "") -> None:
    """Adds what a later file holds; a training that began again at an earlier step replaces the steps from there on.

    Args:
        whole: Gets it.
        part: What the file holds.
        prefix: Before the names of its scalars.
    """
    for tag, values in part.metrics.items():
        earlier = whole.metrics.get(prefix + tag, {})
        whole.metrics[prefix + tag] = {**{step: v for step, v in earlier.items() if step < min(values)}, **values}
    whole.hyperparameters.update(part.hyperparameters)
    whole.cut = part.cut or whole.cut


def _masked(data: bytes) -> int:
    """The masked CRC-32C of some bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _table() -> list[int]:
    """The CRC-32C of each byte (Castagnoli's polynomial, reversed)."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()
