"""Skips where the real Prometheus cannot be had, and fails there with `CI=true`."""

import pytest
from kafka_broker import required
from prometheus import tools


@pytest.fixture(scope="session")
def real_prometheus() -> None:
    required(tools)
