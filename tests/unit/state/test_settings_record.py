"""The record of the settings is there, or not there yet, or an error: never taken for missing."""

from pathlib import Path

import pytest

from learnd.daemon.errors import StoreError
from learnd.daemon.state.settings_record import read_settings_record, write_settings_record

RECORD = {"fingerprint": "f", "given": {"train": {}}, "defaults": {}}


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    assert read_settings_record(tmp_path) is None
    assert read_settings_record(tmp_path / "nowhere") is None
    write_settings_record(tmp_path, RECORD)
    assert read_settings_record(tmp_path) == RECORD


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"given": {}}',
        b'{"fingerprint": "a", "given": {}',
        b'{"fingerprint": "a", "settings": {}}',
    ],
)
def test_a_damaged_one_is_an_error_with_a_way_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"Nothing was changed.*backup, or remove it"):
        read_settings_record(tmp_path)


def test_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "settings.json").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        read_settings_record(tmp_path)
