"""The clients that tests run with."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_sources import chosen


@pytest.fixture(params=["kafka-python", pytest.param("confluent", marks=pytest.mark.slow)])
def client(request: pytest.FixtureRequest) -> Iterator[str]:
    """Have sources opened with each of the clients: the second one goes through the conformance tests in any case."""
    chosen["client"] = request.param
    yield request.param
    chosen["client"] = "kafka-python"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Overlook that kafka-python leaves sockets that could not connect to the garbage collector."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(autouse=True)
def _sockets_of_this_test_alone() -> Iterator[None]:
    yield
    gc.collect()
