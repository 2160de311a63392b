"""`nas teach`, for real: teachers of several families, killed and resumed, cached, judged, and used by a search."""

import json
import os
import signal
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from desk import Desk
from toy_study import STUDY

from search_spaces.seeds import derive_seed
from trainers.cached_logits import CachedLogits
from trainers.evaluation import score
from trainers.material import Material
from trainers.published import LAYOUTS

VIEWS = "views: {count: 3, roll: 0.2, gain: 6}\n"
TEACHERS = """\
teachers:
  recipe: {epochs: 2, batch: 32}
  per_device: {epochs: 1}
  members:
    cp-mobile-2025: {weight: 3}
    mn02: {features: {sample_rate: 16000, n_fft: 512, window: 400, hop: 800, mels: 32, f_max: 8000, scale: 5}}
    baseline: {published: baseline.ckpt}
"""


class TeachersDesk(Desk):
    """A desk with a study whose teachers are of several families."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        text = STUDY.replace("teachers: {recipe: {epochs: 1}}\n", VIEWS + TEACHERS)
        assert "teach" in text
        (folder / "study.yaml").write_text(text.replace("trials: 5", "trials: 2"), encoding="utf-8")
        layout = LAYOUTS[1]
        torch.manual_seed(0)
        network = layout.network()
        state = {f"model.{key}": network.state_dict()[ours] for ours, key in layout.keys(network).items()}
        torch.save({"state_dict": state}, folder / "baseline.ckpt")

    def caches(self, kind: str) -> dict[str, float]:
        """The finished caches of a kind, with the time at which each was made."""
        return {path.name: path.stat().st_mtime for path in (self.folder / "runs" / "cache").glob(f"{kind}-*")}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> TeachersDesk:
    return TeachersDesk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def reports(desk: TeachersDesk) -> list[dict[str, Any]]:
    """What teaching found after it was killed while the second of its teachers learnt."""
    process = desk.start("teach", "study.yaml", "--test", "--workers", "1")
    deadline = time.monotonic() + 200
    while not desk.caches("teacher") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    before = desk.caches("teacher")
    assert before, "no teacher was taught in time"
    code, out, err = desk.run("teach", "study.yaml", "--test", "--workers", "1", "--json")
    assert code == 0, err
    assert before.items() <= desk.caches("teacher").items(), "a teacher that was finished was taught again"
    found: list[dict[str, Any]] = json.loads(out)["reports"]
    return found


def material(desk: TeachersDesk, logits: str | None = None) -> Material:
    """The clips of the study's own input, 16 x 17."""
    folders = {
        (key["mels"], key["hop"], key["sample_rate"]): path.parent
        for path in (desk.folder / "runs" / "cache").glob("features-*/key.json")
        for key in [json.loads(path.read_text())["front_end"]]
    }
    return Material.open(
        folders[16, 500, 8000],
        validation_share=0.4,
        validation_seed=derive_seed(3, "validation"),
        logits_dir=None if logits is None else Path(logits),
    )


def test_every_teacher_and_the_ensemble_are_judged_on_both_lists_in_both_stages(reports: list[dict[str, Any]]) -> None:
    stages = [(report["taught_for"], report["part"]) for report in reports]
    assert stages == [
        (taught_for, part)
        for part in ("validation", "test")
        for taught_for in ("all recording devices", "each recording device")
    ]
    for report in reports:
        assert [row["name"] for row in report["teachers"]] == ["cp-mobile-2025", "mn02", "baseline", "ensemble"]
        assert [row["seconds"] is None for row in report["teachers"]] == [False, False, True, False]
        parameters = [row["parameters"] for row in report["teachers"]]
        assert parameters[-1] == sum(parameters[:-1])
        assert parameters[2] == 61_148


def test_the_scores_are_those_of_what_was_cached(desk: TeachersDesk, reports: list[dict[str, Any]]) -> None:
    for report in reports:
        clips = material(desk, report["cache"])
        assert clips.logits is not None
        rows = clips.rows[report["part"]]
        expected = score(
            clips.logits[rows].astype(np.float32),
            clips.labels[rows],
            clips.devices[rows],
            clips.scenes,
            clips.trained_devices,
        )
        assert report["teachers"][-1]["scores"] == expected.to_json()


