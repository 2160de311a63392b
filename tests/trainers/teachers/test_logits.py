"""Teachers are heard once: each clip and each view by the right network, to the last bit that float16 has."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import nn

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.errors import InputError, NasError
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock
from search_spaces.seeds import derive_seed
from trainers.audio import read_clip
from trainers.augmentation.settings import Views
from trainers.augmentation.waves import view_of
from trainers.cache import open_or_build
from trainers.features import load_features
from trainers.fit_clips import FitClips
from trainers.front_end import FrontEnd, log_mel
from trainers.material import ClipViews, Material, MaterialError
from trainers.published import BASE
from trainers.recipe import Recipe
from trainers.recordings import Recordings
from trainers.students import Lesson
from trainers.teachers.logits import ensemble_logits, teacher_logits
from trainers.teachers.teacher import Teacher
from trainers.views import BATCH, load_views

ROOT = Path(__file__).resolve().parents[3]
SCENES = ("airport", "bus", "metro")
CLIPS, TRAIN, VIEWS = 30, 20, 3
HALF_ULP = 2.0**-11
"""Of a float16 number, as a share of it."""


def material(clips=CLIPS, train=TRAIN, views=VIEWS, scenes=SCENES, **changes):
    """Clips of noise from the recording devices a, b and c in turn, and views of noise of the first of them."""
    rng = np.random.default_rng(0)
    drawn = None
    if views:
        shape = (train, views)
        features = rng.normal(size=(*shape, 4, 5)).astype(np.float16)
        drawn = ClipViews(features, np.zeros(shape, np.int64), np.ones(shape, np.float32))
    values = {
        "features": rng.normal(size=(clips, 4, 5)).astype(np.float16),
        "labels": rng.integers(0, len(scenes), clips).astype(np.int64),
        "devices": np.array(["a", "b", "c"] * clips)[:clips],
        "rows": {"fit": np.arange(train), "validation": np.arange(0), "test": np.arange(train, clips)},
        "scenes": scenes,
        "views": drawn,
    }
    return Material(**{**values, **changes})


def linear(seed, scenes=3, factor=1.0):
    """A network whose logits numpy can tell too."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, scenes))
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(factor * rng.normal(size=parameter.shape)))
    return network


def answers(network, features):
    """What a linear network says, in float64: (..., mels, frames) -> (..., scenes)."""
    weight, bias = (parameter.detach().double().numpy() for parameter in network.parameters())
    return features.reshape(*features.shape[:-2], -1).astype(np.float64) @ weight.T + bias


def teacher(*networks, name="wise", digest=None, scenes=SCENES, **of_devices):
    """A teacher of one network, and those of single recording devices."""
    base = networks[0] if networks else linear(1, len(scenes))
    return Teacher(name, digest or name, scenes, 0, lambda: {BASE: base, **of_devices})


def read(folder):
    views = folder / "views.npy"
    return np.load(folder / "logits.npy"), np.load(views) if views.exists() else None


def close(found, expected):
    assert found.dtype == np.float16
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=1.01 * HALF_ULP, atol=1e-6)


