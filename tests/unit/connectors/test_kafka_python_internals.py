"""The private functions of kafka-python that are replaced are checked before anything connects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import kafka
import pytest
from kafka.consumer.fetcher import Fetcher

from learnd.connectors.kafka.clients import connect
from learnd.connectors.kafka.clients.kafka_python_internals import check_internals
from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.kafka.publishing import DeadLetterTopic
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.source import KafkaSource
from learnd.daemon.errors import OutputError, SourceError
from learnd.daemon.values import RecordFormat

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic="t")
MESSAGE = rf"kafka-python {kafka.__version__}: .*Fetcher\._create_fetch_requests differs.*kafka-python==3\.0\.12"


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    check_internals.cache_clear()
    yield
    check_internals.cache_clear()


@pytest.fixture(params=["changed", "gone"])
def _other_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "changed":
        monkeypatch.setattr(Fetcher, "_create_fetch_requests", lambda self: self.requests())
    else:
        monkeypatch.delattr(Fetcher, "_create_fetch_requests")


def test_the_installed_version_is_the_known_one() -> None:
    check_internals()


@pytest.mark.usefixtures("_other_version")
def test_no_connection_is_made_with_functions_that_are_not_known() -> None:
    for make in (connect.consumer, connect.admin, lambda settings: connect.producer(settings, "t")):
        with pytest.raises(SourceError, match=MESSAGE):
            make(SETTINGS)


@pytest.mark.usefixtures("_other_version")
def test_a_source_and_an_output_stop_at_once() -> None:
    source = KafkaSource(SETTINGS, RecordFormat("json"), Path())
    source.open({}, [])
    with pytest.raises(SourceError, match=MESSAGE):
        [source.read(0.1) for _ in range(100)]
    source.close()
    output = DeadLetterTopic(KafkaOutputSettings(topic="dead"), SETTINGS)
    with pytest.raises(OutputError, match=MESSAGE):
        output.open(None)
    output.close()
