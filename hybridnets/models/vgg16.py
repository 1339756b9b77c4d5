"""VGG16, whose feature maps an autoencoder can compress before its dense layers read them."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hybridnets.models.classifier import Classifier

# Simonyan and Zisserman, table 1, configuration D: channels of the 3x3 convolutions, block by block.
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# A batch to evaluate is cut where it is larger: 100 images at 224x224 would need 1.3 GB for each of the first maps.
PIXELS_AT_ONCE = 64 * 224 * 224
FILE = "model.weights must be a file of tensors by name, as torch.save writes a state_dict"


class VGG16(Classifier):
    """Thirteen 3x3 convolutions in five blocks, each ended by 2x2 pooling, and three dense layers.

    At 224x224 the maps are 512 x 7 x 7, and with 1,000 classes it holds the published 138,357,544 numbers. At 32x32, where
    the maps are 512 x 1 x 1, the first dense layer reads 512 numbers in the place of 25,088. torchvision would pool the maps
    to 7x7 first, whatever their size, which at 32x32 only repeats each number 49 times; the published net has no such
    pooling, at 224x224 it does nothing, and so it is left out here.

    Parameters have torchvision's names, features.0.weight to classifier.6.bias, and so do those of a weights file, which
    must hold all of them, in the model's shapes, and nothing else. The published weights thus fit 1,000 classes at 224x224;
    for other classes a file is needed whose last dense layer was replaced by one of as many rows.

    Args:
        image_shape: Channels, height and width of an image.
        num_classes: Classes, K.
        image_size: Height and width to which images are enlarged; None leaves them as they are.
        dense: Units of the dense layers, the last (a unit a class) left out.
        dropout: Share of each of these layers' output dropped in training.
        weights: Path of a file with the first weights, which torch.save made of a state_dict; no code in it is executed.
            Without one they are drawn, with He's deviations, and biases are zero.

    Raises:
        ValueError: If the images are smaller than five poolings need or larger than image_size, or the weights do not fit.

    Source:
        Simonyan and Zisserman (2015), arXiv:1409.1556, configuration D; first weights by He et al. (2015), arXiv:1502.01852,
        equation 10. Go, Kwon, Kim (Compression method of feature based on CNN image classification network using Autoencoder),
        who compress its maps, name neither the dense layers' units nor the first weights, nor whether it was pretrained.
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
        # A checkpoint holds the weights as they became; the file that they began with need not be there any more.
        self.save_hyperparameters(ignore="weights")
        wide, *own = image_shape
        height, width = size = own if image_size is None else [image_size, image_size]
        if min(size) < 2 ** len(BLOCKS):
            raise ValueError(
                f"model.image_size must be at least {2 ** len(BLOCKS)}, which {len(BLOCKS)} poolings halve to 1, "
                f"got {height}x{width}"
            )
        if height < own[0] or width < own[1]:
            raise ValueError(
                f"model.image_size must be null or at least that of the images, {own[0]}x{own[1]}, got {image_size}"
            )
        first = None if weights is None else _tensors(weights)  # before what takes longer
        # Without antialiasing, which only making images smaller needs.
        self.enlarge = nn.Identity() if size == own else nn.Upsample((height, width), mode="bilinear")
        self.images_at_once = max(1, PIXELS_AT_ONCE // (height * width))
        layers: list[nn.Module] = []
        for block in BLOCKS:
            for out in block:
                layers += [nn.Conv2d(wide, out, kernel_size=3, padding=1), nn.ReLU()]
                wide = out
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        self.features = nn.Sequential(*layers)
        # Channels slowest, unlike the other models, which follow Keras: only so do published dense weights mean the same.
        self.flatten = nn.Flatten()
        layers, wide = [], wide * height * width
        for out in dense:
            layers += [nn.Linear(wide, out), nn.ReLU(), nn.Dropout(dropout)]
            wide = out
        self.classifier = nn.Sequential(*layers, nn.Linear(wide, num_classes))
        if first is None:
            # There is no batch normalisation, and He's deviations keep the maps at the images' scale: measured at 224x224,
            # maps deviate by .87, with Glorot's by .002.
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
        else:
            made_for = f"{num_classes} classes, {image_shape[0]}x{size[0]}x{size[1]} images and model.dense={[*dense]}"
            self.load_state_dict(_fitting(first, self.state_dict(), f"{weights}", made_for))
        self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster on CPUs

    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of standardised images, enlarged first, (B, C, H, W) to (B, 512, H', W')."""
        if torch.is_grad_enabled():  # when all maps are kept, however the batch is cut
            return self.features(self.enlarge(images))  # type: ignore[no-any-return]
        return torch.cat([self.features(self.enlarge(part)) for part in torch.split(images, self.images_at_once)])

    def classify(self, maps: Tensor) -> Tensor:
        """Logits of feature maps, (B, 512, H', W') to (B, K)."""
        return self.classifier(self.flatten(maps))  # type: ignore[no-any-return]


def _fitting(found: dict[str, Tensor], wanted: Mapping[str, Tensor], path: str, made_for: str) -> dict[str, Tensor]:
    """A file's tensors, if they are by name and shape those of a model."""
    missing, unknown = [key for key in wanted if key not in found], [key for key in found if key not in wanted]
    if missing or unknown:
        told = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(unknown)} besides"] * bool(unknown)
        raise ValueError(
            f"model.weights must hold VGG16's {len(wanted)} tensors and no others, got {path}, which {' and '.join(told)}"
        )
    misfits = [key for key in wanted if found[key].shape != wanted[key].shape]
    if misfits:
        one, other = (_shape(tensors[misfits[0]]) for tensors in (found, wanted))
        raise ValueError(
            f"model.weights must fit the model, got {path}, whose {misfits[0]} is {one} where {other} is wanted "
            f"({len(misfits)} of {len(wanted)} do not fit): a file fits that was made for {made_for}"
        )
    return found


def _tensors(path: str) -> dict[str, Tensor]:
    """A file's tensors by name; nothing but tensors and plain types is read, and no code in it is executed."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of formats that it then refuses
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"model.weights must be the path of a file, got {path}, which is not there") from None
    except Exception as error:  # torch raises nearly anything
        raise ValueError(f"{FILE}, got {path} ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{FILE}, got {path} with a {type(found).__name__}")
    others = [key for key, value in found.items() if not (isinstance(value, Tensor) and value.is_floating_point())]
    if others:
        raise ValueError(f"{FILE}, got {path}, where no tensor is {_some(others)}")
    return found


def _some(keys: Sequence[str]) -> str:
    return f"{', '.join(map(str, keys[:3]))}{' ...' * (len(keys) > 3)} ({len(keys)} in all)"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