@pytest.mark.parametrize("chunk", [7, 2048])
def test_every_clip_and_view_is_answered_to_float16(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("trainers.teachers.logits.CHUNK", chunk)
    clips, network, calls = material(), linear(1), []
    folder = teacher_logits(clips, teacher(network), tmp_path, progress=lambda *call: calls.append(call))
    clean, views = read(folder)
    close(clean, answers(network, clips.features))
    close(views, answers(network, clips.views.features))
    heard = CLIPS + TRAIN * VIEWS
    assert calls[-1] == (heard, heard)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert len(calls) == (2 if chunk > CLIPS else 5 + 10)
    sums = json.loads((folder / "sums.json").read_text())
    assert sums == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npy")}
    assert set(sums) == {"logits.npy", "views.npy"}


def test_without_views_there_are_none_of_them(tmp_path):
    folder = teacher_logits(material(views=0), teacher(), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["done", "key.json", "logits.npy", "sums.json"]


@pytest.mark.parametrize("chunk", [7, 2048])
def test_each_recording_device_is_answered_by_its_own_network(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("trainers.teachers.logits.CHUNK", chunk)
    clips, base, own = material(), linear(1), {"b": linear(2), "c": linear(3), "s9": linear(4)}
    clean, views = read(teacher_logits(clips, teacher(base, **own), tmp_path))
    for row, device in enumerate(clips.devices):
        network = own.get(str(device), base)
        close(clean[row], answers(network, clips.features[row]))
        if row < TRAIN:
            close(views[row], answers(network, clips.views.features[row]))


def test_a_network_answers_in_evaluation_mode(tmp_path):
    network = nn.Sequential(nn.Dropout(0.9), linear(1)).train()
    clips = material()
    clean, _ = read(teacher_logits(clips, teacher(network), tmp_path))
    close(clean, answers(network, clips.features))


def test_scenes_are_put_into_the_order_of_the_material_and_those_it_lacks_left_out(tmp_path):
    knows = ("tram", "metro", "airport", "park", "bus")
    clips, network = material(), linear(1, len(knows))
    with torch.no_grad():
        network[1].bias[0] = np.inf  # of the tram, which nobody asks for
    clean, views = read(teacher_logits(clips, teacher(network, scenes=knows), tmp_path))
    columns = [2, 4, 1]
    close(clean, answers(network, clips.features)[..., columns])
    close(views, answers(network, clips.views.features)[..., columns])


def test_a_scene_that_a_teacher_does_not_know_is_named(tmp_path):
    with pytest.raises(InputError, match=r"teacher wise does not know the scene bus, only airport, metro"):
        teacher_logits(material(), teacher(scenes=("airport", "metro")), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_teacher_is_heard_once(tmp_path):
    folder = teacher_logits(material(), teacher(), tmp_path)
    calls = []
    silent = Teacher("wise", "wise", SCENES, 0, lambda: calls.append("networks") or {})
    assert teacher_logits(material(), silent, tmp_path, progress=lambda *call: calls.append(call)) == folder
    assert calls == []


def test_what_decides_the_logits_decides_their_folder(tmp_path):
    clips = material()
    views = clips.views
    folders = {
        teacher_logits(clips, teacher(), tmp_path),
        teacher_logits(clips, teacher(digest="another"), tmp_path),
        teacher_logits(material(features_name="features-2"), teacher(), tmp_path),
        teacher_logits(material(recordings="r2"), teacher(), tmp_path),
        teacher_logits(material(views=0), teacher(), tmp_path),
        teacher_logits(replace(clips, views=views._replace(draws="others")), teacher(), tmp_path),
        teacher_logits(replace(clips, scenes=("airport", "metro", "bus")), teacher(), tmp_path),
    }
    assert len(folders) == 7
    assert {folder.name.rpartition("-")[0] for folder in folders} == {"teacher-logits"}
    assert teacher_logits(clips, teacher(name="renamed", digest="wise"), tmp_path) in folders


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(3, 3),
        linear(1, scenes=4),
        nn.Sequential(nn.Flatten(), nn.Linear(20, 6), nn.Unflatten(1, (2, 3))),
        nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 10)), nn.Linear(10, 3)),
        nn.LSTM(5, 3),
    ],
    ids=["fails", "scenes", "dimensions", "clips", "tuple"],
)
def test_a_teacher_that_cannot_hear_the_features_is_named(tmp_path, network):
    with pytest.raises(InputError, match=r"teacher wise cannot hear features of 4 x 5 \(its network b "):
        teacher_logits(material(), teacher(linear(1), b=network), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e4])
