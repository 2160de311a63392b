"""How good exported systems are on a data set: heard, scored, and written down as one folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from nas.answers import GENERAL, SPECIFIC, Kinds, kind_of
from nas.display import Display
from nas.submission import check_place, probabilities, stem, write_submission
from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed
from studies.evaluation_page import evaluation_page
from trainers.cache import replacing, sole_builder
from trainers.copies import COPY_DEVICE
from trainers.features import load_features
from trainers.intervals import DRAWS, LEVEL, LocationDraws
from trainers.opening import mapped_array
from trainers.recordings import Recordings, read_recordings
from trainers.scorecard import CELL, JudgedClips, confusion, nested, over_systems, scorecard
from trainers.systems import FLOAT, System, answers, open_variants

Part = Literal["test", "train"]
PARTS: tuple[Part, ...] = ("test", "train")
FILES = ("scores.json", "scores.csv", "costs.csv", "predictions.csv", "evaluation.html")

METHODS = {
    "locations": f"95 % intervals are percentiles over {DRAWS:,} draws of the clips' locations with replacement.",
    "systems": "Mean over the systems, with Student's 95 % interval: mean ± t(0.975, n - 1) · s / √n.",
}


@dataclass(frozen=True, eq=False)
class _Heard:
    """One system with what it says of the clips.

    Attributes:
        variants: The system in each way in which it can be run, `FLOAT` first.
        said: Logits (clips, scenes) by the kind of answers, in the order of the data set's scenes.
        card: The scorecard of `said`.
    """

    label: str
    path: Path
    variants: Mapping[str, System]
    said: Mapping[str, npt.NDArray[np.float32]]
    card: pd.DataFrame

    @property
    def system(self) -> System:
        """As every system can be run."""
        return self.variants[FLOAT]

    @property
    def costs(self) -> list[dict[str, Any]]:
        """Each student of each variant once, with what it costs for one clip."""
        return [
            {
                "variant": variant,
                "devices": devices,
                "name": student.name,
                "precision": student.precision,
                **asdict(student.cost),
            }
            for variant, system in self.variants.items()
            for devices, student in system.students.items()
        ]


def evaluate(
    paths: Sequence[Path],
    data: Path,
    cache: Path,
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
        cache: Folder of the feature caches.
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
    if submission is not None:
        if len(paths) > 1:
            raise InputError("a submission has the answers of one system; evaluate that one alone")
        check_place(submission)
    folder = (output or default_output(paths)).absolute()
    _check_replaceable(folder)
    systems = [open_variants(path) for path in paths]
    recordings = read_recordings(data, train_list)
    _check_fit(systems, paths, recordings)
    first = systems[0][FLOAT]
    # Seeds may differ in which recording devices got a student of their own; where none did, the base answers for all.
    kinds = Kinds.of(list(systems[0]), specific=any(variants[FLOAT].devices for variants in systems))
    with sole_builder(folder):  # tells before the work, not after it, that nothing can be written there
        rows, clips = _judged(recordings, part)
        features_dir = load_features(recordings, first.front_end, cache, progress=display.stage("features of clips"))
        features = mapped_array(features_dir / "clips.npy", clips=len(recordings.clips), dims=3)
        draws = LocationDraws.of(clips.locations, derive_seed(0, "evaluate", "locations"))
        heard = []
        for label, path, variants in zip(_labels(paths), paths, systems, strict=True):
            said = _said(label, variants, features, rows, clips, display)
            ordered = {kind: said[kind] for kind in kinds.labels if kind in said}
            card = scorecard(ordered, kinds.differences, clips, draws)
            heard.append(_Heard(label, path, variants, ordered, card))
        document = _document(heard, kinds, recordings, clips, part, train_list)
        answered = recordings.clips.iloc[rows]
        if submission is not None:
            deployed = heard[0].said[kinds.deployed]
            write_submission(submission, answered["filename"].tolist(), clips.scenes, deployed)
        with replacing(folder) as temporary:
            (temporary / "scores.json").write_text(_json(document), encoding="utf-8")
            _cells(heard, kinds).to_csv(temporary / "scores.csv", index=False)
            _costs(heard).to_csv(temporary / "costs.csv", index=False)
            _predictions(heard, kinds, answered, clips.scenes).to_csv(temporary / "predictions.csv", index=False)
            (temporary / "evaluation.html").write_text(evaluation_page(document), encoding="utf-8", newline="\n")
    return {**document, "folder": str(folder)}


def default_output(paths: Sequence[Path]) -> Path:
    """Beside the first system, under its name."""
    first = paths[0].absolute()
    more = f"-and-{len(paths) - 1}-more" if len(paths) > 1 else ""
    return first.with_name(f"evaluation-{stem(first)}{more}")


def _check_fit(systems: Sequence[Mapping[str, System]], paths: Sequence[Path], recordings: Recordings) -> None:
    """Systems of one design that know the scenes of the data set, no more and no fewer."""
    known = set(recordings.scenes)
    reference = systems[0][FLOAT]
    for variants, path in zip(systems, paths, strict=True):
        system = variants[FLOAT]
        if set(system.scenes) != known:
            lacking, more = sorted(known - set(system.scenes)), sorted(set(system.scenes) - known)
            told = [f"it does not know {', '.join(lacking)}"] * bool(lacking) + [
                f"there is no clip of {', '.join(more)}"
            ] * bool(more)
            raise InputError(f"{path} is for other scenes than {recordings.root}: {'; '.join(told)}")
        for what, own, first in (
            ("hears other features than", system.front_end, reference.front_end),
            ("can be run in other ways than", tuple(variants), tuple(systems[0])),
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


def _said(
    label: str,
    variants: Mapping[str, System],
    features: npt.NDArray[np.float16],
    rows: npt.NDArray[np.int64],
    clips: JudgedClips,
    display: Display,
) -> dict[str, npt.NDArray[np.float32]]:
    """What one system says of the clips in each kind of answers; scenes in the order of the data set."""
    said = {}
    for variant, system in variants.items():
        stage = display.stage(f"clips that {label} hears" + (f" ({variant})" if len(variants) > 1 else ""))
        general, specific = answers(system, features, rows, clips.devices, progress=stage)
        order = [system.scenes.index(scene) for scene in clips.scenes]
        said[kind_of(GENERAL, variant)] = general[:, order]
        said[kind_of(SPECIFIC, variant)] = said[kind_of(GENERAL, variant)] if specific is None else specific[:, order]
    return said


def _document(
    heard: Sequence[_Heard], kinds: Kinds, recordings: Recordings, clips: JudgedClips, part: Part, train_list: str
) -> dict[str, Any]:
    """All results as one JSON document.

    `students` has the tables of each kind of answers and of differences (see `nas.answers`; `labels` are their names
    for people): table -> row -> column -> value, low, high (see `trainers.scorecard`), the mean where there are several
    systems; `runs` has the same of each system. `confusion` has clips by scene and by what was heard, in the order of
    `scenes`, of each kind of answers: value, low, high. `systems` has the cost of each student once.
    """
    over = "systems" if len(heard) > 1 else "locations"
    summary = _summary(heard, kinds)
    return {
        "version": 1,
        "name": stem(heard[0].path.absolute()) + (f" and {len(heard) - 1} more" if len(heard) > 1 else ""),
        "systems": [
            {
                "label": each.label,
                "path": str(each.path),
                "name": each.system.name,
                "devices": each.system.devices,
                "students": each.costs,
            }
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
        "labels": kinds.labels,
        "differences": list(kinds.differences),
        "deployed": kinds.deployed,
        "students": _tables(summary, kinds),
        "confusion": {kind: confusion(summary, kind) for kind in heard[0].said},
        "runs": [{"label": each.label, "students": _tables(each.card, kinds)} for each in heard],
    }


def _summary(heard: Sequence[_Heard], kinds: Kinds) -> pd.DataFrame:
    """The scorecard of one system, or the mean of several."""
    return over_systems([each.card for each in heard], kinds.differences) if len(heard) > 1 else heard[0].card


def _tables(card: pd.DataFrame, kinds: Kinds) -> dict[str, Any]:
    return {kind: nested(card, kind) for kind in kinds.labels}


def _cells(heard: Sequence[_Heard], kinds: Kinds) -> pd.DataFrame:
    """One row for each table cell: of each system with its interval over locations, and of their mean."""
    cards = {each.label: each.card for each in heard}
    if len(heard) > 1:
        cards["mean"] = _summary(heard, kinds)
    return pd.concat([card.assign(system=label) for label, card in cards.items()])[
        ["system", *CELL, "value", "low", "high"]
    ]


def _costs(heard: Sequence[_Heard]) -> pd.DataFrame:
    """One row for each student; `devices` are those that it answers for, with spaces between."""
    return pd.DataFrame(
        [{"system": each.label, **cost, "devices": " ".join(cost["devices"])} for each in heard for cost in each.costs]
    )


def _predictions(heard: Sequence[_Heard], kinds: Kinds, answered: pd.DataFrame, scenes: Sequence[str]) -> pd.DataFrame:
    """One row for each clip and system: what was heard, and the probabilities of the deployed answer."""
    names = np.array(scenes)
    tables = []
    for each in heard:
        table = answered[["filename", "scene", "location", "device"]].assign(system=each.label)
        table = table.assign(student=[each.system.predictor(device).device for device in answered["device"]])
        for kind, said in each.said.items():
            table[kind] = names[said.argmax(axis=1)]
        shares = pd.DataFrame(
            probabilities(each.said[kinds.deployed]).round(6),
            columns=[f"p_{scene}" for scene in scenes],
            index=table.index,
        )
        tables.append(pd.concat([table, shares], axis=1))
    return pd.concat(tables)


def _labels(paths: Sequence[Path]) -> list[str]:
    """Short names for people, long ones where short ones are the same."""
    names = [stem(path.absolute()) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
