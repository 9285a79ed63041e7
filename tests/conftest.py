"""What tests of several folders share: a real Kafka broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kafka_broker import Broker, LocalBroker

sys.path.insert(0, str(Path(__file__).parent / "kafka"))


@pytest.fixture(scope="session")
def broker() -> Broker:
    """A broker for the whole session, which ends with it; topics have names of their own."""
    from kafka_broker import required, shared_broker

    found: Broker = required(shared_broker)
    return found


@pytest.fixture(scope="module")
def mortal_broker() -> Iterator[LocalBroker]:
    """A broker for the tests of a module to kill, suspend and start again."""
    from kafka_broker import own_broker, required

    broker: LocalBroker = required(own_broker)
    yield broker
    broker.stop()
