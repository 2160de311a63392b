"""Memory that was freed is used again, without the system having to make its pages anew."""

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys
import numpy as np
from trainers.freed_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
np.ones(5_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(5_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator of glibc is told")
def test_freed_memory_stays_with_the_process() -> None:
    def faults(memory: str) -> int:
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-c", FAULTS, memory]
        return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)

    given_back = faults("given back")
    if given_back < 100:
        pytest.skip("this system has such large pages, or another allocator, that there is nothing to save")
    assert faults("kept") < given_back / 10
