"""Twenty kills of a daemon and three of its broker, while producers write: no record is lost, none trains twice."""

from pathlib import Path

import pytest
from kafka_broker import LocalBroker
from processes import Zygote
from test_exactness import train_through_kills


@pytest.mark.timeout(1200)
def test_twenty_kills_and_three_of_the_broker(mortal_broker: LocalBroker, zygote: Zygote, tmp_path: Path) -> None:
    train_through_kills(mortal_broker, zygote, tmp_path, kills=20, broker_kills=3)
