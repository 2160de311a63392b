"""Shared fixtures, and one thread for toy networks."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The quick suite tells one thing of one commit; `make nightly` draws fresh examples (--hypothesis-profile=fresh).
settings.register_profile("same", derandomize=True)
settings.register_profile("fresh", derandomize=False, print_blob=True)
settings.load_profile("same")

# Toy networks are faster on one thread, and several test processes then share the cores without spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings (NAS_SHARED_DATA, or shared/data beside the checkout)."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAS_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real recordings here: set NAS_SHARED_DATA to the folder that holds esc10-mobile")
    return folder
