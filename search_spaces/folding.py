"""From a trained network to the form that is deployed: one walker, and modules that know how they fold."""

from copy import deepcopy
from typing import Protocol, runtime_checkable

from torch import nn

from search_spaces.forms import Form


@runtime_checkable
class Foldable(Protocol):
    """A module that has a simpler form for deployment."""

    def folded(self, form: Form) -> nn.Module:
        """A module with the same output in evaluation mode, or itself where that form changes nothing."""


def deployed(network: nn.Module, form: Form) -> nn.Module:
    """A copy of a network in evaluation mode and in the given form; the network itself is left as it was."""
    copy = deepcopy(network).eval()
    if form is not Form.TRAINING:
        _fold_children(copy, form)
    return copy.eval()


def _fold_children(module: nn.Module, form: Form) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Foldable):
            setattr(module, name, child.folded(form))
        else:
            _fold_children(child, form)
