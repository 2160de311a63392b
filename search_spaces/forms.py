"""The forms in which one network exists between training and the microcontroller."""

from enum import StrEnum


class Form(StrEnum):
    """What has been merged into what. All forms compute the same function in evaluation mode."""

    TRAINING = "training"
    """As trained: parallel kernels and batch norms apart."""

    UNFOLDED = "unfolded"
    """Kernel sets merged (which only ever saves), batch norms kept."""

    FOLDED = "folded"
    """Kernel sets merged and every batch norm that directly follows a convolution folded into it. Saves parameters,
    but raises the challenge's MACs: it multiplies a bias by the output size and counts a batch norm once."""
