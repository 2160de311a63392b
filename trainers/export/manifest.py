"""The list of a bundle's files with their sizes and digests: what makes a folder a bundle."""

import hashlib
import json
from pathlib import Path
from typing import Any

from search_spaces.errors import NasError

MANIFEST = "manifest.json"
FORMAT = "acoustic-nas bundle"
FORMAT_VERSION = 1


class ExportError(NasError):
    """A bundle that cannot be written, or is not what it should be. Names the file."""


def write_manifest(folder: Path) -> None:
    """Lists every file of a folder; the last file to be written."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(folder.iterdir())}
    write_json(folder / MANIFEST, {"format": FORMAT, "version": FORMAT_VERSION, "files": files})


def check_manifest(folder: Path) -> dict[str, int]:
    """Bytes of each file of a bundle, after every file was read and found to be what the manifest says.

    Raises:
        ExportError: If the folder is no bundle, or naming the first file that is missing, changed or cut short.
    """
    files = listed_files(folder)
    for name, entry in files.items():
        path = folder / name
        try:
            size, found = path.stat().st_size, _sha256(path)
        except OSError as error:
            raise ExportError(f"{path} cannot be read ({error.strerror}); export the network again") from error
        if size != entry["bytes"] or found != entry["sha256"]:
            raise ExportError(
                f"{path} is not the file that was exported ({size} bytes, {entry['bytes']} expected, "
                "or its digest differs); export the network again"
            )
    return {name: int(entry["bytes"]) for name, entry in files.items()}


def listed_files(folder: Path) -> dict[str, dict[str, Any]]:
    """What the manifest of a bundle says of its files, by name; the files themselves are not looked at.

    Raises:
        ExportError: If the folder has no manifest, or one of another kind or a later version.
    """
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT or manifest.get("version") != FORMAT_VERSION:
        raise ExportError(
            f"{folder / MANIFEST} is of {manifest.get('format')!r}, version {manifest.get('version')!r}; "
            f"this release reads {FORMAT!r}, version {FORMAT_VERSION}"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(
        isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() and Path(name).name == name
        for name, entry in files.items()
    ):
        raise ExportError(
            f"{folder / MANIFEST} does not list files as a bundle's manifest does; export the network again"
        )
    return files


def write_json(path: Path, value: dict[str, Any]) -> None:
    """JSON for people and programs: indented, finite numbers only."""
    path.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a bundle.

    Raises:
        ExportError: If the file is missing or holds none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read ({error}); is its folder an export bundle?") from error
    if not isinstance(value, dict):
        raise ExportError(f"{path} holds no JSON object; export the network again")
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
