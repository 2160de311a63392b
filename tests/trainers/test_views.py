"""Views are extracted once, each from its own chance, and no network hears through them what it is judged on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from search_spaces.errors import InputError
from trainers.audio import read_clip
from trainers.augmentation.settings import ImpulseResponses, Views
from trainers.features import load_features
from trainers.fit_clips import FitClips
from trainers.front_end import FrontEnd, log_mel
from trainers.material import Material, MaterialError
from trainers.recordings import Recordings, RecordingsError
from trainers.views import BATCH, load_views

TINY = FrontEnd(sample_rate=4000, n_fft=256, window=256, hop=500, mels=8, f_max=1500)
CLIPS = BATCH + 8
TRAIN = CLIPS - 4


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    """More clips than a batch, of two scenes at six locations; clip n is noise of its own, in level and offset too."""
    root = tmp_path / "data"
    root.mkdir()
    rows = []
    for clip in range(CLIPS):
        wave = np.random.default_rng(clip).normal(0, 0.02 + 0.002 * clip, 4000)
        soundfile.write(root / f"{clip:02}.wav", wave, 4000, subtype="FLOAT")
        scene, split = ("bus", "park")[clip % 2], "train" if clip < TRAIN else "test"
        rows.append((f"{clip:02}.wav", scene, f"{scene}-{clip % 6}-{split}", "ab"[clip // 2 % 2], split))
    clips = pd.DataFrame(rows, columns=["filename", "scene", "location", "device", "split"])
    return Recordings(root, clips, ("bus", "park"), "digest")


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mixing = np.load(folder / "mixing.npz", allow_pickle=False)
    return np.load(folder / "clips.npy", allow_pickle=False), mixing["partners"], mixing["weights"]


def opened(recordings: Recordings, root: Path, views: Views) -> Material:
    return Material.open(
        load_features(recordings, TINY, root, workers=1),
        validation_share=0.3,
        validation_seed=0,
        views_dir=load_views(recordings, TINY, views, root, seed=5, workers=2),
    )


def test_views_of_a_gain_are_the_training_clips_at_other_levels(recordings: Recordings, tmp_path: Path) -> None:
    """The power of a clip times g is its own times g squared, whatever the band."""
    front_end = replace(TINY, floor=1e-12)
    folder = load_views(recordings, front_end, Views(count=4, gain=12), tmp_path / "caches", seed=0, workers=2)
    views, _, weights = read(folder)
    assert views.shape == (TRAIN, 3, 8, 9)
    assert views.dtype == np.float16
    assert (weights == 1).all()
    gains = []
    for clip, drawn in enumerate(views.astype(np.float64)):
        wave, _ = read_clip(recordings.root / f"{clip:02}.wav", 4000)
        clean = log_mel(torch.from_numpy(wave[None]), front_end)[0].double().numpy()
        decibels = (drawn - clean) * 10 / np.log(10)
        assert np.abs(decibels - decibels.mean(axis=(1, 2), keepdims=True)).max() < 0.05
        gains.append(decibels.mean(axis=(1, 2)).round(1))
    gains = np.array(gains)
    assert set(gains.ravel()) <= set(range(-12, 12))
    assert not np.array_equal(gains[:, 0], gains[:, 1])
    assert not np.array_equal(gains[: TRAIN - BATCH, 0], gains[BATCH:, 0])  # the batches have chance of their own


def test_views_are_the_same_events_for_front_ends_of_two_rates(recordings: Recordings, tmp_path: Path) -> None:
    """With all that may be drawn. Twice as many samples in the same time are four times the power, and no more."""
    (tmp_path / "responses").mkdir()
    for name, centre, width, height in (("a", 10, 2.0, 2.0), ("b", 40, 1.5, -6.0), ("c", 25, 1.0, 0.5)):
        pulse = height * np.exp(-(((np.arange(100) - centre) / width) ** 2) / 2)
        soundfile.write(tmp_path / "responses" / f"{name}.wav", pulse, 8000, subtype="FLOAT")
    views = Views(
        count=4,
        roll=0.4,
        gain=12,
        impulse_responses=ImpulseResponses(folder=str(tmp_path / "responses"), probability=0.7),
        mixup_probability=0.5,
        f_min_range=50,
        f_max_range=200,
    )
    slow = replace(TINY, floor=1e-12)
    folders = [
        load_views(recordings, front_end, views, tmp_path / "c", seed=3, workers=2)
        for front_end in (slow, replace(slow, sample_rate=8000, n_fft=512, window=512, hop=1000))
    ]
    (features, partners, weights), (faster, faster_partners, faster_weights) = map(read, folders)
    np.testing.assert_array_equal(partners, faster_partners)
    np.testing.assert_array_equal(weights, faster_weights)
    difference = np.abs(faster.astype(np.float64) - features - np.log(4))
    assert difference.mean(axis=(2, 3)).max() < 0.1  # one decibel is 0.23; noise shifted by a frame is more
    key, other = (json.loads((folder / "key.json").read_text()) for folder in folders)
    assert all(key[part] == other[part] for part in ("recordings", "views", "seed"))
    assert key["front_end"] != other["front_end"]


def test_views_depend_on_their_seed_and_not_on_the_number_of_workers(recordings: Recordings, tmp_path: Path) -> None:
    views = Views(count=3, gain=12, roll=0.5, mixup_probability=0.5)

    def content(name: str, seed: int, workers: int) -> tuple[bytes, bytes]:
        folder = load_views(recordings, TINY, views, tmp_path / name, seed=seed, workers=workers)
        return (folder / "clips.npy").read_bytes(), (folder / "mixing.npz").read_bytes()

    assert content("one", 1, 1) == content("three", 1, 3)
    assert content("one", 1, 1) != content("other", 2, 1)


def test_a_second_call_finds_them_and_other_settings_do_not(recordings: Recordings, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    def load(views: Views, seed: int = 0, front_end: FrontEnd = TINY) -> Path:
        calls.clear()
        return load_views(
            recordings, front_end, views, tmp_path / "c", seed=seed, workers=1, progress=lambda *a: calls.append(a)
        )

    first = load(Views(count=2, gain=3))
    assert calls == [(BATCH, TRAIN), (TRAIN, TRAIN)]
    assert load(Views(count=2, gain=3)) == first
    assert calls == []
    others = {load(Views(count=3, gain=3)), load(Views(count=2, gain=4)), load(Views(count=2, gain=3), seed=1)}
    others.add(load(Views(count=2, gain=3), front_end=replace(TINY, mels=4)))
    assert len(others - {first}) == 4


def test_the_responses_count_by_their_sound_and_not_by_their_place(recordings: Recordings, tmp_path: Path) -> None:
    def load(name: str, response: list[float]) -> Path:
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "r.wav", response, 4000, subtype="FLOAT")
        responses = ImpulseResponses(folder=str(tmp_path / name), probability=1.0)
        views = Views(count=2, impulse_responses=responses)
        return load_views(recordings, TINY, views, tmp_path / "caches", seed=0, workers=1)

    folder = load("here", [2.0])
    assert load("there", [2.0]) == folder
    assert load("else", [3.0]) != folder
    views, _, _ = read(folder)
    clean = np.load(load_features(recordings, TINY, tmp_path / "caches", workers=1) / "clips.npy")[:TRAIN]
    heard = (recordings.clips["device"] == "a").to_numpy()[:TRAIN]
    np.testing.assert_array_equal(views[~heard, 0], clean[~heard])
    assert (views[heard, 0] > clean[heard]).mean() > 0.99


def test_faults_are_told(recordings: Recordings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2 views"):
        load_views(recordings, TINY, Views(count=1), tmp_path / "c", seed=0)
    (recordings.root / "05.wav").write_bytes(b"RIFF")
    with pytest.raises(RecordingsError) as caught:
        load_views(recordings, TINY, Views(count=2, mixup_probability=1.0), tmp_path / "c", seed=0, workers=2)
    assert [fault.split()[0] for fault in caught.value.faults] == ["05.wav"]
    assert list((tmp_path / "c").iterdir()) == []


def test_views_of_other_clips_are_refused(recordings: Recordings, tmp_path: Path) -> None:
    views = load_views(recordings, TINY, Views(count=2, gain=3), tmp_path, seed=0, workers=1)
    others = load_features(recordings, replace(TINY, mels=4), tmp_path, workers=1)
    with pytest.raises(MaterialError, match="are not of the clips in"):
        Material.open(others, validation_share=0.3, validation_seed=0, views_dir=views)
    clean = load_features(recordings, TINY, tmp_path, workers=1)
    (views / "mixing.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(MaterialError, match=r"mixing\.npz"):
        Material.open(clean, validation_share=0.3, validation_seed=0, views_dir=views)


@pytest.fixture
def material(recordings: Recordings, tmp_path: Path) -> Material:
    return opened(recordings, tmp_path / "caches", Views(count=4, mixup_probability=0.7))


def test_every_view_is_shown_alike_and_with_its_targets(material: Material) -> None:
    assert material.views is not None
    chance = np.random.default_rng(1)
    views = material.views._replace(logits=chance.normal(size=(TRAIN, 3, 2)).astype(np.float16))
    material = replace(material, logits=chance.normal(size=(CLIPS, 2)).astype(np.float16), views=views)
    clips, rng = FitClips(material, torch.device("cpu")), np.random.default_rng(0)
    fit = material.rows["fit"]
    assert material.logits is not None
    said = np.concatenate([material.logits[:TRAIN, None], views.logits], axis=1)
    counts = np.zeros((len(fit), 4))
    one_hot = np.eye(2)[material.labels]
    for _ in range(400):
        places = rng.permutation(len(fit))[:10]
        batch = clips.batch(places, rng)
        for place, shown, target, taught in zip(places, *(part.numpy() for part in batch), strict=True):
            row = fit[place]
            candidates = [material.features[row], *material.views.features[row]]
            view = next(n for n, each in enumerate(candidates) if np.array_equal(each, shown))
            counts[place, view] += 1
            own, other = (1.0, row) if view == 0 else (part[row, view - 1] for part in material.views[2:0:-1])
            other = row if own == 1 else other
            assert other in fit
            np.testing.assert_allclose(target, own * one_hot[row] + (1 - own) * one_hot[other], rtol=1e-4, atol=1e-4)
            # Views of equal sound cannot be told apart by it.
            alike = [n for n, each in enumerate(candidates) if np.array_equal(each, shown)]
            assert any(np.array_equal(taught, said[row, n]) for n in alike)
    alone = material.views.weights[fit] == 1
    possible = alone | np.isin(material.views.partners[fit], fit)
    assert not possible.all()
    assert (counts[:, 1:][~possible] == 0).all()
    distinct = np.array([len({view.tobytes() for view in material.views.features[row]}) == 3 for row in fit])
    shares = counts[:, 1:][possible & distinct[:, None] & ~alone] / counts.sum(axis=1).mean()
    assert shares.mean() == pytest.approx(0.25, abs=0.03)


def test_without_views_every_clip_is_itself(material: Material) -> None:
    plain = replace(material, views=None)
    places = np.array([3, 0, 5])
    batch = FitClips(plain, torch.device("cpu")).batch(places, np.random.default_rng(0))
    rows = material.rows["fit"][places]
    np.testing.assert_array_equal(batch.features.numpy(), material.features[rows])
    np.testing.assert_array_equal(batch.targets.argmax(1).numpy(), material.labels[rows])
    assert batch.logits is None


def test_the_cached_views_and_features_stay_as_they_are(material: Material) -> None:
    assert material.views is not None
    before = material.features.copy(), material.views.features.copy()
    clips = FitClips(material, torch.device("cpu"))
    for seed in range(5):
        clips.batch(np.arange(len(clips)), np.random.default_rng(seed))
    np.testing.assert_array_equal(material.features, before[0])
    np.testing.assert_array_equal(material.views.features, before[1])


def test_views_make_another_name(recordings: Recordings, tmp_path: Path) -> None:
    """Or a teacher of the clean clips would be taken for one of the views."""
    names = {opened(recordings, tmp_path, Views(count=count, gain=6)).name for count in (2, 3)}
    plain = Material.open(load_features(recordings, TINY, tmp_path, workers=1), validation_share=0.3, validation_seed=0)
    assert len(names | {plain.name}) == 3


def test_the_key_says_what_the_views_are_of(recordings: Recordings, tmp_path: Path) -> None:
    folder = load_views(recordings, TINY, Views(count=2, gain=3), tmp_path, seed=0, workers=1)
    key = json.loads((folder / "key.json").read_text())
    assert (key["recordings"], key["views"]["gain"], key["seed"]) == ("digest", 3, 0)
