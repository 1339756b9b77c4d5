"""A finished run's network: class probabilities from images and, for a feature autoencoder, codes in between."""

from hybridnets.predicting.codes import CodesError, EncodedImages, concatenate, read_codes, write_codes
from hybridnets.predicting.ensemble import Ensemble, load_ensemble
from hybridnets.predicting.predictor import AutoencoderPredictor, Predictor, load_predictor

__all__ = [
    "AutoencoderPredictor",
    "CodesError",
    "EncodedImages",
    "Ensemble",
    "Predictor",
    "concatenate",
    "load_ensemble",
    "load_predictor",
    "read_codes",
    "write_codes",
]
