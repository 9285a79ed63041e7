"""A real, single-node Apache Kafka broker (KRaft) for tests, and how to come by one.

From `KAFKA_BOOTSTRAP_SERVERS` where that is set; else from Apache's own jars, which Maven fetches once into a cache
outside the tree; else from Docker. Where there is none of these, `UnavailableError` says why.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from server_process import JAVA, ServerProcess

POM = Path(__file__).with_name("pom.xml")
IMAGE = "apache/kafka:4.1.0"
_UP_WITHIN_S = 300.0

SERVER = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{others}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=200
log.initial.task.delay.ms=200
log.retention.check.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class UnavailableError(Exception):
    """Raised where no broker can be started here, with the reasons."""


class Broker:
    """A broker, and what tests do with it. This one was there before, and stays."""

    own = False  # whether it may be killed

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap)

    def topic(
        self, partitions: int = 1, configs: Mapping[str, str] | None = None, name: str | None = None, replicas: int = 1
    ) -> str:
        """Create a topic and return its name: one of its own, unless given."""
        name = name or f"t-{uuid.uuid4().hex[:12]}"
        with contextlib.closing(self.admin()) as admin:
            admin.create_topics([NewTopic(name, partitions, replicas, topic_configs=dict(configs or {}))])
            admin.wait_for_topics([name])
        return name

    def producer(self, **configs: Any) -> KafkaProducer:
        return KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5, **configs)

    def produce(self, topic: str, values: Iterable[bytes | None], partition: int = 0, **fields: Any) -> None:
        """Append values to a partition, and wait until they are there."""
        producer = self.producer()
        for value in values:
            producer.send(topic, value=value, partition=partition, **fields)
        producer.flush()
        producer.close()

    def stop(self) -> None:
        pass


class LocalBroker(ServerProcess, Broker):
    """A broker process of Apache's jars."""

    own = True

    def __init__(
        self,
        libs: Path,
        listeners: Mapping[str, str] | None = None,
        extra: str = "",
        scram: Sequence[str] = (),
        advertised: Mapping[str, str] | None = None,
        archive: Path | None = None,
    ) -> None:
        """`listeners` are further ones, {name: protocol}, `advertised` the addresses of those that go by another one;
        `extra` goes into the settings, `scram` are users; into `archive` go the classes, when it ends."""
        listeners = listeners or {}
        port, controller, *ports = free_ports(2 + len(listeners))
        self._set_up(libs, f"127.0.0.1:{port}", memory="512m", archive=archive)
        self.listeners = {name: f"127.0.0.1:{other}" for name, other in zip(listeners, ports, strict=True)}
        text = SERVER.format(
            port=port,
            controller=controller,
            data=self.data,
            others="".join(f",{name}://{address}" for name, address in self.listeners.items()),
            advertised="".join(
                f",{name}://{(advertised or {}).get(name, address)}" for name, address in self.listeners.items()
            ),
            protocols="".join(f",{name}:{protocol}" for name, protocol in listeners.items()),
        )
        scram_options = [part for user in scram for part in ("--add-scram", user)]
        self._format(text + extra, "--standalone", "-t", cluster_id(), *scram_options)

    def command(self) -> Sequence[str]:
        return [*self._java, "kafka.Kafka", str(self._settings)]

    def answers(self) -> bool:
        return _answers(self.bootstrap)

    def _set_up(self, libs: Path, bootstrap: str, memory: str, archive: Path | None = None) -> None:
        ServerProcess.__init__(self, "kafka")
        Broker.__init__(self, bootstrap)
        classes = f"ArchiveClassesAtExit={archive}" if archive else f"SharedArchiveFile={_archive(libs)}"
        self._java = [*JAVA, f"-Xmx{memory}", f"-XX:{classes}", "-cp", f"{libs}/*"]
        self._settings = self.folder / "server.properties"
        self.data = self.folder / "data"

    def _format(self, settings: str, *options: str) -> None:
        """Write the settings, and make the directories that they name."""
        self._settings.write_text(settings)
        tool = ["kafka.tools.StorageTool", "format", "-c", str(self._settings), *options]
        subprocess.run([*self._java, *tool], check=True, capture_output=True)


def cluster_id() -> str:
    """Return a new one, in Kafka's form; never one that begins with a dash, which its tool takes for an option."""
    return "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


class Node(LocalBroker):
    """One of several brokers of a cluster."""

    def __init__(self, libs: Path, number: int, ports: Sequence[int], controllers: Sequence[int], cluster: str) -> None:
        self._set_up(libs, f"127.0.0.1:{ports[number]}", memory="384m")
        voters = ",".join(f"{index + 1}@127.0.0.1:{port}" for index, port in enumerate(controllers))
        text = SERVER.format(
            port=ports[number], controller=controllers[number], data=self.data, others="", advertised="", protocols=""
        )
        lines = [line for line in text.splitlines() if not line.startswith(("node.id", "controller.quorum"))]
        lines += [f"node.id={number + 1}", f"controller.quorum.voters={voters}", "controlled.shutdown.enable=true"]
        self._format("\n".join(lines) + "\n", "-t", cluster)


