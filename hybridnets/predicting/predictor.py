"""Loads a finished run's model from its folder alone, and predicts with it; the data set is not needed."""

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hybridnets.data.dataset import EVALUATION_BATCH_SIZE
from hybridnets.data.decoding import COLOURS, DecodingError, Form, decode
from hybridnets.data.pictures import describe_broken, misfit
from hybridnets.models import Classifier, FeatureAutoencoder
from hybridnets.predicting.codes import CodesError, EncodedImages
from hybridnets.runs import identities
from hybridnets.runs.records.result import Result
from hybridnets.runs.store import BEST_CHECKPOINT, Run, result_with_weights
from hybridnets.training.checkpoints import RefusedCheckpointError, hash_weights, load_checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture = str | Path | Image
    ImagesOrPictures = Tensor | NDArray[Any] | Picture | Sequence[Picture]


def load_predictor(folder: Path, device: str = "cpu") -> "Predictor":
    """Loads the weights of a run's reported epoch.

    Args:
        folder: The run's folder.
        device: The device that computes, as torch names it.

    Returns:
        An `AutoencoderPredictor` if the run trained a feature autoencoder, otherwise a `Predictor`.

    Raises:
        ValueError: If the folder holds no finished run, its weights are missing or not those of its result, its model cannot
            be loaded, or torch has no such device.
    """
    result, best = result_with_weights(folder), folder / BEST_CHECKPOINT
    try:
        torch.zeros(1, device=device).tolist()  # which refuses devices without memory, such as meta
        device = "cpu" if torch.device(device).type == "cpu" else device  # a checkpoint cannot be loaded to cpu:0
    except Exception as error:  # which one depends on the device and on how torch was built
        raise ValueError(f"device must be one that torch can use here, such as cpu, got {device!r}") from error
    try:
        module, _, name = result.identity["model"]["_target_"].rpartition(".")
        architecture = getattr(importlib.import_module(module), name)
        checkpoint = load_checkpoint(best, device)  # first, because it refuses what could execute code
        model = architecture.load_from_checkpoint(best, map_location=device, weights_only=True).eval()
        kind = AutoencoderPredictor if isinstance(model, FeatureAutoencoder) else Predictor
        predictor = kind(model, checkpoint, result)
    except RefusedCheckpointError:
        raise
    except Exception as error:  # torch raises nearly anything, and some of its messages give bad advice
        text = " ".join(str(error).split())
        reason = "" if "weights_only" in text else f": {text[:200]}"
        raise ValueError(
            f"{folder} must hold a run whose model can be loaded, got {type(error).__name__} while loading it{reason}"
        ) from error
    if result.weights and predictor.weights != result.weights:  # results of the first versions do not have it
        raise ValueError(
            f"the weights in {folder} must be those that its result was measured with, but differ from them"
        )
    return predictor


class Network(nn.Module):
    """A run's network from pixels to probabilities: what predicts here, and what is exported.

    Args:
        model: The model.
        mean: Subtracted from pixels of 0 to 255, (C, 1, 1).
        std: Divides the result, (C, 1, 1).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Classifier, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images, (B, C, H, W), to class probabilities, (B, K)."""
        return self.model.probabilities(self.standardized(images))

    def standardized(self, images: Tensor) -> Tensor:
        """Pixels of 0 to 255 as the model takes them: (B, C, H, W) float32, channels last in memory."""
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self.mean) / self.std


