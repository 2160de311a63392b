"""Random points of the joint space for tests."""

import numpy as np

from search_spaces.architecture import Architecture, InputShape
from search_spaces.joint import JointSpace


def random_architectures(count: int, *, seed: int, mels: int = 64, frames: int = 33) -> list[Architecture]:
    """Uniform draws from the joint space, feasible or not."""
    space, rng = JointSpace(InputShape(mels, frames)), np.random.default_rng(seed)
    return [space.decode(space.sample(rng)) for _ in range(count)]
