"""What tests of several folders share: the zygote, a real Kafka broker, and how they are dealt out to processes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog
from processes import PROGRAMS, Zygote, shared_zygote

if TYPE_CHECKING:
    from kafka_broker import Broker, LocalBroker

TESTS = Path(__file__).parent

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one may take long over a single example
hypothesis.settings.load_profile("any machine")
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it, and so would the daemons that the tests start

_LONGEST_FIRST = ("kafka", "crash", "golden", "e2e", "docs", "deploy", "conformance", "unit/training")
# What the tests of these share is made quickly.
_APART = ("docs/test_documents.py", "drills/test_on_files.py", "e2e", "deploy", "unit/training")
_TOGETHER = ("unit/training/test_plain.py",)  # but these: all models are exported for them, in half a minute
_ON_A_BROKER = ("kafka", "conformance/test_sources.py", "conformance/test_outputs.py")


def pytest_configure(config: pytest.Config) -> None:
    """Let the daemons of all processes of this run compile each program once: half of the time of a short run."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="learnd-programs-", ignore_cleanup_errors=True)
        os.environ[PROGRAMS] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left with it at the end."""
    items.sort(key=lambda item: _first_of(_LONGEST_FIRST, item.path, otherwise=len(_LONGEST_FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests that share servers, or a run to compare with, to one process.

    Tests with brokers wait more than they compute. One process begins with them, and the others begin with the rest.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            path = config.rootpath / file
            if _is_in(_APART, path) and not _is_in(_TOGETHER, path):
                return nodeid
            scenario = test.partition("[")[2].rstrip("]").partition("-")[0] if _is_in(("crash",), path) else ""
            return f"{file} {scenario}"

        def _assign_work_unit(self, node: Any) -> None:
            for scope in self.workqueue:
                waits = _is_in(_ON_A_BROKER, config.rootpath / scope.partition("::")[0].partition(" ")[0])
                if waits == (node is self.nodes[0]):
                    self.workqueue.move_to_end(scope, last=False)
                    break
            super()._assign_work_unit(node)

    return Scheduling(config, log)


def _is_in(places: Sequence[str], path: Path) -> bool:
    return _first_of(places, path, otherwise=-1) >= 0


def _first_of(places: Sequence[str], path: Path, *, otherwise: int) -> int:
    """Return the number of the first place, a folder or a file below `tests`, that a file is in."""
    return next((number for number, place in enumerate(places) if path.is_relative_to(TESTS / place)), otherwise)


@pytest.fixture(autouse=True)
def _short_collections() -> Iterator[None]:
    """Keep what lives on after a test out of all later collections of garbage.

    Keras asks for one with each new model. Nearly all of it would go over TensorFlow's modules and over functions that
    were traced before, which never go: a quarter of a second, and more with each test.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a test does to the logs of its process: those behind it read theirs by `capsys` or `caplog`."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    return shared_zygote()


@pytest.fixture(scope="session")
def broker() -> Broker:
    """A broker for the whole session, which ends with it; topics have names of their own."""
    from kafka_broker import required, shared_broker

    found: Broker = required(shared_broker)
    return found


@pytest.fixture(scope="session")
def _mortal_broker() -> Iterator[LocalBroker]:
    from kafka_broker import own_broker, required

    broker: LocalBroker = required(own_broker)
    yield broker
    broker.stop()


@pytest.fixture
def mortal_broker(_mortal_broker: LocalBroker) -> LocalBroker:
    """A broker to kill, suspend and start again; it runs when a test begins."""
    if not _mortal_broker.running:  # a test has failed in between
        _mortal_broker.start()
    return _mortal_broker
