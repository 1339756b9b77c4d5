"""VGG16, whose feature maps an autoencoder can compress before its dense layers read them."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hybridnets.models.classifier import Classifier
from hybridnets.rnn.backends import is_traced

# Simonyan and Zisserman, table 1, configuration D: channels of the 3x3 convolutions, block by block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Larger batches are evaluated in parts: each of the first maps of 100 images at 224x224 would need 1.3 GB.
MAX_PIXELS = 64 * 224 * 224


class VGG16(Classifier):
    """Thirteen 3x3 convolutions in five blocks, each ended by 2x2 pooling, and three dense layers.

    At 224x224 the maps are 512 x 7 x 7, and with 1,000 classes it has the published 138,357,544 parameters. At 32x32 the maps
    are 512 x 1 x 1, so that the first dense layer reads 512 values instead of 25,088. torchvision first pools maps of any size
    to 7x7. The published net has no such pooling, which at 224x224 changes nothing and at 32x32 only repeats each value 49
    times, so it is left out here.

    Parameters have torchvision's names, features.0.weight to classifier.6.bias. A weights file must hold all of them, in the
    model's shapes, and nothing else. The published weights thus fit 1,000 classes at 224x224; for other classes, replace the
    last dense layer in the file by one with a row for each class.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        image_size: Height and width to which images are enlarged; None leaves them unchanged.
        dense: Units of the dense layers before the last, which has one unit per class.
        dropout: Share of each of these layers' output that is dropped in training.
        weights: Path of a file with the initial weights, a state_dict written by torch.save; no code in it is executed.
            Without a file, weights are drawn with He's standard deviations, and biases are zero.

    Raises:
        ValueError: If the images are smaller than five poolings need or larger than image_size, or the weights do not fit.

    Source:
        Simonyan and Zisserman (2015), arXiv:1409.1556, configuration D; initialisation by He et al. (2015), arXiv:1502.01852,
        equation 10. Go, Kwon, Kim (Compression method of feature based on CNN image classification network using Autoencoder),
        who compress its maps, name neither the dense layers' units nor the initial weights, nor whether it was pretrained.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        image_size: int | None = 224,
        dense: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
        weights: str | None = None,
    ) -> None:
        super().__init__(num_classes)
        # A checkpoint holds the trained weights and must load without the file of the initial ones.
        self.save_hyperparameters(ignore="weights")
        _, *original = image_shape
        height, width = size = original if image_size is None else [image_size, image_size]
        if min(size) < 2 ** len(BLOCKS):
            raise ValueError(
                f"model.image_size must be at least {2 ** len(BLOCKS)}, which {len(BLOCKS)} poolings halve to 1, "
                f"got {height}x{width}"
            )
        if height < original[0] or width < original[1]:
            raise ValueError(
                f"model.image_size must be null or at least that of the images, {original[0]}x{original[1]}, got {image_size}"
            )
        tensors = None if weights is None else _read_tensors(weights)  # first, because building takes longer
        # Without antialiasing, which only a reduction needs.
        self.enlarge = nn.Identity() if size == original else nn.Upsample((height, width), mode="bilinear")
        self.batch_limit = max(1, MAX_PIXELS // (height * width))
        self.features = _convolutions(image_shape[0])
        # Channels vary slowest, as in torchvision, so that published dense weights fit; the other models follow Keras.
        self.flatten = nn.Flatten()
        positions = (height // 2 ** len(BLOCKS)) * (width // 2 ** len(BLOCKS))
        layers: list[nn.Module] = []
        in_features = BLOCKS[-1][-1] * positions
        for units in dense:
            layers += [nn.Linear(in_features, units), nn.ReLU(), nn.Dropout(dropout)]
            in_features = units
        self.classifier = nn.Sequential(*layers, nn.Linear(in_features, num_classes))
        if tensors is None:
            # Without batch normalisation, only He's standard deviations keep the maps at the images' scale: measured at
            # 224x224, maps then have a standard deviation of .87, with Glorot's initialisation one of .002.
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
        else:
            purpose = f"{num_classes} classes, {image_shape[0]}x{height}x{width} images and model.dense={[*dense]}"
            _check_tensors(tensors, self.state_dict(), f"{weights}", purpose)
            self.load_state_dict(tensors)
        self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster on CPUs

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of standardised images, enlarged first, (B, C, H, W) to (B, 512, H', W')."""
        # Autograd keeps all maps anyway, so cutting the batch saves nothing; and a recorded graph has a fixed number of parts.
        if torch.is_grad_enabled() or is_traced(images):
            return self.features(self.enlarge(images))  # type: ignore[no-any-return]
        return torch.cat([self.features(self.enlarge(part)) for part in torch.split(images, self.batch_limit)])

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, 512, H', W') to (B, K)."""
        return self.classifier(self.flatten(maps))  # type: ignore[no-any-return]


def _convolutions(in_channels: int) -> nn.Sequential:
    """The convolution blocks, (B, C, H, W) to (B, 512, H / 32, W / 32)."""
    layers: list[nn.Module] = []
    for block in BLOCKS:
        for out_channels in block:
            layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
            in_channels = out_channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _read_tensors(path: str) -> dict[str, Tensor]:
    """Reads tensors by name from a file, refusing all but tensors and plain types, so that no code in it is executed."""
    rule = "model.weights must be a file of tensors by name, as torch.save writes a state_dict"
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns of formats that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"model.weights not found: {path}") from None
    except Exception as error:  # torch raises nearly anything
        raise ValueError(f"{rule}, got {path} ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{rule}, got {path} with a {type(content).__name__}")
    non_tensors = [
        key for key, value in content.items() if not (isinstance(value, Tensor) and value.is_floating_point())
    ]
    if non_tensors:
        raise ValueError(f"{rule}, got {path} with other types at {_excerpt(non_tensors)}")
    return content


def _check_tensors(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str, purpose: str) -> None:
    """Refuses a file's tensors unless their names and shapes are the expected ones.

    Args:
        tensors: The file's.
        expected: The model's.
        path: The file.
        purpose: What a file that fits was made for.
    """
    missing, unknown = [key for key in expected if key not in tensors], [key for key in tensors if key not in expected]
    if missing or unknown:
        faults = [f"lacks {_excerpt(missing)}"] * bool(missing) + [f"also has {_excerpt(unknown)}"] * bool(unknown)
        raise ValueError(
            f"model.weights must hold VGG16's {len(expected)} tensors and no others, got {path}, which {' and '.join(faults)}"
        )
    misfits = [key for key in expected if tensors[key].shape != expected[key].shape]
    if misfits:
        shape, expected_shape = ("x".join(map(str, source[misfits[0]].shape)) for source in (tensors, expected))
        raise ValueError(
            f"model.weights must fit the model, got {path}, whose {misfits[0]} is {shape} instead of {expected_shape} "
            f"({len(misfits)} of {len(expected)} do not fit): use a file made for {purpose}"
        )


def _excerpt(keys: Sequence[str]) -> str:
    return f"{', '.join(map(str, keys[:3]))}{' ...' * (len(keys) > 3)} ({len(keys)} in all)"
