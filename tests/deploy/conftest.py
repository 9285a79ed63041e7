"""Skips where the real Prometheus cannot be had, and fails there with `CI=true`."""

import pytest
from kafka_broker import required
from prometheus import tools


@pytest.fixture(autouse=True, scope="session")
def _tools() -> None:
    required(tools)
