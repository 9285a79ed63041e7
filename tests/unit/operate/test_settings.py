from __future__ import annotations

import pytest
from pydantic import ValidationError

from learnd.daemon.operate.settings import HttpSettings, split_address


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(listen: str, expected: tuple[str, int]) -> None:
    assert split_address(listen) == expected


@pytest.mark.parametrize("listen", ["9464", ":9464", "localhost", "localhost:65536", "::1:80", "a b:80", "x:-1", ""])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ValidationError, match="is not an address"):
        HttpSettings(listen=listen)


def test_http_can_be_switched_off() -> None:
    assert HttpSettings(listen=None).listen is None
