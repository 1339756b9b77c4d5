"""Architectures: each a LightningModule that builds its stages and maps images (B, C, H, W) to logits (B, K)."""

from hybridnets.models.classifier import Classifier
from hybridnets.models.cnn import CNN
from hybridnets.models.crnn import CRNN
from hybridnets.models.ecnn import ECNN
from hybridnets.models.ecrnn import ECRNN
from hybridnets.models.feature_autoencoder import FeatureAutoencoder
from hybridnets.models.vgg16 import VGG16

__all__ = ["CNN", "CRNN", "ECNN", "ECRNN", "VGG16", "Classifier", "FeatureAutoencoder"]
