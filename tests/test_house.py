"""The floors of the house: imports run downward only, and the light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BELOW = {
    "search_spaces": set(),
    "trainers": {"search_spaces"},
    "studies": {"search_spaces"},
    "nas": {"search_spaces", "trainers", "studies"},
}

# Of search_spaces, all that needs no network: everything but the modules that torch gives its name to.
PLAIN_HALF = ", ".join(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "search_spaces").rglob("*.py"))
    if path.stem not in ("__init__", "network", "folding") and path.parent.name != "blocks"
)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", list(BELOW))
def test_imports_run_downward_only(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        upward = imported(path) & set(BELOW) - BELOW[package] - {package}
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (PLAIN_HALF, "torch"),
        ("studies.records, studies.view, studies.storage", "torch"),
        ("nas.cli", "torch"),
        ("nas.cli", "ray"),
        ("nas.cli", "optuna"),
    ],
)
def test_light_modules_start_without_the_heavy_ones(modules: str, heavy: str) -> None:
    code = f"import sys, {modules}; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
