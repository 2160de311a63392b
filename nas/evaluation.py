"""How good exported systems are on a data set: heard, scored, and written down as one folder."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from nas.display import Display
from nas.places import Places
from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed
from search_spaces.whole_file import write_whole
from studies.evaluation_page import evaluation_page
from trainers.cache import replacing, sole_builder
from trainers.copies import COPY_DEVICE
from trainers.features import load_features
from trainers.intervals import DRAWS, LEVEL, LocationDraws
from trainers.opening import mapped_array
from trainers.recordings import Recordings, read_recordings
from trainers.scorecard import CELL, GENERAL, SPECIFIC, JudgedClips, confusion, nested, over_systems, scorecard
from trainers.systems import System, answers, open_system

Part = Literal["test", "train"]
PARTS: tuple[Part, ...] = ("test", "train")
FILES = ("scores.json", "scores.csv", "predictions.csv", "evaluation.html")

METHODS = {
    "locations": f"95 % intervals are percentiles over {DRAWS:,} draws of the clips' locations with replacement.",
    "systems": "Mean over the systems, with Student's 95 % interval: mean ± t(0.975, n - 1) · s / √n.",
}


@dataclass(frozen=True, eq=False)
class _Heard:
    """One system with what it says of the clips: logits (clips, scenes) in the order of the data set's scenes."""

    label: str
    path: Path
    system: System
    general: npt.NDArray[np.float32]
    specific: npt.NDArray[np.float32] | None
    card: pd.DataFrame

    @property
    def deployed(self) -> npt.NDArray[np.float32]:
        """What the system answers where the recording device is known."""
        return self.general if self.specific is None else self.specific


def evaluate(
    paths: Sequence[Path],
    data: Path,
    places: Places,
    display: Display,
    *,
    part: Part = "test",
    train_list: str = "split25",
    output: Path | None = None,
    submission: Path | None = None,
) -> dict[str, Any]:
    """Scores systems over a data set's clips and writes the folder of the evaluation, whole or not at all.

    Args:
        paths: Systems (see `trainers.systems`) of one design, for example from several seeds.
        data: A data set in TAU's layout.
        part: Which of its lists.
        train_list: Its training list; the recording devices in it are the seen ones.
        output: The folder; by default `default_output(paths)`.
        submission: Where to write what the challenge asks for; of one system only.

    Returns:
        What scores.json says; see `_document`. `folder` is where.

    Raises:
        InputError: If a system or the data cannot be used, or they do not belong together.
        NasError: If something cannot be written.
    """
    if submission is not None and len(paths) > 1:
        raise InputError("a submission has the answers of one system; evaluate that one alone")
    folder = (output or default_output(paths)).absolute()
    _check_replaceable(folder)
    systems = [open_system(path) for path in paths]
    recordings = read_recordings(data, train_list)
    _check_fit(systems, paths, recordings)
    with sole_builder(folder):  # tells before the work, not after it, that nothing can be written there
        rows, clips = _judged(recordings, part)
        features_dir = load_features(
            recordings, systems[0].front_end, places.cache, progress=display.stage("features of clips")
        )
        features = mapped_array(features_dir / "clips.npy", clips=len(recordings.clips), dims=3)
        draws = LocationDraws.of(clips.locations, derive_seed(0, "evaluate", "locations"))
        heard = [
            _hear(label, path, system, features, rows, clips, draws, display)
            for label, path, system in zip(_labels(paths), paths, systems, strict=True)
        ]
        document = _document(heard, recordings, clips, part, train_list)
        answered = recordings.clips.iloc[rows]
        if submission is not None:
            _write_submission(submission, heard[0], answered["filename"], clips.scenes)
        with replacing(folder) as temporary:
            (temporary / "scores.json").write_text(_json(document), encoding="utf-8")
            _cells(heard).to_csv(temporary / "scores.csv", index=False)
            _predictions(heard, answered, clips.scenes).to_csv(temporary / "predictions.csv", index=False)
            (temporary / "evaluation.html").write_text(evaluation_page(document), encoding="utf-8", newline="\n")
    return {**document, "folder": str(folder)}


def default_output(paths: Sequence[Path]) -> Path:
    """Beside the first system, under its name."""
    first = paths[0].absolute()
    more = f"-and-{len(paths) - 1}-more" if len(paths) > 1 else ""
    return first.with_name(f"evaluation-{_stem(first)}{more}")


def submission_csv(filenames: Sequence[str], scenes: Sequence[str], logits: npt.NDArray[np.floating[Any]]) -> str:
    """The system output of DCASE 2025 Task 1: filename, scene_label, the probability of every scene; tab separated.

    As `evaluate_submission.py` of the challenge's inference package writes it (CPJKU/dcase2025_task1_inference).

    Args:
        logits: (files, scenes).
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["filename", "scene_label", *scenes])
    for name, row in zip(filenames, _probabilities(logits).tolist(), strict=True):
        writer.writerow([name, scenes[int(np.argmax(row))], *row])
    return text.getvalue()


def _check_fit(systems: Sequence[System], paths: Sequence[Path], recordings: Recordings) -> None:
    """Systems of one design that know the scenes of the data set, no more and no fewer."""
    known = set(recordings.scenes)
    for system, path in zip(systems, paths, strict=True):
        if set(system.scenes) != known:
            lacking, more = sorted(known - set(system.scenes)), sorted(set(system.scenes) - known)
            told = [f"it does not know {', '.join(lacking)}"] * bool(lacking) + [
                f"there is no clip of {', '.join(more)}"
            ] * bool(more)
            raise InputError(f"{path} is for other scenes than {recordings.root}: {'; '.join(told)}")
        for what, own, first in (
            ("hears other features than", system.front_end, systems[0].front_end),
            ("has students for other recording devices than", system.devices, systems[0].devices),
        ):
            if own != first:
                raise InputError(f"{path} {what} {paths[0]}: they are not of one design; evaluate them one by one")


def _check_replaceable(folder: Path) -> None:
    """An earlier evaluation may be replaced, and nothing that a person put there may be lost."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} exists and is no folder; choose another one with -o or move it away")
    others = sorted({path.name for path in folder.iterdir()} - set(FILES)) if folder.exists() else []
    if others:
        raise InputError(
            f"{folder} holds {others[0]}, which no evaluation wrote; choose another folder with -o or move it away"
        )


