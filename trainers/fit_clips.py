"""The clips that a network learns from, batch by batch, each in one of its views."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from trainers.augmentation.batches import Batch
from trainers.material import ClipViews, Material


class FitClips:
    """The fit clips of a material: on the CPU in their memory maps, on any other device copied there once."""

    def __init__(self, material: Material, device: torch.device) -> None:
        rows = material.rows["fit"]
        self._rows = torch.from_numpy(rows)
        self._features = torch.from_numpy(material.features)
        self._targets = F.one_hot(torch.from_numpy(material.labels), len(material.scenes)).float()
        self._logits = None if material.logits is None else torch.from_numpy(material.logits)
        views = material.views
        self._views = None if views is None else torch.from_numpy(views.features)
        self._views_logits = None if views is None or views.logits is None else torch.from_numpy(views.logits)
        self._choice = None if views is None else _Choice.of(rows, views)
        if device.type != "cpu":
            self._features = self._features[self._rows].to(device)
            self._targets = self._targets[self._rows].to(device)
            self._logits = None if self._logits is None else self._logits[self._rows].to(device)
            self._views = None if self._views is None else self._views[self._rows].to(device)
            self._views_logits = None if self._views_logits is None else self._views_logits[self._rows].to(device)
            self._rows = torch.arange(len(rows), device=device)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, places: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """The clips at some places, 0 to the number of clips, with float16 features.

        Where there are views, each clip is shown in one of them, uniformly at random, the clean one included, with the
        teacher logits of that very view and with the label of a clip that is mixed in.
        """
        rows = self._rows[torch.from_numpy(places).to(self._rows.device)]
        features, targets = self._features[rows], self._targets[rows]
        logits = None if self._logits is None else self._logits[rows]
        if self._views is None or self._choice is None:
            return Batch(features, targets, logits)
        drawn = rng.integers(self._views.shape[1] + 1, size=len(places))
        view, partner, weight = (torch.from_numpy(part[places, drawn]).to(rows.device) for part in self._choice)
        augmented = view > 0
        shown = rows[augmented], view[augmented] - 1
        features[augmented] = self._views[shown]
        if logits is not None and self._views_logits is not None:
            logits[augmented] = self._views_logits[shown]
        return Batch(features, torch.lerp(self._targets[self._rows[partner]], targets, weight[:, None]), logits)


class _Choice(NamedTuple):
    """What there is to show of each fit clip: (clips, 1 + views), the clean view first.

    Attributes:
        view: The view that is shown: the clean one in place of a view with a clip that is no fit clip mixed in, for a
            network must not hear what it is judged on.
        partner: Place of the fit clip that is mixed in; the clip itself where none is.
        weight: float32 share of the clip itself.
    """

    view: npt.NDArray[np.int64]
    partner: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]

    @classmethod
    def of(cls, rows: npt.NDArray[np.int64], views: ClipViews) -> "_Choice":
        itself = np.arange(len(rows))[:, None]
        partners, weights = views.partners[rows], views.weights[rows]
        alone = weights == 1
        hidden = ~alone & ~np.isin(partners, rows)
        place = np.where(alone | hidden, itself, np.searchsorted(rows, partners))
        number = np.where(hidden, 0, np.arange(1, partners.shape[1] + 1))
        return cls(
            np.hstack([np.zeros_like(itself), number]),
            np.hstack([itself, place]),
            np.hstack([np.ones_like(itself), np.where(hidden, 1, weights)]).astype(np.float32),
        )
