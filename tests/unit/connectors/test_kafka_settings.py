from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from learnd.connectors.kafka.clients.kafka_python_connection import kafka_python_options
from learnd.connectors.kafka.partition_names import split_name
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.starts import Age, Earliest, Latest, Offsets, Since, parse_start
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.first_look import doubts, problems
from learnd.daemon.config.record import as_file
from learnd.daemon.config.settings import Settings, SourceChoice
from learnd.daemon.errors import SettingsError


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
    "given", ["", "newest", "2h", "-2w", "-h", "yesterday", "1969-01-01", {"clicks": 3}, {"a/x": 3}, {"clikcs/0": 3}]
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
        {"topic": ["a", "a"]},
        {"topic": "a", "bootstrap_servers": ""},
        {"topic": "a", "bootstrap_servers": []},
        {"topic": "a", "bootstrap_servers": "broker"},
        {"topic": "a", "bootstrap_servers": ["a:9092", "b:0"]},
        {"topic": "a", "bootstrap_servers": "a:9092,"},
        {"topic": "a", "group": ""},
        {"pattern": "click.*", "start": {"clacks/0": 3}},
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
    assert KafkaSettings(topic="a", bootstrap_servers="[::1]:9092").servers == ["[::1]:9092"]


def test_a_password_in_the_address_of_the_registry_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(topic="a", registry={"url": "https://ali:sesame@registry:8081"})  # type: ignore[arg-type]
    (error,) = caught.value.errors()
    assert "username and password_file" in error["msg"]
    assert "sesame" not in error["msg"]


WHOLE = {"samples": {"features": {"a": "float"}, "label": "y"}, "source": {"kafka": {"topic": "clicks"}}}
ELSEWHERE = {"topic": "clicks", "bootstrap_servers": "elsewhere:9092"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dead_letters": {"kafka": {"topic": "clicks"}}}, "dead_letters.kafka.topic: source.kafka reads clicks"),
        ({"predictions": {"kafka": {"topic": "clicks"}}}, "predictions.kafka.topic: source.kafka reads clicks"),
        (
            {"predictions": {"kafka": {"topic": "clicks-scored"}}, "source": {"kafka": {"pattern": "clicks.*"}}},
            "predictions.kafka.topic: source.kafka reads clicks-scored",
        ),
        (
            {"predictions": {"kafka": {"topic": "out"}}, "dead_letters": {"kafka": {"topic": "out"}}},
            "predictions.kafka.topic: dead letters are written to out already",
        ),
        (
            {
                "source": {"stdin": {}},
                "predictions": {"kafka": ELSEWHERE},
                "dead_letters": {"kafka": {**ELSEWHERE, "bootstrap_servers": ["another:9092", "elsewhere:9092"]}},
            },
            "predictions.kafka.topic: dead letters are written to clicks already",
        ),
    ],
)
def test_what_is_written_must_not_come_back(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate({**WHOLE, **given})


def test_a_topic_of_the_same_name_elsewhere_is_another_one() -> None:
    letters = {"kafka": {**ELSEWHERE, "bootstrap_servers": "another:9092"}}
    Settings.model_validate({**WHOLE, "predictions": {"kafka": ELSEWHERE}, "dead_letters": letters})


def test_files_that_cannot_be_read_are_found_before_a_run(tmp_path: Path) -> None:
    path, password = tmp_path / "learnd.yaml", tmp_path / "password"
    password.write_text("sesame")
    path.write_text(
        "source:\n  kafka:\n    topic: clicks\n    tls:\n      ca: ca.pem\n      certificate: password\n"
        "      key: key.pem\n    sasl: {mechanism: OAUTHBEARER, token_path: token}\n"
        "samples: {features: {a: float}, label: y}\n"
        "predictions: {kafka: {topic: scored, bootstrap_servers: 'b:1', tls: {ca: other.pem}}}\n"
    )
    assert load_settings(path).source.name == "kafka", "what a state directory remembers may name files that are gone"
    with pytest.raises(SettingsError) as caught:
        load_settings(path, further=problems)
    assert caught.value.problems == [
        f"{path}:{line}: {key}: {tmp_path / name} cannot be read: No such file or directory"
        for line, key, name in (
            (5, "source.kafka.tls.ca", "ca.pem"),
            (7, "source.kafka.tls.key", "key.pem"),
            (8, "source.kafka.sasl.token_path", "token"),
            (10, "predictions.kafka.tls.ca", "other.pem"),
        )
    ]


@pytest.mark.parametrize(("tls", "expected"), [(None, ["source.kafka", "predictions.kafka"]), ({}, [])])
def test_a_password_that_goes_unencrypted_is_doubted(tls: Any, expected: list[str]) -> None:
    access = {"sasl": {"mechanism": "PLAIN", "username": "ali", "password": "sesame"}, "tls": tls}
    output = {"topic": "scored", "bootstrap_servers": "b:1", **access}
    given = {**WHOLE, "source": {"kafka": {"topic": "clicks", **access}}, "predictions": {"kafka": output}}
    found = list(doubts(Settings.model_validate(given)))
    assert found == [
        f"{key}: PLAIN without tls shows the password to whoever listens on the way to the brokers" for key in expected
    ]


def settings_with_secret(folder: Path) -> Settings:
    (folder / "password").write_text("open sesame\n")
    (folder / "learnd.yaml").write_text(
        "source: {kafka: {topic: clicks, tls: {ca: ca.pem}, sasl: {mechanism: SCRAM-SHA-512, username: ali, "
        "password_file: password}}}\nsamples: {features: {a: float}, label: y}\n"
    )
    return load_settings(folder / "learnd.yaml")


def test_a_secret_from_a_file_reaches_the_client_and_nothing_else(tmp_path: Path) -> None:
    settings = settings_with_secret(tmp_path)
    options = kafka_python_options(settings.source.settings)  # type: ignore[arg-type]
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_plain_password"] == "open sesame"
    assert options["ssl_cafile"] == str(tmp_path / "ca.pem")
    for shown in (repr(settings), str(settings.model_dump()), str(as_file(settings))):
        assert "sesame" not in shown


def test_settings_that_were_kept_without_their_secrets_are_reached_with_the_present_ones(tmp_path: Path) -> None:
    settings = settings_with_secret(tmp_path)
    kept = Settings.model_validate(as_file(settings)).source
    source = kept.with_access_of(settings.source)
    assert kafka_python_options(source.settings)["sasl_plain_password"] == "open sesame"  # type: ignore[arg-type]
    files = SourceChoice.parse({"files": {"path": "a"}})
    assert files.with_access_of(settings.source) == files
