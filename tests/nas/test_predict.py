"""`nas predict`: recordings in, scenes out, second by second; what cannot be read is named and never guessed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch

from nas import cli
from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.audio import read_clip
from trainers.export import load_bundle, write_bundle
from trainers.front_end import FrontEnd, log_mel
from trainers.published import LAYOUTS

RATE = 8000
FRONT_END = FrontEnd(sample_rate=RATE, n_fft=512, window=400, hop=250, mels=16, f_max=4000.0, pre_emphasis=0.97)
SMALL = Architecture(
    input=InputShape(16, FRONT_END.frames),
    stem=ConvStem((4, 8)),
    stages=(Stage((CPMobileBlock(8, 16),)),),
    classes=4,
)
SCENES = ("airport", "bus", "metro", "park")


class Typed(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Told errors, without a traceback."""
        assert "Traceback" not in self.err
        return [line for line in self.err.splitlines() if line.startswith("Error:")]


Type = Callable[..., Typed]


@pytest.fixture
def predict(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Type:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Typed:
        monkeypatch.setattr("sys.argv", ["nas", "predict", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        return Typed(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small student with opinions, exported."""
    network = build(SMALL, seed=1)
    with torch.no_grad():
        network.get_parameter("head.classify.norm.weight").mul_(0.2)
    folder = tmp_path_factory.mktemp("bundle") / "student"
    write_bundle(
        folder,
        network=network,
        architecture=SMALL,
        form=Form.FOLDED,
        front_end=FRONT_END.to_json(),
        scenes=SCENES,
        scores={},
        budget={},
        provenance={},
        examples=np.zeros((1, 16, FRONT_END.frames), dtype=np.float32),
    )
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CP-Mobile 2025 with a model for device a beside the general one."""
    layout = LAYOUTS[1]
    entries = {}
    for prefix in ("base_model", "device_models.a"):
        network = layout.network()
        with torch.no_grad():
            network.get_parameter("head.classify.norm.bias")[2 if prefix == "base_model" else 5] = 30.0
        state = network.state_dict()
        entries |= {f"multi_device_model.{prefix}.{key}": state[name] for name, key in layout.keys(network).items()}
    path = tmp_path_factory.mktemp("published") / "two.ckpt"
    torch.save({"state_dict": entries}, path)
    return path


def noise(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    count = round(seconds * rate)
    loudness = np.linspace(0.01, 0.9, count)
    return np.random.default_rng(seed).uniform(-1, 1, count) * loudness


def saved(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def clips(answer: Typed) -> list[dict[str, Any]]:
    document = json.loads(answer.out)
    assert set(document) == {"version", "model", "scenes", "clips"}
    return list(document["clips"])


def heard(bundle: Path, path: Path) -> np.ndarray:
    """The probabilities of a recording of at most a second, without the command."""
    wave, _ = read_clip(path, RATE)
    with torch.inference_mode():
        logits = load_bundle(bundle).network(log_mel(torch.from_numpy(wave)[None], FRONT_END)[:, None])
    return np.exp(logits[0].numpy()) / np.exp(logits[0].numpy()).sum()


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_every_second_is_heard_by_itself(predict: Type, bundle: Path, tmp_path: Path, rate: int) -> None:
    samples = noise(3, rate)
    answer = predict(bundle, saved(tmp_path / "a.wav", samples, rate), "--json")
    assert (answer.code, answer.errors) == (0, [])
    found = clips(answer)
    assert [(clip["file"], clip["start"]) for clip in found] == [(str(tmp_path / "a.wav"), s) for s in (0, 1, 2)]
    for number, clip in enumerate(found):
        alone = saved(tmp_path / "alone.wav", samples[number * rate : (number + 1) * rate], rate)
        assert list(clip["probabilities"]) == list(SCENES)
        np.testing.assert_allclose(list(clip["probabilities"].values()), heard(bundle, alone), atol=1e-5)
        assert clip["scene"] == max(clip["probabilities"], key=clip["probabilities"].__getitem__)
    assert found[0]["probabilities"] != found[2]["probabilities"]


@pytest.mark.parametrize(
    ("seconds", "count", "told"),
    [
        (0.2, 1, "shorter than a second and was padded"),
        (1.0, 1, None),
        (1.49, 1, "the last 0.49 s are less than half a second and were left out"),
        (1.5, 2, None),
        (2.25, 2, "the last 0.25 s are less than half a second and were left out"),
    ],
)
def test_what_is_left_of_a_recording_is_padded_or_left_out_and_that_is_said(
    predict: Type, bundle: Path, tmp_path: Path, seconds: float, count: int, told: str | None
) -> None:
    samples = noise(seconds)
    answer = predict(bundle, saved(tmp_path / "a.wav", samples), "--json")
    found = clips(answer)
    assert (answer.code, len(found)) == (0, count)
    assert (told in answer.err and "a.wav" in answer.err) if told else answer.err == ""
    kept = samples[(count - 1) * RATE : count * RATE]
    alone = saved(tmp_path / "alone.wav", kept)
    np.testing.assert_allclose(list(found[-1]["probabilities"].values()), heard(bundle, alone), atol=1e-5)


def test_channels_are_mixed(predict: Type, bundle: Path, tmp_path: Path) -> None:
    left, right = noise(2, seed=1), noise(2, seed=2)
    stereo = saved(tmp_path / "stereo.wav", np.stack([left, right], axis=1))
    mono = saved(tmp_path / "mono.wav", (left + right) / 2)
    found = clips(predict(bundle, stereo, mono, "--json"))
    for one, other in zip(found[:2], found[2:], strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_the_table_names_three_scenes_for_every_second_and_ends_with_the_mean(
    predict: Type, bundle: Path, tmp_path: Path
) -> None:
    path = saved(tmp_path / "[bold]a.wav", noise(2))
    found = [list(clip["probabilities"].values()) for clip in clips(predict(bundle, path, "--json"))]
    answer = predict(bundle, path)
    assert answer.code == 0
    rows = [line.split() for line in answer.out.splitlines() if "[bold]a.wav" in line]
    assert [row[1] for row in rows] == ["0", "1", "mean"]
    for row, probabilities in zip(rows, [*found, np.mean(found, axis=0)], strict=True):
        ranked = sorted(zip(probabilities, SCENES, strict=True), reverse=True)[:3]
        assert " ".join(row[2:]) == "{} {:.3f} {} {:.3f}, {} {:.3f}".format(
            *(word for probability, scene in ranked for word in (scene, probability))
        )


def test_a_model_is_chosen_by_recording_device(predict: Type, checkpoint: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(1))
    for options, scene, device in (((), "metro", "base"), (("--device", "a"), "public_square", "a")):
        answer = predict(checkpoint, path, "--json", *options)
        assert clips(answer)[0]["scene"] == scene
        assert json.loads(answer.out)["model"] == {
            "path": str(checkpoint),
            "name": "CP-Mobile 2025",
            "device": device,
        }
    assert predict(checkpoint, path).out.startswith("CP-Mobile 2025 ")
    assert predict(checkpoint, path, "--device", "a").out.startswith("CP-Mobile 2025, recording device a")


def test_a_recording_device_without_a_model_is_told_with_those_that_have_one(
    predict: Type, checkpoint: Path, bundle: Path, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.wav", noise(1))
    answer = predict(checkpoint, path, "--device", "s9")
    assert (answer.code, answer.out) == (2, "")
    assert "no model for the recording device 's9'; it has base, a" in answer.errors[0]
    assert "it has base" in predict(bundle, path, "--device", "a").errors[0]


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_answered(
    predict: Type, bundle: Path, tmp_path: Path
) -> None:
    good = saved(tmp_path / "good.wav", noise(1))
    flac, mp3 = (tmp_path / name for name in ("cut.flac", "cut.mp3"))  # one fails where it ends, the other just ends
    for path in (flac, mp3):
        soundfile.write(path, noise(5), RATE)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    (tmp_path / "text.wav").write_text("shopping list")
    loud = saved(tmp_path / "loud.wav", np.full(RATE, 1e30))
    late = saved(tmp_path / "late.wav", np.append(noise(2), np.full(RATE, np.nan)))
    answer = predict(bundle, "none.wav", flac, mp3, good, "text.wav", loud, late, "--json")
    assert answer.code == 2
    assert [clip["file"] for clip in clips(answer)] == [str(good)]
    told = [
        "none.wav does not exist",
        f"{flac} cannot be decoded",
        f"{mp3} is damaged 2 s after its start",
        "text.wav cannot be decoded",
        f"{loud} holds samples that are not finite or far outside",
        f"{late} holds samples that are not finite or far outside",
    ]
    assert len(answer.errors) == len(told)
    for line, words in zip(answer.errors, told, strict=True):
        assert line.startswith(f"Error: {words}")
    nothing = predict(bundle, "none.wav")
    assert (nothing.code, nothing.out) == (2, "")


def test_a_model_that_cannot_be_opened_predicts_nothing(predict: Type, bundle: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(1))
    (tmp_path / "notes.ckpt").write_text("shopping list")
    (tmp_path / "folder").mkdir()
    for model, words in (
        ("none.ckpt", "none.ckpt cannot be read (No such file or directory)"),
        ("notes.ckpt", "notes.ckpt is no checkpoint, or a damaged one"),
        ("folder", "is its folder an export bundle?"),
        (path, "a.wav is no checkpoint, or a damaged one"),
    ):
        answer = predict(model, path, "--json")
        assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
        assert words in answer.errors[0]


def test_a_damaged_export_predicts_nothing(predict: Type, bundle: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.wav", noise(1))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in bundle.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-2] + b"\0\0")
    answer = predict(damaged, path)
    assert (answer.code, answer.out) == (2, "")
    assert "model.safetensors is not the file that was exported" in answer.errors[0]


def test_a_real_recording_is_recognised_in_every_second(predict: Type, shared_data: Path) -> None:
    folder = shared_data / "tau-clip"
    model, recording = folder / "cp_mobile_2023_c0a7nzin.ckpt", folder / "metro_station-paris.wav"
    found = clips(predict(model, recording, "--json"))
    assert [clip["scene"] for clip in found] == ["metro_station"] * 10
    mean = {scene: np.mean([clip["probabilities"][scene] for clip in found]) for scene in found[0]["probabilities"]}
    assert mean["metro_station"] == pytest.approx(0.935, abs=0.002)
    assert mean["metro"] == pytest.approx(0.026, abs=0.002)
    last = predict(model, recording).out.strip().splitlines()[-1].split()
    assert last[1:] == ["mean", "metro_station", "0.935", "metro", "0.026,", "public_square", "0.014"]


def test_the_command_starts_without_torch() -> None:
    code = "import sys, nas.cli.predict; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
