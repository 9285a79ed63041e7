from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.kafka.python_client import connection_options
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.starts import Age, Earliest, Latest, Offsets, Since, parse_start, split_name
from daemon.settings import Settings, SourceChoice
from daemon.settings_file import as_file, load_settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("earliest", Earliest()),
        ("latest", Latest()),
        ("-90s", Age(90)),
        ("-2h", Age(7200)),
        ("-3d", Age(259_200)),
        ("1970-01-02T00:00:00Z", Since(86_400)),
        ("1970-01-02", Since(86_400)),
        ("1970-01-02T01:00:00+01:00", Since(86_400)),
        ({"clicks/0": 12}, Offsets({"clicks/0": 12})),
    ],
)
def test_starts(given: Any, expected: object) -> None:
    assert parse_start(given) == expected
    KafkaSettings(topic="clicks", start=given)


@pytest.mark.parametrize(
    "given", ["", "newest", "2h", "-2w", "-h", "yesterday", "1969-01-01", {"clicks": 3}, {"a/x": 3}]
)
def test_a_start_that_means_nothing_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings(topic="clicks", start=given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"topic": "a", "pattern": "b"},
        {"topic": []},
        {"topic": ["a", ""]},
        {"pattern": "(("},
        {"topic": "a", "start": {"a/0": -1}},
        {"topic": "a", "tls": {"certificate": "x"}},
        {"topic": "a", "sasl": {"mechanism": "PLAIN", "username": "u"}},
        {"topic": "a", "sasl": {"mechanism": "OAUTHBEARER", "username": "u", "token_path": "t"}},
        {"topic": "a", "sasl": {"mechanism": "KERBEROS"}},
    ],
)
def test_what_does_not_fit_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings(**given)


@pytest.mark.parametrize("name", ["clicks", "/0", "clicks/", "clicks/-1", "clicks/1.0", "clicks/²"])
def test_what_names_no_partition(name: str) -> None:
    with pytest.raises(ValueError, match="does not name a partition"):
        split_name(name)


def test_servers_are_a_list_or_a_text() -> None:
    assert KafkaSettings(topic="a", bootstrap_servers="a:1, b:2").servers == ["a:1", "b:2"]
    assert KafkaSettings(topic="a", bootstrap_servers=["a:1", "b:2"]).servers == ["a:1", "b:2"]


def settings_with_secret(folder: Path) -> Settings:
    (folder / "password").write_text("open sesame\n")
    (folder / "learnd.yaml").write_text(
        "source: {kafka: {topic: clicks, tls: {ca: ca.pem}, sasl: {mechanism: SCRAM-SHA-512, username: ali, "
        "password_file: password}}}\nsamples: {features: {a: float}, label: y}\n"
    )
    return load_settings(folder / "learnd.yaml")


def test_a_secret_from_a_file_reaches_the_client_and_nothing_else(tmp_path: Path) -> None:
    settings = settings_with_secret(tmp_path)
    options = connection_options(settings.source.settings)  # type: ignore[arg-type]
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_plain_password"] == "open sesame"
    assert options["ssl_cafile"] == str(tmp_path / "ca.pem")
    for shown in (repr(settings), str(settings.source.dump()), str(as_file(settings))):
        assert "sesame" not in shown


def test_settings_that_were_kept_without_their_secrets_are_reached_with_the_present_ones(tmp_path: Path) -> None:
    settings = settings_with_secret(tmp_path)
    kept = Settings.model_validate(as_file(settings)).source
    source = kept.with_access_of(settings.source)
    assert connection_options(source.settings)["sasl_plain_password"] == "open sesame"  # type: ignore[arg-type]
    files = SourceChoice.parse({"files": {"path": "a"}})
    assert files.with_access_of(settings.source) == files
