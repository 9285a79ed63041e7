"""Bad records of several lines: a stray quote may have taken in the lines behind its own."""

from __future__ import annotations

import re

from learnd.daemon.values import Defect, RecordBatch


def with_lines(found: Defect, batch: RecordBatch, index: int, delimiter: str) -> Defect:
    """Say of how many lines a bad record is, if it has several, and where the quote is that holds them together."""
    lines = 1 if batch.lines is None else batch.lines[index]
    value = batch.values[index]
    if lines == 1 or not isinstance(value, bytes):
        return found
    byte = _opening_quote(value, delimiter.encode())
    quote = "a quote" if byte is None else f"the quote at byte {byte}"
    way = f"the record goes over {lines:,} lines, from {quote} of its first line on; if that is a stray one"
    return Defect(found.reason, f"{found.detail}; {way}: samples.quote: none")


def _opening_quote(value: bytes, delimiter: bytes) -> int | None:
    """Return at which byte (from 1) the cell opens that goes over the end of the first line; None if none does."""
    mark = re.escape(delimiter)
    text = rb"(?:(?!%b)[^\n])*+" % mark
    closed = rb'"[^"\n]*+(?:""[^"\n]*+)*+"'
    found = re.match(rb'(?:(?:%b%b|(?!")%b)%b)*+"' % (closed, text, text, mark), value)
    return None if found is None else found.end()
