"""The page of a daemon that learns, in a real browser: what it shows, on which screens, and what one can do with it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from browser import NAMELESS, Browser, program
from kafka_broker import required
from processes import Daemon, Zygote, succeeded
from served import TOKEN, Served
from streams import json_lines, prepare, records

from learnd.daemon.http import watching
from learnd.daemon.operate.telemetry import Telemetry


@pytest.fixture
def daemon(zygote: Zygote, tmp_path: Path) -> Any:
    required(program)
    stream: list[dict[str, Any]] = records()
    for number in range(0, len(stream), 100):
        stream[number]["a"] = None
    folder = prepare(
        tmp_path / "run",
        json_lines(stream),
        source={"files": {"path": "stream.jsonl", "follow": True}},
        drift=[{"watch": "features", "detector": "psi", "reference": 500, "window": 200}],
        challengers=[{"name": "alike", "train": {"seed": 9}, "warm_up": 100}],
        http={"listen": "127.0.0.1:0", "token_file": "token"},
    )
    (folder / "token").write_text(TOKEN)
    daemon = zygote.start(folder, "run", "learnd.yaml")
    yield daemon
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


def address(daemon: Daemon) -> str:
    daemon.wait_for(lambda: "consuming" in daemon.stderr, "to consume")
    return next(text for text in daemon.stderr.split('"') if text.startswith("http://127.0.0.1:"))


def press(browser: Browser, focused: str, key: str, code: int) -> None:
    browser.script(f"document.querySelector({json.dumps(focused)}).focus()")
    for kind in ("rawKeyDown", "char", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "char" else {}
        browser.ask("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)


def test_it_shows_what_is_learned_and_commands_for_those_who_know_the_token(daemon: Daemon) -> None:
    url = address(daemon)
    with Browser() as browser:
        browser.look(width=1280, height=900)
        browser.open(f"{url}/")
        browser.wait_for("document.getElementById('state')?.textContent === 'consuming'")
        browser.wait_for("document.querySelectorAll('#charts canvas').length === 6")
        browser.wait_for("/psi.*15 \\(1.0 %\\)/.test(document.getElementById('features').textContent)")
        browser.wait_for("document.getElementById('tiles').textContent.includes('samples1,485')")
        browser.wait_for("/challenger alike.*evidence/.test(document.getElementById('models').textContent)")
        assert not browser.script("document.getElementById('models-card').hidden")
        shown = browser.script("document.body.innerText")
        for part in ("checkpoint", "null", "file-0"):
            assert part in shown, shown
        scores = browser.script("document.querySelector('#charts [role=img]').ariaLabel")
        assert scores.startswith("Score, from")
        assert "model 0." in scores
        assert "no_change 0." in scores

        press(browser, "#charts details summary", "Enter", 13)
        browser.wait_for("document.querySelector('#charts details').open")
        browser.wait_for("document.querySelectorAll('#charts details tbody tr').length > 1")
        assert browser.script(NAMELESS) == 0
        settings = browser.script("document.getElementById('settings').textContent")
        assert json.loads(settings)["samples"]["label"]
        assert TOKEN not in settings

        assert browser.script("document.getElementById('commands').hidden")
        browser.script("document.getElementById('token').focus()")
        browser.ask("Input.insertText", text=TOKEN)
        press(browser, "[data-action=pause]", "Enter", 13)
        browser.wait_for("document.getElementById('outcome').textContent === 'pause: done'")
        browser.wait_for("document.getElementById('state').textContent === 'paused'")
        press(browser, "[data-action=resume]", "Enter", 13)
        browser.wait_for("document.getElementById('state').textContent === 'consuming'")
        browser.wait_for("document.getElementById('events').textContent.includes('resume by the page: done')")

        light = browser.script("getComputedStyle(document.body).backgroundColor")
        browser.look(width=390, height=844, dark=True)
        browser.wait_for(f"getComputedStyle(document.body).backgroundColor !== {json.dumps(light)}")
        browser.wait_for("document.documentElement.scrollWidth <= 390")
        assert browser.troubles == []
        paths = {request.removeprefix(url) for request in browser.requests}
        assert {"/", "/v1/live", "/v1/control/pause", "/v1/control/resume"} <= paths
        assert all(path in {"/", "/v1/live"} or path.startswith("/v1/control/") for path in paths)


def test_it_says_why_a_daemon_is_not_ready_hangs_or_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    required(program)
    with Served() as served, Browser() as browser:
        telemetry = Telemetry(served.metrics, served.health, None, total_known=False)
        served.status = {**telemetry.status(), "lag_unit": "records", "unread": 0, "queued": 13_238}

        def shown(state: str, reason: str, tiles: str) -> None:
            texts = {"state": state, "reason": reason, "tiles": tiles}
            for place, text in texts.items():
                browser.wait_for(f"/{text}/.test(document.getElementById({json.dumps(place)})?.textContent)")

        served.health.entered("consuming")
        browser.open(f"http://127.0.0.1:{served.server.port}/")
        shown("^consuming, not ready$", "^the source cannot be reached$", "records; 13,238 samples wait in the queue")
        served.health.reached(True)
        shown("^consuming$", "^$", "samples00 a second")
        served.health._beat_s -= 400
        shown("^consuming, not ready$", "^the loop has made no progress for 40. s$", "nothing trains any more")
        served.status = {**served.status, "paused": "by a rule"}
        served.health.entered("paused")
        shown("^paused$", "^paused: by a rule$", "a second")
        served.health.failed("the disk is gone")
        shown("^failed$", "^the loop has ended: the disk is gone$", "nothing trains any more")
        browser.look(width=390, height=844)
        browser.wait_for("document.documentElement.scrollWidth <= 390")
        monkeypatch.setattr(watching, "_EVERY_S", 60.0)
        shown("^no answer$", "what is shown is old$", "samples")
        assert browser.troubles == []
