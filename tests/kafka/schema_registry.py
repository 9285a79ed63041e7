"""A real schema registry for tests: Apicurio, in memory, through its Confluent-compatible interface."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kafka_broker import UnavailableError, cache_folder, free_ports
from server_process import JAVA, ServerProcess

ARTIFACT = "io.apicurio:apicurio-registry-app:2.5.11.Final:tar.gz:all"


class SchemaRegistry(ServerProcess):
    """A registry process: empty when it is started again."""

    def __init__(self, libs: Path) -> None:
        super().__init__("registry")
        (self._port,) = free_ports(1)
        (self._jar,) = libs.glob("apicurio-registry-app-*-runner.jar")
        self.url = f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def command(self) -> Sequence[str]:
        listening = [f"-Dquarkus.http.port={self._port}", "-Dquarkus.http.host=127.0.0.1"]
        return [*JAVA, "-Xmx384m", *listening, "-jar", str(self._jar)]

    def answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def register(self, subject: str, schema: Any, references: list[dict[str, Any]] | None = None) -> int:
        """Register a schema and return its number."""
        body = {"schema": json.dumps(schema), "schemaType": "AVRO", "references": references or []}
        request = urllib.request.Request(
            f"{self.url}/subjects/{subject}/versions",
            json.dumps(body).encode(),
            {"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(json.loads(answer.read())["id"])


@functools.cache
def shared_registry() -> SchemaRegistry:
    """Return the registry of this test session. Raises UnavailableError."""
    return SchemaRegistry(_jars()).start()


def _jars() -> Path:
    """Return the folder of the registry's jars, fetched by Maven where they are not there. Raises UnavailableError."""
    cache = cache_folder()
    libs = cache / ARTIFACT.replace(":", "_")
    if shutil.which("java") is None:
        raise UnavailableError("there is no java")
    if libs.is_dir():
        return libs
    if shutil.which("mvn") is None:
        raise UnavailableError(f"the schema registry is not in {cache}, and there is no mvn to fetch it")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as new:
        command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={new}"]
        done = subprocess.run(command, cwd=new, check=False, capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"Maven cannot fetch the schema registry: {done.stdout.strip()[-300:]}")
        (archive,) = Path(new).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(f"{new}/libs", filter="data")
        with contextlib.suppress(OSError):  # another process was quicker
            Path(new, "libs").rename(libs)
    return libs