class Predictor:
    """Predicts with the model of a finished run.

    Args:
        model: The model, in evaluation mode.
        checkpoint: The checkpoint that holds its weights, with the state of its data module.
        result: The run's result.

    Attributes:
        model: The model, in evaluation mode.
        network: The model with what standardises its images and makes probabilities of its logits.
        classes: The classes' names.
        image_shape: (C, H, W).
        resize: How the run's data brought pictures of other sizes to this one, a name in
            `hybridnets.data.decoding.RESIZES`; None if it held no such pictures, or if nothing was recorded.
        form: What `predict` brings pictures to; those of another size by `crop` where `resize` is None.
        name: The run's name, which consists of variant and seed.
        variant: The variant's name.
        seed: The seed, or the seeds of split, initialisation and order where they differ.
        hash: SHA-256 of its identity.
        weights: SHA-256 of its weights and running statistics.
    """

    def __init__(self, model: Classifier, checkpoint: Mapping[str, Any], result: Result) -> None:
        self.model = model
        data = checkpoint[result.identity["data"]["_target_"].rpartition(".")[2]]
        self.network = Network(model, data["mean"], data["std"]).eval()
        self.classes = tuple(data["classes"])
        self.image_shape = tuple(checkpoint["hyper_parameters"]["image_shape"])
        self.weights = hash_weights(checkpoint["state_dict"])
        self.resize = data.get("resize")
        channels, height, width = self.image_shape
        self.form = Form(channels, height, width, self.resize or "crop")
        self.name, self.hash = Run(Path(), result.identity).name, result.hash
        self.variant, self.seed = identities.name(result.identity), identities.seed(result.identity)

    @torch.no_grad()
    def predict(self, images: "ImagesOrPictures") -> Tensor:
        """Class probabilities, (B, K) on the model's device; computed in batches of 100 images.

        Args:
            images: uint8, (B, C, H, W) or, as cameras and files give them, (B, H, W, C). Or one picture or a sequence of
                them, each the path of a file or a Pillow image: of any size and kind, they are brought to `form`.

        Raises:
            ValueError: If an array is not uint8 or not of the shape that the model was trained on, if pictures cannot be
                read, which are named, or if there are none.
        """
        return torch.cat([self.probabilities(batch) for batch in self.batches(images)])

    @torch.no_grad()
    def probabilities(self, batch: Tensor) -> Tensor:
        """Class probabilities of a batch, (B, K).

        Args:
            batch: uint8, (B, C, H, W).
        """
        return self.network(batch.to(self.model.device))  # type: ignore[no-any-return]

    def batches(self, images: "ImagesOrPictures") -> Iterator[Tensor]:
        """Cuts images into batches, so that never more pictures than those of one are decoded at a time.

        Args:
            images: As for `predict`.

        Yields:
            uint8, (B, C, H, W), B up to 100.
        """
        pictures = _pictures(images)
        if pictures is None:
            yield from torch.split(self._checked(images), EVALUATION_BATCH_SIZE)
            return
        if self.form.channels not in COLOURS:
            raise ValueError(f"images of {self.form.channels} channels, as the run's are, must be arrays, got pictures")
        if not pictures:
            raise ValueError("images must hold at least one picture, got none")
        for start in range(0, len(pictures), EVALUATION_BATCH_SIZE):
            yield torch.from_numpy(_decoded(pictures[start : start + EVALUATION_BATCH_SIZE], self.form, start))

    def __getattr__(self, name: str) -> Any:
        """Names the run that has a missing attribute, so that a call of `encode` on any other run says what it needs."""
        if hasattr(AutoencoderPredictor, name):
            raise MissingCodeError(
                f"{name} needs a run of model=feature_autoencoder, got {self.name}, a {type(self.model).__name__}"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name}")

    def _checked(self, images: Any) -> Tensor:
        """Images as uint8 (B, C, H, W)."""
        if not isinstance(images, Tensor):
            images = np.ascontiguousarray(images)  # torch takes no mirrored views
        if reason := misfit(images.dtype, images.shape, self.form):
            raise ValueError(f"images {reason}")
        pixels = images if isinstance(images, Tensor) else torch.from_numpy(images)
        return pixels if pixels.shape[1:] == self.image_shape else pixels.permute(0, 3, 1, 2)