class Cluster(Broker):
    """Three brokers."""

    def __init__(self, libs: Path) -> None:
        ports = free_ports(6)
        cluster = cluster_id()
        self.brokers = [Node(libs, number, ports[:3], ports[3:], cluster) for number in range(3)]
        super().__init__(",".join(broker.bootstrap for broker in self.brokers))
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.await_answer()

    def stop(self) -> None:
        for broker in self.brokers:
            broker.stop()


class DockerBroker(Broker):
    """A broker in a container."""

    def __init__(self, docker: str) -> None:
        (port,) = free_ports(1)
        super().__init__(f"127.0.0.1:{port}")
        environment = {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_LOG_CLEANER_BACKOFF_MS": "200",
        }
        given = [argument for item in environment.items() for argument in ("-e", "=".join(item))]
        command = [docker, "run", "-d", "--rm", "-p", f"127.0.0.1:{port}:{port}", *given, IMAGE]
        self._docker = docker
        self._container = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        atexit.register(self.stop)
        deadline = time.monotonic() + _UP_WITHIN_S
        while not _answers(self.bootstrap):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker in {IMAGE} does not answer")
            time.sleep(0.5)

    def stop(self) -> None:
        subprocess.run([self._docker, "kill", self._container], check=False, capture_output=True)
        atexit.unregister(self.stop)


@functools.cache
def shared_broker() -> Broker:
    """Return the broker of this test session. Raises UnavailableError."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return Broker(given)
    reasons = []
    for way in (own_broker, _in_docker):
        try:
            return way()
        except UnavailableError as error:
            reasons.append(str(error))
    raise UnavailableError(f"no Kafka broker for tests: KAFKA_BOOTSTRAP_SERVERS is not set; {'; '.join(reasons)}")


def own_broker(**options: Any) -> LocalBroker:
    """Return a broker of one's own, which may be killed, with options of LocalBroker. Raises UnavailableError."""
    return LocalBroker(_prepared(), **options).start()


def own_cluster() -> Cluster:
    """Return three brokers of one's own. Raises UnavailableError."""
    return Cluster(_prepared())


def required(make: Any) -> Any:
    """Return what `make()` does; where there is no broker, skip the test, or fail it in continuous integration."""
    try:
        return make()
    except UnavailableError as error:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(str(error))
        pytest.skip(str(error))


def cache_folder() -> Path:
    """Return where what Maven fetched is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "learnd-tests"


@functools.cache
def _jars() -> Path:
    """Return the folder of Kafka's jars, fetched by Maven where they are not there yet. Raises UnavailableError."""
    cache = cache_folder()
    libs = cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}"
    if shutil.which("java") is None:
        raise UnavailableError("there is no java")
    if libs.is_dir():
        return libs
    if shutil.which("mvn") is None:
        raise UnavailableError(f"Kafka is not in {cache}, and there is no mvn to fetch it")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as new:
        target = f"-DoutputDirectory={new}/libs"
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", target]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"Maven cannot fetch Kafka: {done.stdout.strip()[-300:]}")
        with contextlib.suppress(OSError):  # another process was quicker
            Path(new, "libs").rename(libs)
    return libs


@functools.cache
def _prepared() -> Path:
    """Return the folder of Kafka's jars, with an archive of their classes as Java holds them. Raises UnavailableError.

    A broker that maps them starts with three fifths of the work, and tests start some thirty.
    """
    libs = _jars()
    if not _archive(libs).exists():
        with tempfile.TemporaryDirectory(dir=libs.parent) as new:
            broker = LocalBroker(libs, archive=Path(new, "classes")).start()
            broker.end()
            broker.stop()
            with contextlib.suppress(OSError):  # this Java does not make archives
                Path(new, "classes").rename(_archive(libs))
    return libs


def _archive(libs: Path) -> Path:
    """Where the archive is; Java starts without one that is missing, or that another version of it has made."""
    return libs.with_suffix(".classes")


def _in_docker() -> Broker:
    docker = shutil.which("docker")
    if docker is None:
        raise UnavailableError("there is no docker")
    if subprocess.run([docker, "info"], check=False, capture_output=True).returncode:
        raise UnavailableError("docker does not run")
    return DockerBroker(docker)


def _answers(bootstrap: str) -> bool:
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=3000, request_timeout_ms=3000)
        with contextlib.closing(admin):
            admin.list_topics()
    except (OSError, KafkaError):
        return False
    return True


def free_ports(count: int) -> Sequence[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