@pytest.mark.parametrize("views", [False, True])
def test_logits_beyond_float16_are_refused(tmp_path, value, views):
    clips = material()
    (clips.views.features if views else clips.features)[3] = value
    with pytest.raises(NasError, match="logits of the teacher wise reach beyond float16"):
        teacher_logits(clips, teacher(linear(1, factor=1e4)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def taught(root, clips=None, **digests_and_factors):
    """The folders of some teachers."""
    return [
        teacher_logits(clips or material(), teacher(linear(seed, factor=factor), name=name), root)
        for seed, (name, factor) in enumerate(digests_and_factors.items())
    ]


@pytest.mark.parametrize("chunk", [7, 2048])
@pytest.mark.parametrize("rule", ["mean", "sum"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (0.5, 2, 3e-3), (7,)])
def test_an_ensemble_is_the_weighted_mean_or_sum_of_its_teachers(tmp_path, monkeypatch, rule, weights, chunk):
    monkeypatch.setattr("trainers.teachers.logits.CHUNK", chunk)
    members = taught(tmp_path, first=1.0, second=3.0, third=20.0)[: len(weights)]
    folder = ensemble_logits(list(zip(members, weights, strict=True)), rule, tmp_path)
    divisor = sum(weights) if rule == "mean" else 1
    for found, *each in zip(read(folder), *map(read, members), strict=True):
        expected = sum(w * z.astype(np.float64) for w, z in zip(weights, each, strict=True)) / divisor
        np.testing.assert_allclose(found.astype(np.float64), expected, rtol=1.01 * HALF_ULP, atol=2.0**-24)
        assert found.dtype == np.float16
    sums = json.loads((folder / "sums.json").read_text())
    assert sums == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npy")}


def test_an_ensemble_of_clips_without_views_has_none(tmp_path):
    members = taught(tmp_path, material(views=0), first=1.0, second=3.0)
    assert read(ensemble_logits([(folder, 1) for folder in members], "mean", tmp_path))[1] is None


def test_what_decides_an_ensemble_decides_its_folder_and_the_order_of_its_teachers_does_not(tmp_path):
    first, second = taught(tmp_path, first=1.0, second=3.0)
    folder = ensemble_logits([(first, 1), (second, 2)], "mean", tmp_path)
    assert ensemble_logits([(second, 2.0), (first, 1.0)], "mean", tmp_path) == folder
    assert folder.name.startswith("ensemble-logits-")
    others = {
        ensemble_logits([(first, 2), (second, 1)], "mean", tmp_path),
        ensemble_logits([(first, 1), (second, 2)], "sum", tmp_path),
        ensemble_logits([(first, 1)], "mean", tmp_path),
        ensemble_logits([(first, 1), (first, 1)], "mean", tmp_path),
    }
    assert len(others | {folder}) == 5
    close(read(folder)[0], (read(first)[0].astype(float) + 2 * read(second)[0].astype(float)) / 3)


def test_a_sum_beyond_float16_is_refused_and_the_mean_is_not(tmp_path):
    clips = material(features=np.full((CLIPS, 4, 5), 3, np.float16), views=0)
    loud = nn.Sequential(nn.Flatten(), nn.Linear(20, 3))
    nn.init.constant_(loud[1].weight, 1000.0)
    nn.init.zeros_(loud[1].bias)
    folder = teacher_logits(clips, teacher(loud), tmp_path)
    with pytest.raises(NasError, match=r"sum of the teachers' logits reach beyond float16.*take their mean"):
        ensemble_logits([(folder, 1), (folder, 1)], "sum", tmp_path)
    assert not list(tmp_path.glob("ensemble-*"))
    assert (read(ensemble_logits([(folder, 1), (folder, 1)], "mean", tmp_path))[0] == 60_000).all()


@pytest.mark.parametrize("weights", [(), (1, 0), (1, -1), (1, np.nan), (1, np.inf), (1e308, 1e308)])
def test_an_ensemble_needs_teachers_and_weights(tmp_path, weights):
    members = taught(tmp_path, first=1.0, second=3.0)[: len(weights)]
    with pytest.raises(InputError, match="at least one teacher" if not weights else "weights of an ensemble must"):
        ensemble_logits(list(zip(members, weights, strict=True)), "mean", tmp_path)


@pytest.mark.parametrize("part", ["recordings", "views", "scenes"])
def test_teachers_of_other_clips_make_no_ensemble(tmp_path, part):
    clips = material()
    others = {
        "recordings": replace(clips, recordings="r2"),
        "views": replace(clips, views=clips.views._replace(draws="others")),
        "scenes": replace(clips, scenes=("airport", "metro", "bus")),
    }
    folders = [teacher_logits(each, teacher(), tmp_path) for each in (clips, others[part])]
    with pytest.raises(InputError, match=f"are of other {part} than those in"):
        ensemble_logits([(folder, 1) for folder in folders], "mean", tmp_path)


@pytest.mark.parametrize("name", ["logits.npy", "views.npy"])
def test_a_damaged_teacher_makes_no_ensemble(tmp_path, name):
    first, second = taught(tmp_path, first=1.0, second=3.0)
    content = bytearray((second / name).read_bytes())
    content[-5] ^= 1
    (second / name).write_bytes(content)
    with pytest.raises(MaterialError, match=rf"{second.name}/{name} is not as it was written"):
        ensemble_logits([(first, 1), (second, 1)], "mean", tmp_path)
    assert not list(tmp_path.glob("ensemble-*"))


def test_an_ensemble_of_a_large_data_set_is_small(tmp_path):
    """100,000 clips of 10 scenes in 8 views, the clean one included: 16 MB, where the limit is 32."""
    scenes, views, sizes = tuple(f"scene {n}" for n in range(10)), 7, {}
    for clips in (50, 130):
        listened = material(clips, clips, views, scenes)
        heard = teacher_logits(listened, teacher(linear(1, 10), scenes=scenes), tmp_path / f"{clips}")
        ensemble = ensemble_logits([(heard, 1), (heard, 2)], "mean", tmp_path / f"{clips}")
        for folder in (heard, ensemble):
            arrays = sum(path.stat().st_size for path in folder.glob("*.npy"))
            sizes[clips, folder == heard] = arrays, sum(path.stat().st_size for path in folder.iterdir()) - arrays
    for of_one in (False, True):
        (small, _), (large, rest) = sizes[50, of_one], sizes[130, of_one]
        a_clip = (large - small) / 80
        assert a_clip == 10 * 8 * 2
        assert 100_000 * a_clip == 16_000_000
        assert large - 130 * a_clip + rest < 4000
        assert 100_000 * a_clip + (large - 130 * a_clip) + rest < 32_000_000


TINY = FrontEnd(sample_rate=4000, n_fft=256, window=256, hop=500, mels=8, f_max=1500)
DRAWS = Views(count=4, gain=6, roll=0.2, mixup_probability=0.6, f_min_range=20, f_max_range=200)
SMALL = Architecture(
    input=InputShape(8, 9),
    stem=ConvStem((4, 8)),
    stages=(Stage((CPMobileBlock(8, 16), CPMobileBlock(8, 16))),),
    classes=2,
    precision="fp32",
)
SPLIT = {"validation_share": 0.3, "validation_seed": 0}
SEED = 5


def write_recordings(root: Path, seed: int) -> Recordings:
    """More training clips than a batch, two scenes at six locations; clip n is noise of its own."""
    root.mkdir()
    clips, train, rows = BATCH + 12, BATCH + 8, []
    for clip in range(clips):
        wave = np.random.default_rng([seed, clip]).normal(0, 0.02 + 0.004 * (clip % 9), 4000)
        soundfile.write(root / f"{clip:02}.wav", wave, 4000, subtype="FLOAT")
        scene, split = ("bus", "park")[clip % 2], "train" if clip < train else "test"
        rows.append((f"{clip:02}.wav", scene, f"{scene}-{clip % 6}-{split}", "ab"[clip // 2 % 2], split))
    table = pd.DataFrame(rows, columns=["filename", "scene", "location", "device", "split"])
    return Recordings(root, table, ("bus", "park"), f"digest {seed}")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Recordings:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "mine", 0)


@pytest.fixture(scope="module")
def heard(recordings, tmp_path_factory) -> tuple[nn.Module, Path, dict[str, Path]]:
    """A real network, the root of the caches, and the folders of features, views and logits of an ensemble of it."""
    root = tmp_path_factory.mktemp("caches")
    features_dir = load_features(recordings, TINY, root, workers=1)
    views_dir = load_views(recordings, TINY, DRAWS, root, seed=SEED, workers=1)
    clips = Material.open(features_dir, views_dir=views_dir, **SPLIT)
    network = build(SMALL, seed=1).train()
    with torch.no_grad():
        for _ in range(30):  # so that its batch norms know what they hear
            network(torch.from_numpy(clips.features).float()[:, None])
    wise = Teacher("wise", "wise", clips.scenes, 0, lambda: {BASE: network.eval()})
    logits_dir = ensemble_logits([(teacher_logits(clips, wise, root, threads=1), 1.0)], "mean", root)
    return network, root, {"features_dir": features_dir, "views_dir": views_dir, "logits_dir": logits_dir}


def live(recordings: Recordings) -> np.ndarray:
    """From the waveforms: (training clips, 1 + views, mels, frames) float16, the clean view first."""
    files = [recordings.root / name for name in recordings.clips["filename"]]
    waves = torch.stack([torch.from_numpy(read_clip(file, 4000)[0]) for file in files])
    devices, train = recordings.clips["device"].tolist(), BATCH + 8
    heard = torch.empty(train, DRAWS.count, TINY.mels, TINY.frames, dtype=torch.float16)
    for start in range(0, train, BATCH):
        rows = np.arange(start, min(start + BATCH, train))
        heard[rows, 0] = log_mel(waves[start : start + BATCH], TINY)[: len(rows)].half()
        for view in range(1, DRAWS.count):
            partners = np.random.default_rng(derive_seed(SEED, "partners", view)).permutation(train)
            rng = np.random.default_rng(derive_seed(SEED, "view", view, start))
            own = [devices[row] for row in rows]
            drawn = view_of(waves[rows], own, DRAWS, TINY, rng, partners=waves[partners[rows]])
            heard[rows, view] = drawn.features.half()
    return heard.numpy()


def test_cached_logits_are_those_of_the_teacher_that_hears_the_waveform_at_this_moment(recordings, heard):
    """A thousand draws of a clip and a view. Float16 rounds by half a unit, float32 by 1e-5 of logits around 1."""
    network, _, folders = heard
    clips, views = Material.open(**folders, **SPLIT), live(recordings)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(views), size=1000), rng.integers(DRAWS.count, size=1000)
    cached = np.concatenate([clips.logits[: len(views), None], clips.views.logits], axis=1)[drawn]
    with torch.inference_mode():
        now = torch.cat([network(part.float()[:, None]) for part in torch.from_numpy(views[drawn]).split(50)]).numpy()
    assert cached.dtype == np.float16
    assert np.abs(now).std() > 0.1
    assert len(np.unique(now, axis=0)) > 140  # of 160: views are other sounds
    np.testing.assert_allclose(cached.astype(np.float64), now, rtol=HALF_ULP, atol=1e-5)


def test_a_batch_has_the_logits_of_what_it_shows(heard):
    network, _, folders = heard
    clips = Material.open(**folders, **SPLIT)
    shown, rng = FitClips(clips, torch.device("cpu")), np.random.default_rng(0)
    for _ in range(50):
        batch = shown.batch(rng.permutation(len(shown)), rng)
        with torch.inference_mode():
            now = network(batch.features.float()[:, None])
        np.testing.assert_allclose(batch.logits.double().numpy(), now, rtol=HALF_ULP, atol=1e-5)


def test_logits_serve_every_features_of_their_recordings_and_none_of_others(recordings, heard, tmp_path):
    network, root, folders = heard
    smaller = replace(TINY, mels=4, hop=1000)
    features_dir = load_features(recordings, smaller, root, workers=1)
    views_dir = load_views(recordings, smaller, DRAWS, root, seed=SEED, workers=1)
    theirs = Material.open(**folders, **SPLIT)
    own = Material.open(features_dir, views_dir=views_dir, logits_dir=folders["logits_dir"], **SPLIT)
    assert (own.mels, own.frames) == (4, 5)
    np.testing.assert_array_equal(own.logits, theirs.logits)
    np.testing.assert_array_equal(own.views.logits, theirs.views.logits)
    plain = Material.open(features_dir, logits_dir=folders["logits_dir"], **SPLIT)
    assert plain.views is None
    np.testing.assert_array_equal(plain.logits, theirs.logits)
    foreign = load_features(write_recordings(tmp_path / "others", 1), smaller, root, workers=1)
    with pytest.raises(MaterialError, match="other recordings"):
        Material.open(foreign, logits_dir=folders["logits_dir"], **SPLIT)
    for draws, seed in ((DRAWS, SEED + 1), (replace(DRAWS, gain=7), SEED)):
        others = load_views(recordings, smaller, draws, root, seed=seed, workers=1)
        with pytest.raises(MaterialError, match=rf"are of other views than {others}; .*nas teach"):
            Material.open(features_dir, views_dir=others, logits_dir=folders["logits_dir"], **SPLIT)
    silent = teacher_logits(
        Material.open(folders["features_dir"], **SPLIT),
        Teacher("wise", "wise", ("bus", "park"), 0, lambda: {BASE: network}),
        root,
    )
    with pytest.raises(MaterialError, match="are of other views"):
        Material.open(features_dir, views_dir=views_dir, logits_dir=silent, **SPLIT)


WORKER = """
import json, sys
from pathlib import Path
import nas.worker
from trainers.students import Lesson, Student

student = Student(Lesson.from_json(json.loads(sys.argv[1])), Path(sys.argv[2]))
assert student.epoch() is None and student.epoch()["epochs"] == 2
teachers = ("trainers.teachers", "trainers.efficientat", "trainers.published")
print(*(name for name in sys.modules if name.startswith(teachers)))
"""


def test_a_worker_teaches_without_any_teacher(heard, tmp_path):
    lesson = Lesson(
        architecture=replace(SMALL, precision="int8"),
        form=Form.FOLDED,
        recipe=Recipe(epochs=2, batch=8),
        seed=1,
        **heard[2],
        **SPLIT,
    )
    given = [json.dumps(lesson.to_json()), str(tmp_path / "student")]
    done = subprocess.run([sys.executable, "-c", WORKER, *given], cwd=ROOT, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
    assert (tmp_path / "student" / "outcome.json").exists()


READER = """
import sys
from pathlib import Path
import numpy as np, torch
from trainers.fit_clips import FitClips
from trainers.material import Material

folders = {name: Path(path) for name, path in zip(("features_dir", "views_dir", "logits_dir"), sys.argv[1:])}
material = Material.open(**folders, validation_share=0.3, validation_seed=0)
clips, rng = FitClips(material, torch.device("cpu")), np.random.default_rng(0)
for _ in range(4):
    clips.batch(rng.permutation(len(clips)), rng)
assert material.logits.sum() + material.views.logits.sum() != 0
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def readers(count: int, *folders: Path) -> Iterator[list[int]]:
    """Processes that have opened and read a material and hold it, by their numbers."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    running = [subprocess.Popen([sys.executable, "-c", READER, *map(str, folders)], **pipes) for _ in range(count)]
    try:
        assert [process.stdout.readline() for process in running] == ["ready\n"] * count
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.communicate("")


def held(process: int, folder: Path) -> dict[str, int]:
    """KiB of the maps of a folder's files in a process."""
    entries: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            inside = f"/{folder.name}/" in line
        elif inside and rest[-1:] == ["kB"]:
            entries[first[:-1]] = entries.get(first[:-1], 0) + int(rest[0])
    return entries


def write_large(root: Path, write: Callable[[int], np.ndarray], clips: int = 20_000) -> tuple[Path, Path, Path]:
    """Caches of many clips of a single number, with 7 views, all of them for training."""
    index = pd.DataFrame(
        [(f"{n}.wav", f"scene {n % 10}", f"city-{n % 40}", "a", "train") for n in range(clips)],
        columns=["filename", "scene", "location", "device", "split"],
    )
    shape = (clips, 7)

    def features(folder: Path) -> None:
        index.to_csv(folder / "index.csv", index=False)
        np.save(folder / "clips.npy", write(clips).reshape(clips, 1, 1))

    def views(folder: Path) -> None:
        np.save(folder / "clips.npy", write(7 * clips).reshape(*shape, 1, 1))
        np.savez(folder / "mixing.npz", partners=np.zeros(shape, np.int64), weights=np.ones(shape, np.float32))

    key = {"recordings": "many", "front_end": FrontEnd().to_json(), "views": {}, "seed": 0, "format": 1}
    features_dir, views_dir = (
        open_or_build(root, kind, key, builder) for kind, builder in (("features", features), ("views", views))
    )
    material = Material.open(features_dir, views_dir=views_dir, **SPLIT)
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 10))
    return features_dir, views_dir, teacher_logits(material, teacher(network, scenes=material.scenes), root)


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="this system does not tell what a process holds")
def test_processes_that_read_the_same_logits_share_their_memory(tmp_path):
    folders = write_large(tmp_path, lambda n: np.linspace(-1, 1, n).astype(np.float16))
    size = 20_000 * 10 * 8 * 2 / 1024
    with readers(2, *folders) as processes:
        for process in processes:
            kib = held(process, folders[2])
            assert kib["Rss"] > 0.9 * size
            assert kib["Private_Dirty"] == 0
            assert kib["Private_Clean"] < 0.02 * size
            assert kib["Pss"] < 0.55 * size
