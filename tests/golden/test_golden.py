"""Models, scores, events and dead letters that are written down: what they were before a change, they are after it.

`python tests/golden/test_golden.py` writes them down anew, for a change that is meant to change them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "support"))

from golden_streams import OF_THE_MAKER, ONE_PROCESSOR, STREAMS
from processes import Zygote, succeeded, summary

EXPECTED = Path(__file__).with_name("expected.json")
_ROUNDING = 0.03  # what another way to round may change of a score
_OF_THE_CLOCK = ("checkpoint",)  # events that come by the second


@pytest.fixture(scope="module")
def old_processor() -> Iterator[Zygote]:
    zygote = Zygote(ONE_PROCESSOR)
    yield zygote
    zygote.close()


@pytest.mark.parametrize("name", STREAMS)
def test_comes_out_as_it_is_written_down(name: str, old_processor: Zygote, tmp_path: Path) -> None:
    found, expected = outcome(name, old_processor, tmp_path / "run"), json.loads(EXPECTED.read_text())[name]
    if "scores" in expected:
        assert found.pop("scores") == pytest.approx(expected.pop("scores"), abs=_ROUNDING)
    assert found == expected


def outcome(name: str, zygote: Zygote, folder: Path) -> dict[str, Any]:
    """Return what a run of a stream leaves behind, in short."""
    STREAMS[name](folder)
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json", "--set", "http.listen=null"))
    state = folder / "state"
    told = summary(state)
    lines = [json.loads(line) for line in (state / "scores.jsonl").read_text().splitlines()]
    events = [{**line, "time": ""} for line in lines if line["event"] not in _OF_THE_CLOCK]
    rejected = hashlib.sha256((state / "dead-letters.jsonl").read_bytes()).hexdigest()
    if name in OF_THE_MAKER:
        return {
            "scores": told["scores"] | {f"holdout {score}": value for score, value in told["holdout_scores"].items()},
            "samples": {key: value for key, value in told.items() if key.startswith("samples")},
            "events": Counter(event["event"] for event in events),
            "dead_letters": rejected,
        }
    del told["contest"]  # each decision is among the events
    return {
        "digest": told.pop("digest"),
        "summary": _digest(told),
        "events": f"{len(events)} {_digest(events)}",
        "dead_letters": rejected,
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_down() -> None:
    zygote = Zygote(ONE_PROCESSOR)
    with tempfile.TemporaryDirectory() as folder:
        found = {name: outcome(name, zygote, Path(folder, f"{number}")) for number, name in enumerate(STREAMS)}
    EXPECTED.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    write_down()