def test_the_ensemble_is_the_mean_by_weight_of_its_members_for_every_clip_and_view(
    desk: TeachersDesk, reports: list[dict[str, Any]]
) -> None:
    members = [CachedLogits.at(path) for path in (desk.folder / "runs" / "cache").glob("teacher-logits-*")]
    assert len(members) == 3 + 2  # the published one has no models for single recording devices
    train = len(material(desk).labels) - len(material(desk).rows["test"])
    for report in reports[:2]:
        ensemble = CachedLogits.at(Path(report["cache"]))
        assert ensemble.clean().shape == (450, 10)
        assert ensemble.views().shape == (train, 2, 10)
        for said in (CachedLogits.clean, CachedLogits.views):
            means = ((3 * said(a).astype(float) + said(b) + said(c)) / 5 for a, b, c in permutations(members, 3))
            assert any(np.allclose(mean, said(ensemble), rtol=1e-3, atol=1e-3) for mean in means)


def test_each_recording_device_is_answered_by_its_own_teachers_and_one_without_training_clips_by_the_base(
    desk: TeachersDesk, reports: list[dict[str, Any]]
) -> None:
    base, tuned = (CachedLogits.at(Path(report["cache"])).clean() for report in reports[:2])
    clips = material(desk)
    known = np.isin(clips.devices, sorted(clips.trained_devices))
    assert 0 < known.sum() < len(known)
    close = np.isclose(base, tuned, rtol=2e-3, atol=1e-3).all(axis=1)
    assert close[~known].all()
    assert close[known].mean() < 0.2


def test_what_is_there_is_not_made_again_and_the_table_is_what_the_reports_print(
    desk: TeachersDesk, reports: list[dict[str, Any]]
) -> None:
    before = desk.caches("teacher")
    code, out, err = desk.run("teach", "study.yaml")
    assert code == 0, err
    assert "epochs of" not in err
    assert "logits of" not in err
    assert desk.caches("teacher") == before
    lines = [line.split() for line in out.splitlines()]
    assert ["parameters", "taught", "in", "real", "seen", "unseen", "accuracy", "log", "loss"] in lines
    scores = reports[0]["teachers"][-1]["scores"]
    (row, _) = [line for line in lines if line[:1] == ["ensemble"]]
    assert row[-2:] == [f"{scores['accuracy']:.1%}", f"{scores['log_loss']:.3f}"]


def test_a_search_learns_from_the_same_cache_and_teaches_no_teacher(
    desk: TeachersDesk, reports: list[dict[str, Any]]
) -> None:
    code, _, err = desk.run("search", "study.yaml")
    assert code == 0, err
    assert "epochs of" not in err
    code, out, err = desk.run("status", "toy", "--json")
    assert json.loads(out)["states"]["complete"] == 2, err


def test_a_damaged_cache_is_refused_and_made_again_when_it_is_gone(
    desk: TeachersDesk, reports: list[dict[str, Any]]
) -> None:
    path = Path(reports[0]["cache"]) / "logits.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    code, out, err = desk.run("teach", "study.yaml")
    assert (code, out) == (1, "")
    assert f"{path} is not as it was written; delete its folder" in err
    path.write_bytes(whole[:-20])
    code, _, err = desk.run("teach", "study.yaml")
    assert code == 0, err
    assert "it is built again" in err
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("member", "told"),
    [
        ("{published: absent.ckpt}", "absent.ckpt cannot be read"),
        ("{network: mn02, start: absent.pt}", "absent.pt cannot be read"),
        ("{network: mn04, start: baseline.ckpt}", "baseline.ckpt lacks entries for this network"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_told_before_any_is_taught(
    desk: TeachersDesk, reports: list[dict[str, Any]], member: str, told: str
) -> None:
    text = (desk.folder / "study.yaml").read_text(encoding="utf-8")
    (desk.folder / "odd.yaml").write_text(text.replace("{published: baseline.ckpt}", member), encoding="utf-8")
    code, out, err = desk.run("teach", "odd.yaml", "--seed", "99")
    assert (code, out) == (2, "")
    assert told in err
    assert "epochs of" not in err
