"""What does a training step cost for images of other sizes: seconds, memory, parameters, and steps of the sequence?

python -m benchmarks.image_sizes [--sizes 3x32x32 1x28x28 3x224x224] [--batch 32] [--models NAME ...]

Every measurement is a process of its own, so that its peak of resident memory is its own. A step is forward, backward and Adam,
of random images, in float32 with this package's kernels: seconds of processor time on one thread, so that other work on the
machine matters little; the median of three after a first one. Models are those of conf/model with their defaults and a BiLSTM
of 16 nodes; VGG16's images keep their size. `positions` is model.sequence, `6-blocks` two more blocks of 256 channels.
"""

import argparse
import functools
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch
from torch import Tensor

from benchmarks.machine import facts_line, machine_facts, positive
from hybridnets.models import CNN, CRNN, ECNN, ECRNN, VGG16, Classifier, FeatureAutoencoder
from hybridnets.rnn import LSTM

Shape = tuple[int, int, int]
CLASSES, STEPS = 10, 3
BILSTM = functools.partial(LSTM, bidirectional=True)
MODELS: dict[str, Callable[[Shape], Classifier]] = {
    "cnn": lambda shape: CNN(shape, CLASSES),
    "ecnn": lambda shape: ECNN(shape, CLASSES),
    "crnn": lambda shape: CRNN(shape, CLASSES, BILSTM),
    "crnn-positions": lambda shape: CRNN(shape, CLASSES, BILSTM, sequence="positions"),
    "ecrnn": lambda shape: ECRNN(shape, CLASSES, BILSTM),
    "ecrnn-positions": lambda shape: ECRNN(shape, CLASSES, BILSTM, sequence="positions"),
    "ecrnn-6-blocks": lambda shape: ECRNN(shape, CLASSES, BILSTM, channels=(32, 64, 128, 256, 256, 256)),
    "cnn+cae": lambda shape: FeatureAutoencoder(shape, CLASSES, CNN(shape, CLASSES)),
    "cnn+sae": lambda shape: FeatureAutoencoder(shape, CLASSES, CNN(shape, CLASSES), kind="sae"),
    "vgg16": lambda shape: VGG16(shape, CLASSES, image_size=None),
}


def main() -> int:
    """Measures every model at every size, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=_shape, nargs="+", default=[(3, 32, 32), (1, 28, 28), (3, 64, 48), (3, 224, 224)]
    )
    parser.add_argument("--batch", type=positive, default=32)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    print(facts_line(machine_facts("torch", "numba")), f"batch {arguments.batch}\n", sep=", ", flush=True)
    print("model".ljust(16), *(title.rjust(12) for title in ("images", "steps", "parameters", "step s", "memory MB")))
    for shape in arguments.sizes:
        for name in arguments.models:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                job = pool.submit(measure, name, shape, arguments.batch)
                try:
                    cells = job.result()
                except ValueError as error:
                    cells = [str(error)]
                except BrokenProcessPool:
                    cells = ["killed, as it needs more memory than there is"]
            print(name.ljust(16), *(cell.rjust(12) for cell in ("x".join(map(str, shape)), *cells)), flush=True)
    return 0


def measure(name: str, shape: Shape, batch: int) -> list[str]:
    """Steps of the sequence, parameters, seconds of a training step, MB at the peak beyond those before the model was built."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = MODELS[name](shape).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], fused=True)
    images = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    examples = images, torch.arange(batch) % CLASSES, torch.arange(batch)
    times = []
    for _ in range(STEPS + 1):
        start = time.process_time()
        optimizer.zero_grad()
        loss: Tensor = model.training_step(examples, 0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        times.append(time.process_time() - start)
    sequence = getattr(model, "sequence", None)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    steps = f"{sequence.steps:,}" if sequence is not None else ""
    return [steps, f"{parameters:,}", f"{statistics.median(times[1:]):.2f}", f"{memory:,.0f}"]


def _shape(text: str) -> Shape:
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"must be channels x height x width, as 3x224x224, got {text}")
    channels, height, width = map(int, parts)
    return channels, height, width


if __name__ == "__main__":
    raise SystemExit(main())
