"""Where a drill takes place: a daemon that runs on a live stream, and the real Prometheus, which watches it."""

from __future__ import annotations

import functools
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import yaml
from compression import compressed
from hindrance import HINDRANCE
from kafka_broker import LocalBroker, free_ports, own_broker, required
from live_stream import LiveStream, into_file, into_topic
from processes import Daemon, Result, Zygote, succeeded
from prometheus import RULES, Prometheus, scraped
from streams import write_settings

PATIENCE_S = 120.0

_USUAL: dict[str, Any] = {
    "source": {"files": {"path": "stream.jsonl", "follow": True}},
    "samples": {"features": {"a": "float", "b": "float"}, "label": "y", "event_time": "at"},
    "validate": {"prequential": {"windows": [200], "every": 50}},
    "checkpoint": {"every": {"samples": 1_000_000, "seconds": 1}},
    "dead_letters": {"max_rate": 1},
    "shutdown_timeout_s": 3,
}


class Scene:
    """What a drill can do to a daemon and to what is around it."""

    def __init__(self, zygote: Zygote, folder: Path, settings: Mapping[str, Any], stack: ExitStack) -> None:
        """It ends with `stack`."""
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.folder = folder
        self.state = folder / "state"
        self.stack = stack
        self.daemon: Daemon
        self.runs = False
        self._zygote = zygote
        self._settings = {**_USUAL, "http": {"listen": self.address}, **settings}
        (folder / "stream.jsonl").touch()
        write_settings(folder, **self._settings)
        self.stream = LiveStream(into_file(folder / "stream.jsonl"))

    def use_topic(self) -> None:
        """Let the stream come from a topic, in the place of a file."""
        self.topic = self.broker.topic()
        self.deleted = 0
        kafka = {"bootstrap_servers": self.broker.bootstrap, "topic": self.topic, "group": None}
        self._settings["source"] = {"kafka": {**kafka, "discover_every_s": 0.3}}
        write_settings(self.folder, **self._settings)
        self.stream = LiveStream(into_topic(self.broker, self.topic))

    def use_directory(self) -> None:
        """Let the stream come from a file in a directory of its own."""
        self.directory = self.folder / "in"
        self.directory.mkdir()
        self._settings["source"] = {"files": {"path": "in/*.jsonl", "follow": True}}
        write_settings(self.folder, **self._settings)
        self.stream = LiveStream(into_file(self.directory / "stream.jsonl"))

    def open(self) -> None:
        """Start all of it, and wait until the daemon trains, and Prometheus knows it and has the rules."""
        self.start()
        self.stack.callback(self.kill)
        self.stream.start()
        self.stack.callback(self.stream.stop)
        self.daemon.wait_for(lambda: self._trained() >= self.stream.past, "to train")
        rules = self.folder / "rules.yaml"
        self.prometheus = Prometheus([self.address], rules, "500ms").start()
        self.stack.callback(self.prometheus.stop)
        self.prometheus.await_data("learnd_samples_trained_total")
        # Only now: for its first five seconds Prometheus knows of no daemon at all.
        rules.write_text(json.dumps(compressed(yaml.safe_load(RULES.read_text()))))  # JSON is YAML
        self.prometheus.reload()
        self.prometheus.await_data("instance:learnd_checkpoint_age_seconds")
        self.await_(lambda: not self.prometheus.query("ALERTS"), "an alert fires, or is pending, before anything broke")

    @functools.cached_property
    def broker(self) -> LocalBroker:
        """A broker that may be killed. It runs when a drill begins."""
        broker = _broker()
        if not broker.running:  # a drill has failed in between
            broker.start()
        return broker

    def start(self, *overrides: str) -> None:
        """Start the daemon, with `key=value` in the place of settings."""
        changed = [part for override in overrides for part in ("--set", override)]
        self.daemon = self._zygote.start(self.folder, "run", "learnd.yaml", *changed)
        self.runs = True

    def stop(self) -> Result:
        """Ask the daemon to end, and wait for it."""
        self.daemon.signal(signal.SIGTERM)
        self.runs = False
        return self.daemon.wait()

    def _trained(self) -> float:
        name = b"learnd_samples_trained_total "
        with suppress(OSError):  # it does not listen yet
            return sum(float(line[len(name) :]) for line in scraped(self.address).splitlines() if line.startswith(name))
        return 0.0

    def kill(self) -> None:
        """Kill the daemon, if it runs."""
        if self.runs:
            self.runs = False
            self.daemon.kill()

    def tool(self, *arguments: str | Path) -> str:
        """Run a command of learnd beside the daemon, and return what it prints."""
        return succeeded(self._zygote.run(self.folder, *arguments)).stdout

    def why_not_ready(self) -> str:
        """Return what `/readyz` says."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/readyz", timeout=10) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def hinder(self, seconds: float | None) -> None:
        """Let each update of a hindered model take so many seconds more; None: for ever."""
        new = self.folder / f"{HINDRANCE}.new"
        new.write_text("" if seconds is None else str(seconds))
        new.rename(self.folder / HINDRANCE)

    def unhinder(self) -> None:
        (self.folder / HINDRANCE).unlink()

    def await_(self, happened: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> float:
        """Wait for something, and return for how many seconds."""
        began = time.monotonic()
        while not happened():
            waited_s = time.monotonic() - began
            assert waited_s < within_s, f"after {waited_s:.0f} s {what}; fired: {self.prometheus.alerts('[1h]')}"
            time.sleep(0.2)
        return time.monotonic() - began


@functools.cache
def _broker() -> LocalBroker:
    broker: LocalBroker = required(own_broker)
    return broker