class AutoencoderPredictor(Predictor):
    """Predicts with a feature autoencoder in two halves, as on the two ends of a network connection.

    The device encodes, for which it needs the backbone up to its feature maps and the autoencoder's encoder. The cloud
    decodes without any image, for which it needs the autoencoder's decoder and the part of the backbone that classifies maps.
    An instance loads both halves; `sizes` gives the size of each.

    Source:
        The two sides: Go, Kwon, Kim, figure 1.
    """

    model: FeatureAutoencoder

    @torch.no_grad()
    def encode(self, images: "ImagesOrPictures", names: Sequence[str] | None = None) -> EncodedImages:
        """The device's side: encodes images in batches of 100, so that a memory-mapped array is read piece by piece.

        Args:
            images: As for `predict`.
            names: A name for each image; their positions by default.

        Raises:
            ValueError: If the images are not what `predict` takes.
            CodesError: If there are no images, or a code is not finite.
        """
        code = torch.cat([self._code(batch).float().cpu() for batch in self.batches(images)])  # (B, *code_shape)
        if names is None:
            names = tuple(map(str, range(len(code))))
        return EncodedImages(code.contiguous().numpy(), tuple(names), self.name, self.hash, self.weights)

    @torch.no_grad()
    def decode(self, encoded: EncodedImages) -> Tensor:
        """The cloud's side: class probabilities from codes, (B, K) on the model's device.

        Args:
            encoded: What `encode` of the same run returned.

        Raises:
            CodesError: If another run or other weights made the codes.
        """
        code_shape = tuple(self.model.autoencoder.code_shape)
        if encoded.hash != self.hash:
            raise CodesError(
                f"codes must be of the run that decodes them, {self.name} ({self.hash[:12]}), got those of {encoded.run} "
                f"({encoded.hash[:12]})"
            )
        if encoded.weights != self.weights:
            raise CodesError(
                f"codes must be of the weights that decode them, {self.weights[:12]}, got those of {encoded.weights[:12]}: "
                f"{self.name} was trained more than once, take the folder that encoded"
            )
        if encoded.code.shape[1:] != code_shape:
            raise CodesError(f"codes of {self.name} must have the shape {code_shape}, got {encoded.code.shape[1:]}")
        batches = torch.split(torch.from_numpy(encoded.code), EVALUATION_BATCH_SIZE)
        logits = [self.model.backbone.classify(self.model.decode(code.to(self.model.device))) for code in batches]
        return F.softmax(torch.cat(logits).float(), dim=1)

    @torch.no_grad()
    def sizes(self) -> tuple[int, int]:
        """The sizes of the device's half of the model and of the cloud's half, in parameters and running statistics.

        Any network can be a backbone, so the device's half is observed: it consists of the modules that run while an image is
        encoded.
        """
        device_modules: set[nn.Module] = set()
        hooks = [m.register_forward_pre_hook(lambda m, _: device_modules.add(m)) for m in self.model.modules()]
        self._code(self._checked(torch.zeros(1, *self.image_shape, dtype=torch.uint8)))
        for hook in hooks:
            hook.remove()
        device = _size(device_modules)
        return device, _size(self.model.modules()) - device

    def _code(self, images: Tensor) -> Tensor:
        """The code of checked images, (B, C, H, W) to (B, *code_shape)."""
        return self.model.encode(self.model.maps(self.network.standardized(images.to(self.model.device))))


def _pictures(images: Any) -> "list[Picture] | None":
    """The pictures, if images are one or a sequence of them; None for an array."""
    pillow = sys.modules.get("PIL.Image")  # who has one of its images has imported it
    kinds = (str, Path, pillow.Image) if pillow else (str, Path)
    if isinstance(images, kinds):
        return [images]
    is_list = isinstance(images, Sequence) and (not images or isinstance(images[0], kinds))
    return list(images) if is_list else None


def _decoded(pictures: "Sequence[Picture]", form: Form, first: int) -> NDArray[np.uint8]:
    """The pixels of pictures, (B, C, H, W); one without a file is named by its place.

    Raises:
        ValueError: If pictures cannot be read.
    """
    pixels, broken = [], {}
    for place, picture in enumerate(pictures, first):
        source = Path(picture) if isinstance(picture, str) else picture
        try:
            pixels.append(decode(source, form))
        except DecodingError as error:
            broken[str(source) if isinstance(source, Path) else f"image {place}"] = str(error)
    if broken:
        raise ValueError(describe_broken(broken))
    return np.stack(pixels)


class MissingCodeError(CodesError, AttributeError):
    """A run has no code, because its model is not a feature autoencoder; the message is one sentence for the user."""


def _size(modules: Iterable[nn.Module]) -> int:
    """Parameters and running statistics that the modules hold themselves."""
    return sum(
        tensor.numel()
        for module in modules
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if tensor.is_floating_point()
    )
