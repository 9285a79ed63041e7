"""A real schema registry for tests: Apicurio, in memory, through its Confluent-compatible interface."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from kafka_broker import UnavailableError, _die_with_parent, _free_ports, cache_folder

ARTIFACT = "io.apicurio:apicurio-registry-app:2.5.11.Final:tar.gz:all"
_UP_WITHIN_S = 90.0


class SchemaRegistry:
    """A registry process, which can be killed and started again, empty then."""

    def __init__(self, libs: Path) -> None:
        (self._port,) = _free_ports(1)
        (jar,) = libs.glob("apicurio-registry-app-*-runner.jar")
        self.url = f"http://127.0.0.1:{self._port}/apis/ccompat/v7"
        self._folder = Path(tempfile.mkdtemp(prefix="learnd-registry-"))
        options = ["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        listening = [f"-Dquarkus.http.port={self._port}", "-Dquarkus.http.host=127.0.0.1"]
        self._command = ["java", *options, *listening, "-jar", str(jar)]
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    def start(self) -> SchemaRegistry:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  (one call of the system)
            )
        deadline = time.monotonic() + _UP_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.2)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def suspend(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

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

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
            return bool(answer.status == 200)
        return False


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
