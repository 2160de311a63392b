"""The report: one HTML file that opens by double click, with no server and no network."""

import base64
import hashlib
import html
import json
import os
import re
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from search_spaces.errors import InputError
from studies.view import read_view


def write_report(url: str, name: str, path: Path) -> None:
    """Write the report of a study; a file that is there is replaced at once, never half.

    Raises:
        InputError: If there is no such study, the database cannot be read, or the file not be written.
    """
    text = report_page(read_view(url, name))
    try:
        _write(path, text)
    except OSError as error:
        raise InputError(f"The report {path} cannot be written: {error.strerror or error}.") from error


def report_page(document: dict[str, Any]) -> str:
    """The page with the view document and everything it needs inside.

    The page's own policy names its two scripts by their digests and forbids every request, so that nothing else
    in it can run or call home, whatever a study's strings hold.
    """
    plotly, script = _script(get_plotlyjs()), _script(page_file("page.js"))
    parts = {
        "title": html.escape(f"{document['name']} · study report"),
        "policy": (
            f"default-src 'none'; script-src {_source(plotly)} {_source(script)}; "
            "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
        ),
        "css": page_file("page.css"),
        "document": embedded(document),
        "plotly": plotly,
        "script": script,
    }
    # One pass, so that a place mark inside a study's strings stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page_file("page.html"))


def page_file(name: str) -> str:
    """One of the page's own files."""
    return files("studies").joinpath("page", name).read_text(encoding="utf-8")


def embedded(document: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, nor open a comment there."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _script(text: str) -> str:
    """A script as it may stand inside a page: browsers know one line end, and its digest is of what they see."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _write(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # as open() would have made it; mkstemp keeps it to its owner
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