def _judged(recordings: Recordings, part: Part) -> tuple[npt.NDArray[np.int64], JudgedClips]:
    """The rows of a list, without copies of clips, on which nothing is judged."""
    clips = recordings.clips
    train = clips["split"] == "train"
    chosen = clips[(clips["split"] == part) & (clips["device"] != COPY_DEVICE)]
    return chosen.index.to_numpy(dtype=np.int64), JudgedClips(
        labels=np.searchsorted(np.array(recordings.scenes), chosen["scene"].to_numpy(dtype=str)).astype(np.int64),
        devices=chosen["device"].to_numpy(dtype=str),
        locations=chosen["location"].to_numpy(dtype=str),
        scenes=recordings.scenes,
        trained_devices=frozenset(clips.loc[train, "device"]),
    )


def _hear(
    label: str,
    path: Path,
    system: System,
    features: npt.NDArray[np.float16],
    rows: npt.NDArray[np.int64],
    clips: JudgedClips,
    draws: LocationDraws,
    display: Display,
) -> _Heard:
    stage = display.stage(f"clips that {label} hears")
    general, specific = answers(system, features, rows, clips.devices, progress=stage)
    order = [system.scenes.index(scene) for scene in clips.scenes]
    general, specific = general[:, order], None if specific is None else specific[:, order]
    return _Heard(label, path, system, general, specific, scorecard(general, specific, clips, draws))


def _document(
    heard: Sequence[_Heard], recordings: Recordings, clips: JudgedClips, part: Part, train_list: str
) -> dict[str, Any]:
    """All results as one JSON document.

    `students` has the tables of "general" and, with device students, "device_specific" and "difference": table -> row
    -> column -> value, low, high (see `trainers.scorecard`), the mean where there are several systems; `runs` has the
    same of each system. `confusion` has clips by scene and by what was heard, in the order of `scenes`.
    """
    over = "systems" if len(heard) > 1 else "locations"
    summary = over_systems([each.card for each in heard]) if len(heard) > 1 else heard[0].card
    return {
        "version": 1,
        "name": _stem(heard[0].path) + (f" and {len(heard) - 1} more" if len(heard) > 1 else ""),
        "systems": [
            {"label": each.label, "path": str(each.path), "name": each.system.name, "devices": each.system.devices}
            for each in heard
        ],
        "data": {
            "folder": str(recordings.root.absolute()),
            "digest": recordings.digest,
            "part": part,
            "train_list": train_list,
            "clips": len(clips.labels),
            "locations": len(np.unique(clips.locations)),
        },
        "front_end": heard[0].system.front_end.to_json(),
        "interval": {"level": LEVEL, "over": over, "method": METHODS[over]},
        "scenes": clips.scenes,
        "devices": clips.device_groups(),
        "students": _tables(summary),
        "confusion": {
            kind: confusion(summary, kind) for kind in (GENERAL, SPECIFIC) if kind in set(summary["students"])
        },
        "runs": [{"label": each.label, "students": _tables(each.card)} for each in heard],
    }


def _tables(card: pd.DataFrame) -> dict[str, Any]:
    return {students: nested(card, students) for students in card["students"].unique()}


def _cells(heard: Sequence[_Heard]) -> pd.DataFrame:
    """One row for each table cell: of each system with its interval over locations, and of their mean."""
    cards = {each.label: each.card for each in heard}
    if len(heard) > 1:
        cards["mean"] = over_systems(list(cards.values()))
    return pd.concat([card.assign(system=label) for label, card in cards.items()])[
        ["system", *CELL, "value", "low", "high"]
    ]


def _predictions(heard: Sequence[_Heard], answered: pd.DataFrame, scenes: Sequence[str]) -> pd.DataFrame:
    """One row for each clip and system: what was heard, and the probabilities of the deployed answer."""
    names = np.array(scenes)
    tables = []
    for each in heard:
        table = answered[["filename", "scene", "location", "device"]].assign(system=each.label)
        table = table.assign(student=[each.system.predictor(device).device for device in answered["device"]])
        for students, said in ((GENERAL, each.general), (SPECIFIC, each.specific)):
            if said is not None:
                table[students] = names[said.argmax(axis=1)]
        probabilities = pd.DataFrame(
            _probabilities(each.deployed).round(6), columns=[f"p_{scene}" for scene in scenes], index=table.index
        )
        tables.append(pd.concat([table, probabilities], axis=1))
    return pd.concat(tables)


def _write_submission(path: Path, heard: _Heard, filenames: "pd.Series[str]", scenes: Sequence[str]) -> None:
    try:
        write_whole(path.absolute(), submission_csv(filenames.tolist(), scenes, heard.deployed))
    except OSError as error:
        raise InputError(f"the submission {path} cannot be written: {error.strerror or error}") from error


def _probabilities(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _labels(paths: Sequence[Path]) -> list[str]:
    """Short names for people, long ones where short ones are the same."""
    names = [_stem(path.absolute()) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _stem(path: Path) -> str:
    """The name of a folder, or of a file without what says its kind."""
    return path.stem if path.is_file() else path.name


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
