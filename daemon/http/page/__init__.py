"""The page at `/`, and a report: documents with their style and scripts in them. The page asks for nothing but what
this server has, a report for nothing at all.

`uPlot.*` is uPlot 1.6.32 as npm has it, under the MIT license beside it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files

_STYLES = ("uPlot.min.css", "page.css")
_CHARTS = ("uPlot.iife.min.js", "charts.js")


@functools.cache
def page() -> tuple[bytes, str]:
    """Return the document, and the policy that lets a browser run and load what is in it, and nothing else."""
    style, script = _joined(_STYLES), _joined((*_CHARTS, "page.js"))
    document = _text("index.html").replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return document.encode(), policy


def report(told: str) -> str:
    """Return the document of a report, given what it tells, as JSON."""
    style, script = _joined(_STYLES), _joined((*_CHARTS, "report.js"))
    document = _text("report.html").replace("/*style*/", style).replace("/*script*/", script)
    return document.replace("/*told*/", told.replace("<", "\\u003c"))  # no text of a user ends the script


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join(map(_text, names))


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
