"""`learnd report`: one page about a model, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import NAMELESS, Browser, program
from kafka_broker import required
from processes import Result, Zygote, refused, succeeded
from streams import json_lines, prepare, records


@pytest.fixture
def reported(zygote: Zygote, tmp_path: Path) -> Path:
    """The folder of a run with a challenger, and a report of it that was scored on a file, too."""
    folder = prepare(
        tmp_path / "run",
        json_lines(records()),
        challengers=[{"name": "alike", "train": {"seed": 9}, "warm_up": 100, "samples": 500}],
        validate={"prequential": {"windows": [200], "every": 250}, "holdout": {"share": 0.05, "every": 400}},
    )
    shown = [("run", "learnd.yaml"), ("status", "state"), ("checkpoints", "show", "state")]
    for arguments in shown:  # which model leads is in what is told
        assert re.search(r"(?m)^leads +(model|alike); alike \w+", succeeded(zygote.run(folder, *arguments)).stdout)
    (folder / "held_back.jsonl").write_bytes(json_lines(records(300, seed=5)) + b'{"a": 1}\n')
    result = succeeded(zygote.run(folder, "report", "learnd.yaml", "--evaluate", "held_back.jsonl"))
    assert "1 of 301 records could not be decoded" in result.stderr
    return folder


def test_it_shows_how_the_model_came_to_be(reported: Path) -> None:
    required(program)
    with Browser() as browser:
        browser.look(width=1280, height=900)
        browser.open((reported / "report.html").as_uri())
        browser.wait_for("document.querySelectorAll('#charts canvas').length > 3")
        scores = browser.script("document.querySelector('#charts [role=img]').ariaLabel")
        assert scores.startswith("accuracy, from 250 to ")
        for part in ("whole run 0.", "last 200 0.", "holdout 0.", "majority 0."):
            assert part in scores
        shown = browser.script("document.body.innerText")
        for part in ("challenger alike", "file-0", "what was predicted for which", "300 samples that did not train"):
            assert part in shown
        assert browser.script(NAMELESS) == 0
        browser.look(width=390, height=844, dark=True)
        browser.wait_for("document.documentElement.scrollWidth <= 390")
        assert browser.troubles == []
        assert set(browser.requests) == {(reported / "report.html").as_uri()}


def test_without_a_state_there_is_nothing_to_tell(zygote: Zygote, tmp_path: Path) -> None:
    assert "There is nothing to tell" in refused(zygote.run(tmp_path, "report", tmp_path), 74)


def test_what_cannot_be_written_is_told(zygote: Zygote, whole: tuple[Path, Result]) -> None:
    told = refused(zygote.run(whole[0], "report", "state", "--output", "no/such/report.html"), 74)
    assert "no/such/report.html cannot be written" in told
