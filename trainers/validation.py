"""Which training clips steer the search: whole locations, a share of every scene and device, drawn by seed."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pandas as pd

from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed

# Draws before giving up. One is enough unless a location holds several scenes.
_PATIENCE = 200
# Cuts to choose from by how evenly they divide the devices; every seed still has its own.
_CUTS = 16


class ValidationError(InputError, ValueError):
    """No validation clips can be set aside as asked."""


def validation_mask(clips: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    """Training clips to validate on. The test list plays no part: validating on it would let it steer the search.

    Args:
        clips: Rows with scene, location, device and split, as in `Recordings.clips`.
        share: Wanted share of each scene's training clips, above 0 and below 1. Locations stay whole, so a scene
            misses it by up to half the clips of its largest location, by more only where one location is all there is
            to give or to keep. Of several cuts that keep to this, the one is taken whose devices come nearest to it.
        seed: Equal seeds give the equal choice, whatever the order of the rows.

    Returns:
        (rows,) bool, true for validation. No location is on both sides; every scene is on both.

    Raises:
        ValidationError: If a scene would lose all its training or all its validation clips.
    """
    if not 0 < share < 1:
        raise ValidationError(f"the validation share is {share!r}, expected a number above 0 and below 1")
    train = clips[clips["split"] == "train"]
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    sizes = train.groupby(["scene", "location"]).size().reset_index()
    for scene, location, count in sizes.itertuples(index=False, name=None):
        counts[scene][location] = count
    if not counts:
        raise ValidationError("there are no training clips to set validation clips aside from")
    alone = [scene for scene, locations in counts.items() if len(locations) < 2]
    if alone:
        raise ValidationError(
            f"scene {', '.join(alone)} has training clips from one location only: it needs two, "
            "one to learn from and one to validate on"
        )
    recorded = train.groupby(["location", "device"]).size().unstack(fill_value=0)
    places, by_device = recorded.index.tolist(), recorded.to_numpy()

    def unevenness(held: set[str]) -> float:
        """By how much the device with the most uneven cut misses the share."""
        chosen = [place in held for place in places]
        return float(np.abs(by_device[chosen].sum(axis=0) / by_device.sum(axis=0) - share).max())

    held = min(islice(_cuts(counts, share, seed), _CUTS), key=unevenness)
    return ((clips["split"] == "train") & clips["location"].isin(held)).to_numpy(dtype=bool, copy=True)


def _cuts(counts: dict[str, dict[str, int]], share: float, seed: int) -> Iterator[set[str]]:
    """Validation locations that leave every scene on both sides, seeded, at least one."""
    found = False
    for attempt in range(_PATIENCE):
        held = _draw(counts, share, np.random.default_rng(derive_seed(seed, "validation", attempt)))
        bad = [scene for scene, locations in counts.items() if not 0 < len(held & locations.keys()) < len(locations)]
        if not bad:
            found = True
            yield held
    if not found:
        raise ValidationError(
            f"scene {', '.join(bad)} shares its locations with other scenes so that no cut leaves every scene with "
            "both training and validation clips"
        )


def _draw(counts: dict[str, dict[str, int]], share: float, rng: np.random.Generator) -> set[str]:
    """One seeded choice of validation locations, scene by scene, those with the fewest locations first."""
    held: set[str] = set()
    kept: set[str] = set()
    for scene in sorted(counts, key=lambda scene: (len(counts[scene]), scene)):
        locations = counts[scene]
        free = [str(name) for name in rng.permutation(sorted(locations.keys() - held - kept))]
        wanted = share * sum(locations.values())
        got = sum(count for location, count in locations.items() if location in held)
        chosen = []
        for location in free:
            if got + locations[location] / 2 <= wanted:  # nearer to the wish with it than without
                chosen.append(location)
                got += locations[location]
        if free and not chosen and not held & locations.keys():
            chosen = [min(free, key=lambda location: locations[location])]
        elif chosen and len(chosen) == len(free) and not kept & locations.keys():
            chosen.remove(min(chosen, key=lambda location: locations[location]))
        held.update(chosen)
        kept.update(set(free) - set(chosen))
    return held
