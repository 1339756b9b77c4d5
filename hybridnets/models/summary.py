"""Lists a model's layers in the form of the paper's table 1."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from hybridnets.models.classifier import Classifier
from hybridnets.models.stages import ACTIVATIONS, AsSequence, Flatten

IMAGES = 2
UNLISTED = (*ACTIVATIONS.values(), nn.Dropout)  # Keras counts an activation as part of the layer before it


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Attributes:
        stage: Name of the model's stage.
        name: The layer as Keras names it.
        shape: Output shape without the batch; maps are height, width, channels.
        keras: Parameters by Keras's count, which includes the running statistics of batch normalisation.
        torch: Parameters by torch's count.
    """

    stage: str
    name: str
    shape: tuple[int, ...]
    keras: int
    torch: int


def layers(model: Classifier, image_shape: tuple[int, int, int]) -> list[Layer]:
    """The rows of a model for images of (C, H, W), recorded during a forward pass of two images.

    The pass changes neither the model nor the random state. Of a single image, a model that loses the batch's axis would
    still give a row.
    """
    rows = [Layer("input", "Input", _shape(torch.empty(1, *image_shape)), 0, 0)]
    hooks = []
    counted: set[nn.Module] = set()  # a layer that runs twice has its parameters once

    def record(stage: str, module: nn.Module) -> None:
        one_bias = getattr(module, "one_bias", False)  # Keras has no second bias; torch has one that stays zero

        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            parameters = [] if module in counted else list(module.named_parameters(recurse=False))
            keras = sum(p.numel() for name, p in parameters if not (one_bias and name.startswith("bias_hh")))
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and parameters:
                keras += 2 * module.num_features
            rows.append(Layer(stage, _name(module), _shape(output), keras, sum(p.numel() for _, p in parameters)))
            counted.add(module)

        hooks.append(module.register_forward_hook(hook))

    for path, module in model.named_modules():
        is_layer = any(True for _ in module.parameters(recurse=False)) or not any(True for _ in module.children())
        if path and is_layer and not isinstance(module, (*UNLISTED, Metric, nn.ModuleDict)):
            record(path.removeprefix("backbone.").split(".")[0], module)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = model.probabilities(torch.zeros(IMAGES, *image_shape, device=model.device))
    finally:
        model.train(was_training)
        for handle in hooks:
            handle.remove()
    return [*rows, Layer("head", "Softmax", _shape(output), 0, 0)]


def table(rows: list[Layer]) -> str:
    """Formats the rows as text, with the totals of both counts."""
    cells = [("stage", "layer", "output", "Keras", "torch")]
    cells += [(r.stage, r.name, "x".join(map(str, r.shape)), f"{r.keras:,}", f"{r.torch:,}") for r in rows]
    cells.append(("", "total", "", f"{sum(r.keras for r in rows):,}", f"{sum(r.torch for r in rows):,}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [f"<{width}" for width in widths[:3]] + [f">{width}" for width in widths[3:]]  # text left, counts right
    lines = ["  ".join(map(format, row, aligned)).rstrip() for row in cells]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _shape(output: Tensor) -> tuple[int, ...]:
    """The output's shape in Keras's order, (1, C, H, W) to (H, W, C)."""
    shape = tuple(output.shape[1:])
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _window(module: nn.Conv2d | nn.ConvTranspose2d) -> str:
    return f"{module.kernel_size[0]}x{module.kernel_size[1]} stride {module.stride[0]}"


def _name(module: nn.Module) -> str:
    match module:
        case nn.Conv2d():
            return f"Conv2D {_window(module)} {'same' if any(module.padding) else 'valid'}"
        case nn.ConvTranspose2d():
            return f"Conv2DTranspose {_window(module)} valid"
        case nn.ZeroPad2d():
            return "ZeroPadding" if max(module.padding) > 0 else "Cropping"
        case nn.modules.batchnorm._BatchNorm():
            return "BatchNormalization"
        case nn.MaxPool2d():
            return f"MaxPooling {module.kernel_size}x{module.kernel_size} stride {module.stride}"
        case nn.Linear():
            return "Dense"
        case nn.Upsample():
            return "Resizing"
        case AsSequence():
            return "Reshape"
        case Flatten():
            return "Flatten"
        case nn.RNNBase():
            count = f" x{module.num_layers}" if module.num_layers > 1 else ""
            return f"{'Bi' if module.bidirectional else ''}{type(module).__name__}{count}"
        case _:
            return type(module).__name__
