"""A folder in which a person types commands, each in a real process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]
ROOT = Path(__file__).resolve().parents[1]


class Desk:
    """Commands in one folder, with its own runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command, in a process group of its own, as a terminal starts it."""
        return subprocess.Popen(
            [*NAS, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "NAS_RUNS": str(self.runs)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Its exit code, standard output and standard error."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def answer(self, *arguments: str) -> Any:
        """What it says with --json, where it succeeds."""
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)
