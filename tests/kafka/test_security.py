"""Each way to encrypt and to authenticate, on a broker set up for it, with right and wrong credentials."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from kafka_broker import LocalBroker, own_broker, required
from kafka_sources import chosen
from processes import Zygote, refused, succeeded, summary

from learnd.connectors.kafka.clients.contract import Message
from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.kafka.publishing import DeadLetterTopic
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.source import KafkaSource
from learnd.daemon.errors import OutputError, SourceError
from learnd.daemon.values import RecordFormat

pytestmark = pytest.mark.usefixtures("client")

PATIENCE_S = 200.0
LISTENERS = {"SASL": "SASL_PLAINTEXT", "SASLTLS": "SASL_SSL", "TLS": "SSL"}
MODULES = "org.apache.kafka.common.security"
EXTRA = """
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
{sasl}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.both
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.tls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
"""
SASL = """
listener.name.{listener}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_ali="open sesame";
listener.name.{listener}.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.{listener}.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.{listener}.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.{listener}.oauthbearer.sasl.server.callback.handler.class={modules}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
"""  # noqa: E501  (a settings file has no continuation lines here)


@dataclass
class Secured:
    broker: LocalBroker
    topic: str
    folder: Path  # ca.pem, other.pem, client.pem, client.key, expired.pem, expired.key


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    subject = ["-subj", f"/CN={name}", "-days", "2", "-nodes"]
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(folder: Path, name: str, *names: str, days: int = 2) -> None:
    """Make a key and a certificate of the authority `ca`, for these host names."""
    request = ["-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key"]
    openssl(folder, "req", *request, "-out", f"{name}.csr")
    (folder / "names").write_text(f"subjectAltName={','.join(names)}\n" if names else "")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", str(days), "-extfile", "names"]
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority(folder, "ca")
    authority(folder, "other")
    certificate(folder, "broker", "IP:127.0.0.1")
    certificate(folder, "client")
    certificate(folder, "expired", days=0)
    (folder / "broker.both").write_text((folder / "broker.key").read_text() + (folder / "broker.pem").read_text())
    sasl = "".join(SASL.format(listener=name, modules=MODULES) for name in ("sasl", "sasltls"))
    users = [f"SCRAM-SHA-{bits}=[name=ali,password=open sesame]" for bits in (256, 512)]
    extra = EXTRA.format(sasl=sasl, folder=folder)
    broker: LocalBroker = required(lambda: own_broker(listeners=LISTENERS, extra=extra, scram=users))
    topic = broker.topic()
    broker.produce(topic, [b"1", b"2", b"3"])
    yield Secured(broker, topic, folder)
    broker.stop()


def read(secured: Secured, listener: str, **settings: Any) -> list[object]:
    """Return the values of the topic, read by way of a listener. Raises what the source raises."""
    servers = secured.broker.listeners[listener]
    given = KafkaSettings.model_validate(
        {"bootstrap_servers": servers, "topic": secured.topic, "group": None, **chosen, **settings}
    )
    source = KafkaSource(given, RecordFormat("json"))
    source.open({}, [])
    found: list[object] = []
    deadline = time.monotonic() + PATIENCE_S
    try:
        while len(found) < 3 and time.monotonic() < deadline:
            batch = source.read(0.1)
            found += batch.values if batch is not None else []
    finally:
        source.close()
    return found


def read_until(source: KafkaSource, deadline: float) -> None:
    while time.monotonic() < deadline:
        source.read(0.1)


def password(mechanism: str, secret: str = "open sesame") -> dict[str, Any]:
    return {"mechanism": mechanism, "username": "ali", "password": secret}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_names_and_passwords(secured: Secured, mechanism: str) -> None:
    assert read(secured, "SASL", sasl=password(mechanism)) == [b"1", b"2", b"3"]
    with pytest.raises(SourceError, match="the broker refuses") as caught:
        read(secured, "SASL", sasl=password(mechanism, "open barley"))
    assert "barley" not in str(caught.value)


def token(claims: Mapping[str, Any]) -> str:
    parts = [{"alg": "none"}, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def test_tokens_from_a_file(secured: Secured, tmp_path: Path) -> None:
    path = tmp_path / "token"
    now = int(time.time())
    path.write_text(token({"sub": "ali", "iat": now, "exp": now + 3600}))
    sasl = {"mechanism": "OAUTHBEARER", "token_path": str(path)}
    assert read(secured, "SASL", sasl=sasl) == [b"1", b"2", b"3"]
    path.write_text(token({"sub": "ali", "iat": now - 7200, "exp": now - 3600}))
    with pytest.raises(SourceError, match="the broker refuses"):
        read(secured, "SASL", sasl=sasl)


def test_encryption_with_a_password(secured: Secured) -> None:
    tls = {"ca": str(secured.folder / "ca.pem")}
    assert read(secured, "SASLTLS", tls=tls, sasl=password("PLAIN")) == [b"1", b"2", b"3"]


def test_a_certificate_of_its_own(secured: Secured) -> None:
    own = {name: str(secured.folder / file) for name, file in (("certificate", "client.pem"), ("key", "client.key"))}
    assert read(secured, "TLS", tls={"ca": str(secured.folder / "ca.pem"), **own}) == [b"1", b"2", b"3"]


def test_certificates_that_are_not_accepted(secured: Secured) -> None:
    tls = {"ca": str(secured.folder / "ca.pem")}
    other = {"certificate": str(secured.folder / "other.pem"), "key": str(secured.folder / "other.key")}
    port = secured.broker.listeners["SASLTLS"].rpartition(":")[2]
    with pytest.raises(SourceError, match=r"the broker refuses.*certificate verify failed"):
        read(secured, "SASLTLS", tls={"ca": str(secured.folder / "other.pem")}, sasl=password("PLAIN"))
    with pytest.raises(SourceError, match=r"the broker refuses.*(mismatch|verify failed)"):
        read(secured, "SASLTLS", bootstrap_servers=f"localhost:{port}", tls=tls, sasl=password("PLAIN"))
    with pytest.raises(SourceError, match=r"the broker refuses.*(?i:certificate)"):
        read(secured, "TLS", tls=tls)
    with pytest.raises(SourceError, match="the broker refuses"):
        read(secured, "TLS", tls={**tls, **other})


def test_a_certificate_that_has_expired(secured: Secured) -> None:
    own = {name: str(secured.folder / file) for name, file in (("certificate", "expired.pem"), ("key", "expired.key"))}
    with pytest.raises(SourceError, match="the broker refuses"):
        read(secured, "TLS", tls={"ca": str(secured.folder / "ca.pem"), **own})


def test_a_wrong_password_of_an_output(secured: Secured) -> None:
    source = {"bootstrap_servers": secured.broker.listeners["SASL"], "topic": "clicks", **chosen}
    given = KafkaSettings.model_validate({**source, "sasl": password("PLAIN", "open barley")})
    output = DeadLetterTopic(KafkaOutputSettings(topic=secured.topic), given)
    try:
        with pytest.raises(OutputError, match="dead_letters: the broker refuses") as caught:
            open_and_write(output)
    finally:
        output.close()
    assert "barley" not in str(caught.value)


def open_and_write(output: DeadLetterTopic) -> None:
    output.open(None)
    output.append([Message(None, b"1")])
    output.mark()
    output.sync()


OUTPUT = """
source: {{kafka: {{bootstrap_servers: "{servers}", topic: {topic}, group: null, client: {client}, sasl: {sasl}}}}}
samples: {{features: {{a: float}}, label: y}}
model: {{hidden: [4]}}
train: {{max_wait_ms: 10, xla: false}}
dead_letters: {{max_rate: 1.0, kafka: {{topic: {dead}}}}}
checkpoint: {{dir: state, every: {{samples: 1, seconds: 0.2}}}}
http: {{listen: null}}
"""


def test_a_right_of_an_output_that_is_withdrawn_ends_the_run(secured: Secured, zygote: Zygote, tmp_path: Path) -> None:
    broker, servers = secured.broker, secured.broker.listeners["SASL"]
    topic, dead = broker.topic(), broker.topic()
    sasl, records = json.dumps(password("PLAIN")), [b'{"a": 1, "y": 1}', b"broken"]
    text = OUTPUT.format(servers=servers, topic=topic, dead=dead, sasl=sasl, **chosen)
    (tmp_path / "learnd.yaml").write_text(text)
    broker.produce(topic, records)
    daemon = zygote.start(tmp_path, "run", "learnd.yaml")
    daemon.wait_for(lambda: saved(tmp_path) == 2, "to save both records")
    with contextlib.closing(broker.admin()) as admin:
        denied = ResourcePattern(ResourceType.TOPIC, dead)
        admin.create_acls([ACL("User:ali", "*", ACLOperation.WRITE, ACLPermissionType.DENY, denied)])
    broker.produce(topic, records[::-1])
    message = refused(daemon.wait(), 74)
    assert "dead_letters: the broker refuses" in message
    assert "Nothing is lost" in message
    assert saved(tmp_path) == 2
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", "--set", "dead_letters.kafka=null")
    daemon.wait_for(lambda: saved(tmp_path) == 4, "to go on without it")
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())
    assert summary(tmp_path / "state")["samples_trained"] == 2


def saved(folder: Path) -> int:
    """Return how many records the newest checkpoint covers."""
    found = (folder / "state" / "checkpoints").glob("[!.]*/manifest.json")
    return max((sum(json.loads(path.read_text())["positions"].values()) for path in found), default=0)


def test_no_right_to_a_group_is_needed(secured: Secured) -> None:
    topic = secured.broker.topic()
    secured.broker.produce(topic, [b"1", b"2", b"3"])
    of_another = [
        ACL("User:eve", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, ResourcePattern(ResourceType.GROUP, "*"))
    ]
    with contextlib.closing(secured.broker.admin()) as admin:
        admin.create_acls(of_another)  # so that nobody else has any
        try:
            for group in (None, "learnd"):
                assert read(secured, "SASL", topic=topic, group=group, sasl=password("PLAIN")) == [b"1", b"2", b"3"]
        finally:
            admin.delete_acls(of_another)


def test_a_right_that_is_withdrawn(secured: Secured) -> None:
    broker, servers = secured.broker, secured.broker.listeners["SASL"]
    topic = broker.topic()
    broker.produce(topic, [b"1", b"2"])
    given = {"bootstrap_servers": servers, "topic": topic, "group": None, "discover_every_s": 0.2, **chosen}
    source = KafkaSource(KafkaSettings.model_validate({**given, "sasl": password("PLAIN")}), RecordFormat("json"))
    source.open({}, [])
    deadline = time.monotonic() + PATIENCE_S
    try:
        while source.read(0.1) is None:
            assert time.monotonic() < deadline
        with contextlib.closing(broker.admin()) as admin:
            denied = ResourcePattern(ResourceType.TOPIC, topic)
            admin.create_acls([ACL("User:ali", "*", ACLOperation.READ, ACLPermissionType.DENY, denied)])
        broker.produce(topic, [b"3", b"4"])
        with pytest.raises(SourceError, match="the broker refuses"):
            read_until(source, deadline)
    finally:
        source.close()
