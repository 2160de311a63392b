"""The report: one HTML file that opens by double click, with no server and no network."""

from pathlib import Path
from typing import Any

from search_spaces.errors import InputError
from search_spaces.whole_file import write_whole
from studies.one_page import one_page
from studies.view import read_view


def write_report(url: str, name: str, path: Path) -> None:
    """Write the report of a study; a file that is there is replaced at once, never half.

    Raises:
        InputError: If there is no such study, the database cannot be read, or the file not be written.
    """
    text = report_page(read_view(url, name))
    try:
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"The report {path} cannot be written: {error.strerror or error}.") from error


def report_page(document: dict[str, Any]) -> str:
    """The page with the view document and everything it needs inside; see `one_page`."""
    return one_page(f"{document['name']} · study report", document, ("kit.js", "page.js"))
