"""All that a study's networks hear is extracted once, each front end as if it were alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from rich.console import Console
from toy_study import STUDY

from nas import extraction
from nas.display import Display
from nas.extraction import extract, front_end_of
from nas.places import Places
from nas.study_file import StudyFile, TeacherSection, study_from_json
from search_spaces.seeds import derive_seed
from trainers.audio import read_clip
from trainers.features import load_all_features
from trainers.front_end import FrontEnd, log_mel
from trainers.published import CheckpointError
from trainers.recordings import Recordings
from trainers.views import load_views

SLOW = FrontEnd(sample_rate=4000, n_fft=256, window=256, hop=500, mels=8, f_max=1500)
FAST = FrontEnd(sample_rate=8000, n_fft=256, window=256, hop=800, mels=12, f_max=3000)
LATE = FrontEnd(sample_rate=4000, n_fft=256, window=256, hop=400, mels=8, f_max=1500)


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    """A clip of each of two scenes at each of four locations, the last of them for the test."""
    (tmp_path / "data").mkdir()
    rng, rows = np.random.default_rng(0), []
    for split, places in (("train", 3), ("test", 1)):
        for number in range(2 * places):
            name = f"{split}{number}.wav"
            soundfile.write(tmp_path / "data" / name, rng.normal(0, 0.1, 4000), 4000, subtype="FLOAT")
            rows.append((name, ("bus", "park")[number % 2], f"{split}-{number}", "a", split))
    clips = pd.DataFrame(rows, columns=["filename", "scene", "location", "device", "split"])
    return Recordings(tmp_path / "data", clips, ("bus", "park"), "digest")


def study_of(views: dict[str, Any]) -> StudyFile:
    """Students of two inputs, teachers of three front ends."""
    members = {"fast": FAST, "late": LATE, "same": SLOW}
    data = yaml.safe_load(STUDY) | {
        "features": SLOW.to_json(),
        "inputs": {"mels": [4, 8]},
        "views": views,
        "teachers": {
            "recipe": {"epochs": 1},
            "members": {name: {"network": "mn01", "features": own.to_json()} for name, own in members.items()}
            | {"usual": {"network": "mn01"}},
        },
    }
    return study_from_json(data, "toy")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path, "sqlite://", tmp_path / "cache")


DISPLAY = Display(Console(quiet=True))


def test_every_front_end_of_students_and_teachers_is_extracted_in_one_pass_for_each_rate(
    recordings: Recordings, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []

    def counted(recordings: Recordings, front_ends: list[FrontEnd], *args: Any, **kwargs: Any) -> dict[FrontEnd, Path]:
        passes.append(set(front_ends))
        return load_all_features(recordings, front_ends, *args, **kwargs)

    monkeypatch.setattr(extraction, "load_all_features", counted)
    study = study_of({})
    extracted = extract(study, recordings, places, DISPLAY)
    wanted = {SLOW, LATE, FAST, *study.front_ends.values()}
    assert len(wanted) == 4
    assert passes == [wanted - {FAST}, {FAST}]
    assert extracted.features.keys() == wanted
    assert extracted.views == {}
    for front_end in wanted:
        material = extracted.material(front_end)
        assert material.views is None
        assert material.front_end == front_end
        for row in (0, len(material.labels) - 1):
            wave, _ = read_clip(recordings.root / recordings.clips["filename"][row], front_end.sample_rate)
            expected = log_mel(torch.from_numpy(wave)[None], front_end)[0]
            np.testing.assert_allclose(material.features[row], expected.numpy(), rtol=2e-3, atol=2e-3)


def test_the_study_s_own_front_end_is_there_though_no_student_or_teacher_hears_it(
    recordings: Recordings, places: Places
) -> None:
    data = study_of({}).to_json()
    members = {"fast": data["teachers"]["members"]["fast"]}
    study = study_from_json(data | {"inputs": {"mels": [4]}, "teachers": {"members": members}}, "toy")
    features = extract(study, recordings, places, DISPLAY).features
    assert features.keys() == {SLOW, FAST, replace(SLOW, mels=4)}


def test_every_front_end_has_the_same_draws_of_views(recordings: Recordings, places: Places) -> None:
    study = study_of({"count": 3, "gain": 6})
    extracted = extract(study, recordings, places, DISPLAY)
    assert extracted.views.keys() == extracted.features.keys()
    materials = [extracted.material(front_end) for front_end in extracted.features]
    assert all(material.views is not None for material in materials)
    assert len({material.views.draws for material in materials if material.views is not None}) == 1
    seed = derive_seed(study.seed, "views")
    again = load_views(recordings, FAST, study.views, places.cache, seed=seed)
    assert extracted.views[FAST] == again


def test_the_validation_clips_are_the_same_for_all_and_those_of_the_study_s_seed_and_share(
    recordings: Recordings, places: Places
) -> None:
    study = study_of({})
    chosen = [
        tuple(extract(each, recordings, places, DISPLAY).material(front_end).rows["validation"].tolist())
        for each in (study, study.model_copy(update={"seed": 5}))
        for front_end in (SLOW, FAST)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[2] == chosen[3]
    assert chosen[0] != chosen[2]
    assert len(chosen[0]) == 2
    larger = study.model_copy(update={"data": study.data.model_copy(update={"validation_share": 0.7})})
    assert len(extract(larger, recordings, places, DISPLAY).material(SLOW).rows["validation"]) == 4


def test_a_teacher_hears_its_own_front_end_or_the_study_s_and_a_published_one_what_it_was_taught_on(
    tmp_path: Path,
) -> None:
    study = study_of({})
    members = study.teachers.members
    assert front_end_of(members["fast"], study) == FAST
    assert front_end_of(members["usual"], study) == SLOW
    with pytest.raises(CheckpointError, match="absent"):
        front_end_of(TeacherSection(published=tmp_path / "absent.ckpt"), study)
