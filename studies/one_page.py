"""One HTML file with everything it needs inside: it opens by double click, with no server and no network."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from plotly.offline import get_plotlyjs


def one_page(title: str, document: Mapping[str, Any], scripts: Sequence[str]) -> str:
    """A page that draws a document with plotly and its own scripts.

    The page's own policy names its scripts by their digests and forbids every request, so that nothing else in it can
    run or call home, whatever strings the document holds.

    Args:
        title: As text.
        document: Finite numbers, text, lists and dicts only.
        scripts: Files of `studies/page`, one run after the other.
    """
    plotly, script = _script(get_plotlyjs()), _script("\n".join(page_file(name) for name in scripts))
    parts = {
        "title": html.escape(title),
        "policy": (
            f"default-src 'none'; script-src {_source(plotly)} {_source(script)}; "
            "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
        ),
        "css": page_file("page.css"),
        "document": embedded(document),
        "plotly": plotly,
        "script": script,
    }
    # One pass, so that a place mark inside a document's strings stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page_file("page.html"))


def page_file(name: str) -> str:
    """One of the page's own files."""
    return files("studies").joinpath("page", name).read_text(encoding="utf-8")


def embedded(document: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, nor open a comment there."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _script(text: str) -> str:
    """A script as it may stand inside a page: browsers know one line end, and its digest is of what they see."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script")


def _source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
