"""Prometheus and Alertmanager, the real ones: Debian's packages, unpacked into a cache and never installed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kafka_broker import UnavailableError, cache_folder, free_ports
from processes import ROOT
from server_process import ServerProcess

RULES = ROOT / "deploy" / "prometheus" / "learnd.rules.yaml"

_PACKAGES = ("prometheus", "prometheus-alertmanager")
_TOOLS = ("prometheus", "promtool", "amtool")
_PATIENCE_S = 300.0


@functools.cache
def tools() -> Mapping[str, str]:
    """Return where the tools are, fetched where they are not there yet. Raises UnavailableError."""
    installed = {name: found for name in _TOOLS if (found := shutil.which(name)) is not None}
    if len(installed) == len(_TOOLS):
        return installed
    folder = cache_folder() / "prometheus-debian"
    if not folder.is_dir():
        _fetch(folder)
    return {name: str(folder / "usr" / "bin" / name) for name in _TOOLS}


def _fetch(folder: Path) -> None:
    if missing := [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]:
        raise UnavailableError(f"Prometheus is not in {folder}, and there is no {missing[0]} to fetch it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        done = _download(new)
        if done.returncode and os.geteuid() == 0:  # the lists of packages may be missing, which root alone can mend
            subprocess.run(["apt-get", "update"], check=False, capture_output=True)
            done = _download(new)
        if done.returncode:
            raise UnavailableError(f"apt-get cannot fetch Prometheus: {done.stderr.strip()[-300:]}")
        for package in Path(new).glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, Path(new, "unpacked")], check=True)
        with contextlib.suppress(OSError):  # another process was quicker
            Path(new, "unpacked").rename(folder)


def _download(folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["apt-get", "download", *_PACKAGES], cwd=folder, check=False, capture_output=True, text=True)


def checked(tool: str, *arguments: str | Path, stdin: bytes = b"") -> str:
    """Run a tool, and return what it prints. The test fails if it finds a problem."""
    done = subprocess.run([tools()[tool], *arguments], input=stdin, check=False, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def scraped(instance: str) -> bytes:
    """Return what Prometheus gets of a daemon, in its text format."""
    with urllib.request.urlopen(f"http://{instance}/metrics", timeout=10) as response:
        body: bytes = response.read()
        return body


class Prometheus(ServerProcess):
    """A server that scrapes instances of the job `learnd` and has learnd's rules."""

    def __init__(self, targets: Sequence[str], rules: Path = RULES, scrape_interval: str = "200ms") -> None:
        """`targets` are the `host:port` of the daemons."""
        super().__init__("prometheus")
        (port,) = free_ports(1)
        self._listen = f"127.0.0.1:{port}"
        configuration = {
            "global": {
                "scrape_interval": scrape_interval,
                "scrape_timeout": scrape_interval,
                "evaluation_interval": "500ms",
            },
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "learnd", "static_configs": [{"targets": list(targets)}]}],
        }
        (self.folder / "prometheus.yaml").write_text(json.dumps(configuration))  # JSON is YAML

    def command(self) -> Sequence[str]:
        return [
            tools()["prometheus"],
            f"--config.file={self.folder}/prometheus.yaml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={self._listen}",
        ]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._listen}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def reload(self) -> None:
        """Read the rules again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query, each with its labels and its value as a number."""
        given = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"http://{self._listen}/api/v1/query?{given}", timeout=30) as response:
                result = json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from error
        return [{"labels": sample["metric"], "value": float(sample["value"][1])} for sample in result]

    def alerts(self, range_: str = "") -> set[str]:
        """Return the names of the alerts that fire, or that did in a range before, such as `[1h]`."""
        firing = 'ALERTS{alertstate="firing"}'
        return {
            sample["labels"]["alertname"]
            for sample in self.query(f"last_over_time({firing}{range_})" if range_ else firing)
        }

    def await_data(self, expression: str) -> list[dict[str, Any]]:
        """Wait until an expression has a value that is a number, and return its samples."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (numbers := [sample for sample in self.query(expression) if sample["value"] == sample["value"]]):
            assert time.monotonic() < deadline, f"no data for {expression}"
            time.sleep(0.2)
        return numbers
