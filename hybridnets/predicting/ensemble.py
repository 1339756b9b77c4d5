"""The networks of several runs of one variant, which predict together."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hybridnets.predicting.predictor import Predictor, load_predictor

if TYPE_CHECKING:
    from hybridnets.predicting.predictor import ImagesOrPictures


def load_ensemble(folders: Sequence[Path], device: str = "cpu") -> "Ensemble":
    """Loads the networks of runs of one variant.

    Args:
        folders: The runs' folders, as `hybridnets.runs.members` gives them.
        device: The device that computes, as torch names it.

    Raises:
        ValueError: If a network cannot be loaded, or the runs differ in their classes or in the shape of their images.
    """
    return Ensemble([load_predictor(folder, device) for folder in folders])


class Ensemble:
    """Predicts with the mean of the probabilities of several runs.

    How well an ensemble does on the runs' val images cannot be known, because each seed has another split: an image of one
    seed's val part is a training image of most others. Its accuracy on other images can be measured as that of one run.

    Args:
        members: The runs' predictors.

    Attributes:
        members: The runs' predictors.
        classes: The classes' names.
        form: The form of the images.
        image_shape: (C, H, W).
        seeds: The seeds of the runs, as they are named.
        name: Names the variant and its seeds.
        resize: How pictures of another size are brought to this one, as in `Predictor`.

    Raises:
        ValueError: If the runs differ in their classes or in the shape of their images.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        first = members[0]
        for member in members:
            if (member.classes, member.image_shape) != (first.classes, first.image_shape):
                raise ValueError(
                    f"an ensemble needs runs of the same classes and shape of images, got {first.name} and {member.name}"
                )
        self.members = tuple(members)
        self.classes, self.image_shape = first.classes, first.image_shape
        self.form, self.resize = first.form, first.resize
        self.seeds = tuple(member.seed for member in members)
        self.name = f"{first.variant}, mean of {len(members)} seeds"

    @torch.no_grad()
    def predict(self, images: "ImagesOrPictures") -> Tensor:
        """The mean of the runs' class probabilities, (B, K) on the models' device.

        Args:
            images: As for `Predictor.predict`.

        Raises:
            ValueError: As `Predictor.predict` does.
        """
        batches = self.members[0].batches(images)
        return torch.cat([torch.stack([m.probabilities(batch) for m in self.members]).mean(dim=0) for batch in batches])
