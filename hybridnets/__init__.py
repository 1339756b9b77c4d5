"""Train, sweep and honestly compare hybrid CNN / encoder-decoder / RNN image classifiers."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from hybridnets.version import __version__ as __version__

if TYPE_CHECKING:
    from hybridnets.predicting import Ensemble, Predictor


@overload
def load(run: str | Path, device: str = "cpu", *, ensemble: Literal[False] = False) -> "Predictor": ...
@overload
def load(run: str | Path, device: str = "cpu", *, ensemble: Literal[True]) -> "Ensemble": ...
@overload
def load(run: str | Path, device: str = "cpu", *, ensemble: bool) -> "Predictor | Ensemble": ...
def load(run: str | Path, device: str = "cpu", *, ensemble: bool = False) -> "Predictor | Ensemble":
    """Loads the model of a run's reported epoch, ready to predict; one of a feature autoencoder encodes and decodes, too.

    Args:
        run: A run's folder, such as runs/cifar10/cnn/seed=0-1f3a9c; for an ensemble also its variant's, runs/cifar10/cnn.
        device: The device that computes, as torch names it.
        ensemble: Whether to load all finished runs of the variant that did not diverge, whose probabilities are averaged.

    Raises:
        ValueError: If the folder holds no finished run, or for an ensemble fewer than two runs or runs of several variants.
    """
    from hybridnets.predicting import load_ensemble, load_predictor  # here, because it imports torch
    from hybridnets.runs.members import members

    return load_ensemble(members(Path(run)).folders, device) if ensemble else load_predictor(Path(run), device)
