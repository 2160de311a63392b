"""The one path of chance: every random choice of a study derives from its seed and the name of what is drawn."""

from search_spaces.digest import digest


def derive_seed(seed: int, *path: int | str) -> int:
    """A seed for one purpose, for example ``derive_seed(study_seed, "trial", 17)``.

    Returns:
        An integer in [0, 2**63). Equal arguments give the equal seed on every machine; different paths give
        seeds that are unrelated.
    """
    return int(digest([seed, *path]), 16) >> 1
