"""What of the settings only the files can tell: whether the token and the certificate are some."""

from __future__ import annotations

from learnd.daemon.errors import SettingsError
from learnd.daemon.operate.settings import HttpSettings


def problems_with_http(http: HttpSettings) -> list[str]:
    """Return why the server would not start, or could not go on with these settings: its files are none."""
    if http.listen is None or (http.token_file is None and http.tls is None):
        return []  # to import the server takes a moment
    from learnd.daemon.http.auth import Token
    from learnd.daemon.http.tls import Certificate

    try:
        Token(http.token_file)
        if http.tls is not None:
            Certificate(http.tls)
    except SettingsError as error:
        return error.problems
    return []
