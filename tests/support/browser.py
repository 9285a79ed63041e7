"""A real Chromium without a window, driven by its DevTools protocol.

It is the machine's own: too much belongs to it for a cache. Continuous integration installs it where it is missing.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from kafka_broker import UnavailableError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip
_PATIENCE_S = 60.0

# Of everything that can be reached by the keyboard or read aloud: what has no name.
NAMELESS = """[...document.querySelectorAll('input, button, summary, section, [role=img], [role=region]')].filter(
  (each) => !(each.textContent.trim() || each.ariaLabel || each.labels?.length
    || document.getElementById(each.getAttribute('aria-labelledby'))?.textContent.trim())).length"""


@functools.cache
def program() -> str:
    """Return where Chromium is. With `CI=true` it is installed where it is missing. Raises UnavailableError."""
    if (found := _found()) is not None:
        return found
    if os.environ.get("CI", "").lower() not in {"1", "true"} or shutil.which("apt-get") is None:
        raise UnavailableError("there is no Chromium (on Debian: apt install chromium)")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode:  # the lists of packages may be missing
        subprocess.run(["apt-get", "update"], check=False, capture_output=True)
        done = subprocess.run(install, check=False, capture_output=True, text=True)
    if (found := _found()) is None:
        raise UnavailableError(f"apt-get cannot install Chromium: {done.stderr.strip()[-300:]}")
    return found


def _found() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name)) is not None), None)


class Browser:
    """One page, within a `with`. `requests` are the addresses that it asked for, `troubles` what its console says."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.troubles: list[str] = []
        self._profile = tempfile.TemporaryDirectory(prefix="learnd-browser-", ignore_cleanup_errors=True)
        self._runner = asyncio.Runner()
        self._number = 0
        self._process = subprocess.Popen(
            [program(), *_OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._connect(self._port()))
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "_session"):
            self._runner.run(self._session.close())
        self._process.kill()
        self._process.wait()
        self._runner.close()
        self._profile.cleanup()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a method of the protocol."""
        return self._runner.run(asyncio.wait_for(self._ask(method, parameters), _PATIENCE_S))

    def open(self, url: str) -> None:
        self.ask("Page.navigate", url=url)

    def script(self, expression: str) -> Any:
        """Return what an expression is worth in the page. Fails if it raises."""
        told = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.script(expression):
            assert time.monotonic() < deadline, f"{expression} is not true: {self.troubles}"
            time.sleep(0.05)

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """See the page on a screen of this size and kind."""
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as a PNG."""
        told = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def _port(self) -> str:
        """Return where the browser listens, once it does."""
        file, deadline = Path(self._profile.name, "DevToolsActivePort"), time.monotonic() + _PATIENCE_S
        while not (file.exists() and "\n" in file.read_text()):
            assert self._process.poll() is None, "the browser has ended"
            assert time.monotonic() < deadline, "the browser does not start"
            time.sleep(0.05)
        return file.read_text().partition("\n")[0]

    async def _connect(self, port: str) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in await answer.json() if target["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    async def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(_PATIENCE_S)).data)
            if message.get("id") == self._number:
                assert "error" not in message, (method, message)
                result: dict[str, Any] = message["result"]
                return result
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.troubles.append(json.dumps(told["exceptionDetails"]))
        elif message["method"] == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.troubles.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif message["method"] == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning"}:
            self.troubles.append(json.dumps(told["args"]))
