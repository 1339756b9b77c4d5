"""Processes that hash and decode the files of pictures, as many as there are cores.

Each is this module as a program: it reads tasks as lines of JSON from standard input, and answers each with a line. Pixels go
straight into a file, so that pipes carry only what is known of them. Such a process starts in a quarter of a second, because
it imports numpy and Pillow but not the program that started it, as multiprocessing would; and it ends with its parent, however
that ends, because its standard input is closed then.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hybridnets.data.dataset import DataError, pixel_sums
from hybridnets.data.decoding import DecodingError, Form, UnreadError, decode
from hybridnets.data.ordering import write_all

FILES = 16  # in a task: few enough for smooth progress, enough to make little of a pipe's delay
SOURCE = str(Path(__file__).parents[2])  # where hybridnets is found

Fact = dict[str, Any]


class Decoders:
    """The processes; they are killed at the end of the `with` that they are used in, also where that is an exception.

    Args:
        form: What pictures are brought to.
        file: What their pixels are written into, one after the other.
        head: Bytes of it before the first picture.
        most: How many processes are of use, at most.
    """

    def __init__(self, form: Form, file: Path, head: int, most: int) -> None:
        self._setup = {"form": dataclasses.asdict(form), "file": str(file), "head": head}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._number = max(1, min(most, cores))
        self._processes: list[subprocess.Popen[str]] = []
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> "Decoders":
        """Starts the processes.

        Raises:
            DataError: If they cannot be started.
        """
        with contextlib.ExitStack() as stack:  # which ends what has started if something else cannot
            try:
                self._start(stack)
            except OSError as error:
                reason = error.strerror or error
                raise DataError(
                    f"the processes that decode pictures cannot be started ({reason}): try again"
                ) from error
            self._ending = stack.pop_all()
        return self

    def _start(self, stack: contextlib.ExitStack) -> None:
        errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (the stack closes it)
        self._errors = stack.enter_context(errors)
        # As this process finds modules, but not in the working folder, where a random.py would be taken for Python's own.
        paths = (path for path in sys.path if path and (path != str(Path.cwd()) or path == SOURCE))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        for _ in range(self._number):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hybridnets.data.decoders"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,  # where libraries of formats print warnings of their own
                text=True,
                env=environment,
                start_new_session=True,  # only the parent handles the terminal's Ctrl-C
            )
            stack.callback(_end, process)
            self._processes.append(process)
            self._send(process, self._setup)

    def __exit__(self, *_: object) -> None:
        """Kills the processes."""
        self._ending.close()

    def hashes(self, paths: Iterable[str]) -> Iterator[tuple[int, Fact]]:
        """For each file, in any order: its position, with its `sha256`, or with `unread`, why it cannot be read.

        Args:
            paths: The files.

        Raises:
            DataError: If a process dies.
        """
        return self._spread([place, path, False] for place, path in enumerate(paths))

    def pixels(self, paths: Iterable[str]) -> Iterator[tuple[int, Fact]]:
        """Writes the pixels of pictures; for each, in any order: its position, which is that of its pixels, and facts.

        These are the sum of each channel, `sums`, that of its squares, `squares`, and a hash of all, `pixels`; or `fault`, why
        it is no picture, or `unread`, why it cannot be read now, though it may be one: then nothing is written.

        Args:
            paths: The pictures.

        Raises:
            DataError: If a process dies.
            OSError: If pixels cannot be written, as on a full disk.
        """
        return self._spread([place, path, True] for place, path in enumerate(paths))

    def _spread(self, work: Iterable[list[Any]]) -> Iterator[tuple[int, Fact]]:
        """Gives every process a task as soon as it has answered the one before."""
        work = iter(work)
        tasks = iter(lambda: list(itertools.islice(work, FILES)), [])
        given: dict[Any, list[list[Any]]] = {}
        with selectors.DefaultSelector() as waiting:
            for process, task in zip(self._processes, tasks, strict=False):
                waiting.register(process.stdout, selectors.EVENT_READ, process)  # type: ignore[arg-type]
                given[process] = task
                self._send(process, task)
            while given:
                for key, _ in waiting.select():
                    process = key.data
                    line = process.stdout.readline()
                    if not line:
                        raise self._death(process, given[process])
                    del given[process]
                    if task := next(tasks, []):
                        given[process] = task
                        self._send(process, task)
                    else:
                        waiting.unregister(process.stdout)
                    for place, fact in json.loads(line):
                        if "errno" in fact:
                            raise OSError(fact["errno"], os.strerror(fact["errno"]))
                        yield place, fact

    def _send(self, process: "subprocess.Popen[str]", message: Any) -> None:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):  # its output ends, too, which is noticed there
            process.stdin.write(f"{json.dumps(message)}\n")
            process.stdin.flush()

    def _death(self, process: "subprocess.Popen[str]", task: list[list[Any]]) -> DataError:
        code = process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        reason = f"signal {-code}, as where memory is short" if code < 0 else lines[-1] if lines else f"code {code}"
        paths = ", ".join(path for _, path, _ in task)
        which = "while it read" if len(task) == 1 else f"while it read one of {len(task)} files,"
        return DataError(
            f"a process that decodes pictures ended ({reason}) {which} {paths}: remove the one at fault, or try again"
        )


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def main() -> None:
    """Answers tasks until standard input ends."""
    setup = json.loads(sys.stdin.readline())
    form = Form(**setup["form"])
    file = os.open(setup["file"], os.O_WRONLY | os.O_CREAT, 0o666)
    for line in sys.stdin:
        answer = [
            (place, _decoded(path, form, file, setup["head"], place) if is_decoded else _hashed(path))
            for place, path, is_decoded in json.loads(line)
        ]
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _hashed(path: str) -> Fact:
    try:
        with Path(path).open("rb") as file:
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        return {"unread": error.strerror or str(error)}


def _decoded(path: str, form: Form, file: int, head: int, place: int) -> Fact:
    try:
        pixels = decode(Path(path), form)
    except UnreadError as error:
        return {"unread": str(error)}
    except DecodingError as error:
        return {"fault": str(error)}
    try:
        write_all(file, pixels, head + place * pixels.nbytes)
    except OSError as error:
        return {"errno": error.errno}
    sums, squares = pixel_sums(pixels[np.newaxis])
    return {
        "sums": sums[0].tolist(),
        "squares": squares[0].tolist(),
        "pixels": hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest(),
    }


if __name__ == "__main__":
    main()
