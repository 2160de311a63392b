"""Which training clips steer the search: whole locations, a share of every scene, drawn by seed."""

from collections import Counter, defaultdict

import numpy as np
import pandas as pd

from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed

# Draws before giving up. One is enough unless a location holds several scenes.
_PATIENCE = 200


class ValidationError(InputError, ValueError):
    """No validation clips can be set aside as asked."""


def validation_mask(clips: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    """Training clips to validate on. The test list plays no part: validating on it would let it steer the search.

    Args:
        clips: Rows with scene, location and split, as in `Recordings.clips`.
        share: Wanted share of each scene's training clips, above 0 and below 1. Locations stay whole, so a scene
            misses it by up to half the clips of its largest location, by more only where one location is all there is
            to give or to keep.
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
    for (scene, location), count in Counter(zip(train["scene"], train["location"], strict=True)).items():
        counts[scene][location] = count
    if not counts:
        raise ValidationError("there are no training clips to set validation clips aside from")
    alone = [scene for scene, locations in counts.items() if len(locations) < 2]
    if alone:
        raise ValidationError(
            f"scene {', '.join(alone)} has training clips from one location only: it needs two, "
            "one to learn from and one to validate on"
        )
    for attempt in range(_PATIENCE):
        held = _draw(counts, share, np.random.default_rng(derive_seed(seed, "validation", attempt)))
        bad = [scene for scene, locations in counts.items() if not 0 < len(held & locations.keys()) < len(locations)]
        if not bad:
            return ((clips["split"] == "train") & clips["location"].isin(held)).to_numpy(dtype=bool, copy=True)
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
