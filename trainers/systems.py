"""What is deployed: a base student for every recording device and, where there are some, students of single ones.

A system is a folder with system.json and an export bundle in each sub-folder that it names:

    {"version": 1, "base": "base", "devices": {"a": "a", "s1": "s1"}}

One bundle alone is a system with a base only, and a published checkpoint is one as well.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from search_spaces.whole_file import write_whole
from trainers.evaluation import logits_of
from trainers.front_end import FrontEnd
from trainers.predictions import Predictor, PredictorError, open_predictor, open_predictors
from trainers.published import BASE

SYSTEM_FILE = "system.json"
VERSION = 1
FLOAT = "float"
"""The variant that every system has: float32 arithmetic with the weights at their precision."""

INT8 = "int8"
"""The variant of systems whose students were all taught further in int8."""

_PLAIN_NAME = re.compile(r"\w[\w.-]{0,99}")
# Clips between two reports of progress.
_BLOCK = 512


@dataclass(frozen=True)
class System:
    """A base student and, for some recording devices, a student of their own; all hear the same features.

    Attributes:
        predictors: By recording device; `BASE` is the one for all others.
    """

    predictors: Mapping[str, Predictor]

    @property
    def name(self) -> str:
        """The identity of the base student's architecture, or the layout of the checkpoint."""
        return self.predictors[BASE].name

    @property
    def front_end(self) -> FrontEnd:
        """Makes the features of all students."""
        return self.predictors[BASE].front_end

    @property
    def scenes(self) -> tuple[str, ...]:
        """In the order of all students' logits."""
        return self.predictors[BASE].scenes

    @property
    def devices(self) -> tuple[str, ...]:
        """The recording devices that have a student of their own, in alphabetical order."""
        return tuple(sorted(self.predictors.keys() - {BASE}))

    @property
    def students(self) -> dict[tuple[str, ...], Predictor]:
        """Each student once, by the recording devices that it answers for; `BASE` stands for all that are not named."""
        devices: dict[int, list[str]] = {}
        for device in (BASE, *self.devices):
            devices.setdefault(id(self.predictors[device].network), []).append(device)
        return {tuple(own): self.predictors[own[0]] for own in devices.values()}

    def predictor(self, device: str) -> Predictor:
        """The student that answers for a recording device."""
        return self.predictors.get(device, self.predictors[BASE])


def open_system(path: Path) -> System:
    """The system in a folder with system.json, in the folder of one export, or in a published checkpoint.

    Raises:
        CheckpointError: If there is no such file, or it is no checkpoint that is read.
        PredictorError: If a folder is no whole system: a file of it that is missing or damaged, a name that is none of
            its own sub-folders, or students with different features or scenes.
    """
    if not (path / SYSTEM_FILE).exists():
        return System(open_predictors(path))
    try:
        described = json.loads((path / SYSTEM_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PredictorError(f"{path / SYSTEM_FILE} cannot be read ({error}); write the system again") from error
    if not isinstance(described, dict) or described.get("version") != VERSION:
        raise PredictorError(f"{path / SYSTEM_FILE} is no system of version {VERSION}, which this release reads")
    base, devices = described.get("base"), described.get("devices")
    if not isinstance(base, str) or not isinstance(devices, dict) or not all(map(_is_text, devices.values())):
        raise PredictorError(
            f'{path / SYSTEM_FILE} needs the name of a sub-folder at "base" and one for each recording device '
            'at "devices"; write the system again'
        )
    return _assembled(path, base, devices)


def open_variants(path: Path) -> dict[str, System]:
    """A system once for each way in which its students can be run, `FLOAT` first; errors as of `open_system`.

    All variants have the same recording devices, scenes and features.
    """
    system = open_system(path)
    rounded = {device: predictor.int8 for device, predictor in system.predictors.items() if predictor.int8 is not None}
    whole = rounded.keys() == system.predictors.keys()
    return {FLOAT: system, INT8: System(rounded)} if whole else {FLOAT: system}


def write_system(folder: Path, base: str = BASE, devices: Mapping[str, str] | None = None) -> System:
    """Makes a system of bundles that lie in sub-folders already: checks them all, then writes system.json.

    Args:
        base: The sub-folder of the student for every recording device that has none of its own.
        devices: The sub-folders of the others, by recording device.

    Raises:
        PredictorError: If what is named does not make a system; nothing is written.
        OSError: If the file cannot be written.
    """
    named = dict(sorted((devices or {}).items()))
    system = _assembled(folder, base, named)
    described = {"version": VERSION, "base": base, "devices": named}
    write_whole(folder / SYSTEM_FILE, json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return system


def answers(
    system: System,
    features: npt.NDArray[np.float16],
    rows: npt.NDArray[np.int64],
    devices: npt.NDArray[np.str_],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """What a system says of chosen clips.

    Args:
        features: (clips, mels, frames) of the system's front end, may be a memory map.
        rows: (n,) rows of `features`.
        devices: (n,) recording device of each of these rows.
        progress: Called with (clips heard, clips to hear) now and then; a clip counts once for each student that hears
            it.

    Returns:
        Logits (n, scenes) of the base student for every clip, and of the student that each clip's recording device has,
        which is the base again for those that have none; None where none has.
    """
    own = {device: np.flatnonzero(devices == device) for device in system.devices}
    total = len(rows) + sum(map(len, own.values()))
    done = 0

    def heard(predictor: Predictor, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        nonlocal done
        said = np.empty((len(chosen), len(system.scenes)), dtype=np.float32)
        for start in range(0, len(chosen), _BLOCK):
            block = slice(start, start + _BLOCK)
            said[block] = logits_of(predictor.network, features, rows[chosen[block]])
            done += len(said[block])
            if progress is not None:
                progress(done, total)
        return said

    general = heard(system.predictors[BASE], np.arange(len(rows)))
    if not own:
        return general, None
    specific = general.copy()
    for device, chosen in own.items():
        specific[chosen] = heard(system.predictors[device], chosen)
    return general, specific


def _assembled(folder: Path, base: str, devices: Mapping[str, str]) -> System:
    if BASE in devices:
        raise PredictorError(f"{folder / SYSTEM_FILE} has a recording device called {BASE!r}, which is not one")
    bundles = {name: open_predictor(_sub_folder(folder, name)) for name in dict.fromkeys((base, *devices.values()))}
    system = System({device: replace(bundles[name], device=device) for device, name in {BASE: base, **devices}.items()})
    for device, predictor in system.predictors.items():
        for what, own, shared in (
            ("features", predictor.front_end, system.front_end),
            ("scenes", predictor.scenes, system.scenes),
        ):
            if own != shared:
                raise PredictorError(
                    f"{folder}: the student of the recording device {device!r} has other {what} than the base student; "
                    "the students of a system share them"
                )
    return system


def _sub_folder(folder: Path, name: str) -> Path:
    """A folder directly inside another; a name or a link that leads anywhere else is refused."""
    found = folder / name
    if not _PLAIN_NAME.fullmatch(name) or found.resolve().parent != folder.resolve():
        raise PredictorError(f"the system {folder} names {name!r}, which is no sub-folder of its own")
    if not found.is_dir():
        raise PredictorError(f"the system {folder} names {name!r}, but there is no such sub-folder")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)
