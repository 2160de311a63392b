"""Shared fixtures: random points of the joint space, and the folder of real recordings where there is one."""

import os
from pathlib import Path

import numpy as np
import pytest

# Toy networks are faster on one thread, and several test processes then share the cores without spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from search_spaces.architecture import Architecture, InputShape
from search_spaces.joint import JointSpace


def random_architectures(count: int, *, seed: int, mels: int = 64, frames: int = 33) -> list[Architecture]:
    """Uniform draws from the joint space, feasible or not."""
    space, rng = JointSpace(InputShape(mels, frames)), np.random.default_rng(seed)
    return [space.decode(space.sample(rng)) for _ in range(count)]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings (NAS_SHARED_DATA, or shared/data beside the checkout)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAS_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real recordings here: set NAS_SHARED_DATA to the folder that holds esc10-mobile")
    return folder
