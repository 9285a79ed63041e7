"""What tests of several folders share: the zygote, a real Kafka broker, and how they are dealt out to processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from processes import Zygote, shared_zygote

if TYPE_CHECKING:
    from kafka_broker import Broker, LocalBroker

TESTS = Path(__file__).parent

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one may take long over a single example
hypothesis.settings.load_profile("any machine")
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it, and so would the daemons that the tests start

_LONGEST_FIRST = ("kafka", "crash", "docs", "e2e", "deploy", "conformance", "unit/training")
_APART = ("docs", "e2e", "deploy", "unit/training")  # nothing that their tests share takes long to make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left with it at the end."""
    ranks = {folder: rank for rank, folder in enumerate(_LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(_folder(item.path), len(ranks)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests that share servers, or a run to compare with, to one process."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            folder = _folder(config.rootpath / file)
            scenario = test.partition("[")[2].rstrip("]").partition("-")[0] if folder == "crash" else ""
            return nodeid if folder in _APART else f"{file} {scenario}"

    return Scheduling(config, log)


def _folder(path: Path) -> str:
    return path.parent.relative_to(TESTS).as_posix()


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    return shared_zygote()


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
