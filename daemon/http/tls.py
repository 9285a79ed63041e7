"""The certificate of the server, taken up again when its files are renewed."""

from __future__ import annotations

import ssl

import structlog

from learnd.daemon.errors import SettingsError
from learnd.daemon.operate.settings import TlsSettings

log = structlog.get_logger("learnd.http")


class Certificate:
    """`context` serves the certificate that was taken up last."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises SettingsError if the files are not a certificate and its key."""
        self._settings = settings
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            self._seen = self._stamp()
            self._load(self.context)
        except OSError as error:
            raise SettingsError([f"http.tls: {self._problem(error)}"]) from error

    def renew(self) -> None:
        """Take up files that have changed; if they are no certificate and its key, keep the earlier one."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self._load(
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            )  # a context that refuses may be half changed
            self._load(self.context)
        except OSError as error:
            log.warning(
                "certificate_kept",
                reason=self._problem(error),
                consequence="the earlier certificate is served until its files are sound again",
            )
        else:
            log.info("certificate_renewed", certificate=str(self._settings.certificate))

    def _load(self, context: ssl.SSLContext) -> None:
        # Without a password to give, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(self._settings.certificate, self._settings.key, password="")

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes with the files. Raises OSError."""
        found = [path.stat() for path in (self._settings.certificate, self._settings.key)]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found)

    def _problem(self, error: OSError) -> str:
        files = f"{self._settings.certificate} and {self._settings.key}"
        return f"{files} cannot be used as a certificate and its key, in PEM form: {error.strerror or error}"
