"""What a client complained about last: often the reason for an error that itself tells of the time alone."""

from __future__ import annotations


class Trouble:
    """Filled by the clients, from any thread."""

    text = ""


TROUBLE = Trouble()
