"""Toy studies in real databases, and a real PostgreSQL server where one is installed."""

import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from math import log2
from pathlib import Path
from typing import Any

import optuna
import pytest

from studies.storage import create_study, open_storage

LIMITS = {"weight_bytes": 128_000, "macs": 30_000_000}
SCENES = ("airport", "bus", "metro", "metro_station", "park", "public_square", "shopping_mall", "street_pedestrian",
          "street_traffic", "tram")  # fmt: skip
DEVICES = ("a", "b", "c", "s1", "s2", "s3")

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Toy:
    """A study as the program writes it, with toy numbers."""

    def __init__(self, url: str, name: str = "toy", *, limits: dict[str, int] | None = None) -> None:
        self.url, self.name = url, name
        self.limits = LIMITS if limits is None else limits
        self.study = create_study(open_storage(url), name)
        self.study.sampler = optuna.samplers.RandomSampler(seed=0)
        self.study.set_user_attr("study_file", {"name": name, "seed": 7, "space": "repblocks", "trials": 60})
        self.study.set_user_attr("space", {"name": "repblocks", "version": 1, "digest": "0f1e2d3c4b5a6978"})
        self.study.set_user_attr("budget", self.limits)
        self.study.set_user_attr("provenance", {"optuna": optuna.__version__, "features": "9a8b7c6d5e4f3021"})

    def proposal(
        self,
        weight_bytes: int,
        macs: int,
        *,
        design: str | None = None,
        label: str = "rep",
        shape: tuple[int, int] = (256, 65),
    ) -> dict[str, Any]:
        blocks = [
            {"kind": label, "width": 16 + 8 * i, "expanded": 32 + 16 * i, "kernels": [[1, 1], [3, 3]], "stride": [1, 2]}
            for i in range(3)
        ]
        cost = {"params": weight_bytes // 2, "weight_bytes": weight_bytes, "macs": macs, "products": macs}
        return {
            "architecture": {
                "version": 2,
                "input": {"mels": shape[0], "frames": shape[1]},
                "stem": {"kind": "conv", "widths": [8, 32]},
                "stages": [
                    {"blocks": blocks[:2], "skip": True, "norm": "residual"},
                    {"blocks": blocks[2:], "skip": False},
                ],
                "head": {"pooling": "average"},
                "classes": len(SCENES),
                "precision": "fp16",
            },
            "identity": f"{len(self.study.get_trials(deepcopy=False)):016x}",
            "design": design,
            "cost": {
                "training": cost | {"params": weight_bytes // 2 + 100},
                "deployed": cost | {"form": "folded", "peak_bytes": 348_160},
            },
        }

    def outcome(self, accuracy: float, epochs: int = 6) -> dict[str, Any]:
        draw = random.Random(round(accuracy * 1e9))

        def near() -> float:
            return min(max(accuracy + draw.uniform(-0.12, 0.12), 0.0), 1.0)

        curve = [
            {
                "epoch": epoch,
                "loss": 2.3 * 0.8**epoch,
                "accuracy": accuracy * (1 - 0.6**epoch),
                "log_loss": 2.3 * 0.85**epoch,
                "seconds": 1.5,
            }
            for epoch in range(1, epochs + 1)
        ]
        return {
            "accuracy": accuracy,
            "log_loss": curve[-1]["log_loss"],
            "scenes": {scene: near() for scene in SCENES},
            "devices": {device: near() for device in DEVICES},
            "groups": {"real": near(), "seen": near()},
            "curve": curve,
            "seconds": 1.5 * epochs,
            "epochs": epochs,
        }

    def propose(self, weight_bytes: int, macs: int, **kwargs: Any) -> optuna.Trial:
        """A running trial."""
        trial = self.study.ask()
        trial.suggest_int("width", 8, 64)
        trial.set_user_attr("proposal", self.proposal(weight_bytes, macs, **kwargs))
        trial.set_user_attr("attempt", 1)
        for key, value in (("weight_bytes", weight_bytes), ("macs", macs)):
            trial.set_constraint(key, log2(value / self.limits[key]))
        return trial

    def complete(self, accuracy: float, weight_bytes: int, macs: int, **kwargs: Any) -> int:
        trial = self.propose(weight_bytes, macs, **kwargs)
        trial.set_user_attr("outcome", self.outcome(accuracy))
        self.study.tell(trial, [accuracy, weight_bytes, macs])
        return trial.number

    def refuse(self, reason: str, weight_bytes: int, macs: int, detail: str | None = None, **kwargs: Any) -> int:
        trial = self.propose(weight_bytes, macs, **kwargs)
        trial.set_user_attr("reason", reason)
        if detail:
            trial.set_user_attr("detail", detail)
        if reason == "stopped_early":
            trial.set_user_attr("outcome", self.outcome(0.3, epochs=2))
        self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return trial.number

    def pause(self, weight_bytes: int, macs: int) -> int:
        trial = self.propose(weight_bytes, macs)
        trial.set_user_attr("progress", {"paused": True, "outcome": self.outcome(0.3, epochs=2)})
        return trial.number

    def fail(self, weight_bytes: int, macs: int, error: str) -> int:
        trial = self.propose(weight_bytes, macs)
        trial.set_user_attr("outcome", {"error": error})
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return trial.number

    def every_state(self) -> "Toy":
        """Ten trials, with at least one of every state."""
        self.complete(0.55, 60_000, 12_000_000)
        self.complete(0.61, 122_296, 29_419_156, design="cp-mobile-2025")
        self.refuse("over_budget", 153_204, 20_000_000, "weight_bytes 153,204 is 19.7% over its limit of 128,000")
        self.refuse("repeat", 60_000, 12_000_000, "the same architecture as trial 0")
        self.refuse("stopped_early", 90_000, 25_000_000, "at epoch 2, from where 1 of 3 students went on")
        self.fail(50_000, 9_000_000, "the loss is not finite")
        self.complete(0.50, 80_000, 15_000_000)
        self.propose(40_000, 8_000_000)
        self.pause(45_000, 9_000_000)
        self.study.enqueue_trial({"width": 16})
        return self

    def many(self, count: int, seed: int = 0) -> "Toy":
        """A study that looks like a real one: many trials of every state, accuracy growing with cost."""
        draw = random.Random(seed)
        self.complete(0.575, 122_296, 29_419_156, design="cp-mobile-2025")
        self.refuse(
            "over_budget", 120_704, 30_216_768, "macs 30,216,768 is 0.7% over its limit of 30,000,000", design="dynacp"
        )
        for number in range(2, count):
            weight_bytes = int(2 ** draw.uniform(13, 17.6))
            macs = int(weight_bytes * 2 ** draw.uniform(6.6, 8.6))
            excess = {k: v / self.limits[k] - 1 for k, v in (("weight_bytes", weight_bytes), ("macs", macs))}
            worst = max(excess, key=excess.__getitem__)
            accuracy = 0.30 + 0.05 * log2(weight_bytes / 8000) + 0.02 * log2(macs / 1e6) + draw.gauss(0, 0.03)
            if excess[worst] > 0:
                value = {"weight_bytes": weight_bytes, "macs": macs}[worst]
                text = f"{worst} {value:,} is {excess[worst]:.1%} over its limit of {self.limits[worst]:,}"
                self.refuse("over_budget", weight_bytes, macs, text)
            elif number % 13 == 5:
                self.refuse("repeat", weight_bytes, macs, "the same architecture as trial 0")
            elif number % 7 == 3:
                self.refuse("stopped_early", weight_bytes, macs, "at epoch 2, from where 9 of 30 students went on")
            elif number % 29 == 11:
                self.fail(weight_bytes, macs, "the worker died three times: signal 9")
            else:
                self.complete(accuracy, weight_bytes, macs, shape=[(256, 65), (128, 64), (64, 33)][number % 3])
        self.propose(40_000, 8_000_000)
        self.pause(45_000, 9_000_000)
        return self


@pytest.fixture
def database(tmp_path: Path) -> str:
    """Address of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture
def toy(database: str) -> Toy:
    """An empty study."""
    return Toy(database)


@pytest.fixture
def make_toy() -> Callable[..., Toy]:
    """Makes further studies: (url, name, limits=...)."""
    return Toy


@pytest.fixture(scope="session")
def every_state(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A study with a trial of every state; to be read only."""
    return Toy(f"sqlite:///{tmp_path_factory.mktemp('states') / 'studies.db'}", "states").every_state()


@pytest.fixture(scope="session")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A study of sixty trials and one running; to be read only."""
    toy = Toy(f"sqlite:///{tmp_path_factory.mktemp('sixty') / 'studies.db'}", "sixty").many(60)
    toy.study.set_user_attr("test", {"trial": 0, "scores": toy.outcome(0.57)})
    return toy


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of an empty database on a PostgreSQL server of our own; skips where no server can be started."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *map(Path, os.get_exec_path())]
    binaries = next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed")
    as_user: list[str] = []
    user = pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:  # the server refuses to run as root
        if not any(entry.pw_name == "postgres" for entry in pwd.getpwall()) or not shutil.which("runuser"):
            pytest.skip("running as root, and there is no user postgres to run a server as")
        user, as_user = "postgres", ["runuser", "-u", "postgres", "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
    data = folder / "data"
    if as_user:
        shutil.chown(folder, user)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -c unix_socket_directories={folder}"
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    quiet: dict[str, Any] = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        subprocess.run([*as_user, str(binaries / "initdb"), "-D", str(data), "-U", user, "-A", "trust", "-N"], **quiet)
        subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], **quiet)
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"the PostgreSQL server does not start: {error}")
    yield f"postgresql://{user}@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder, ignore_errors=True)
