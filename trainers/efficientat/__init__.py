"""EfficientAT's networks, MN and DyMN, as teachers: convolutional, for spectrograms of any size."""

from trainers.efficientat.settings import DyMn, EfficientAtError, Mn

__all__ = ["DyMn", "EfficientAtError", "Mn"]
