"""What `learnd status` tells of a daemon: while it starts, while it is paused, while it trains, and when it is gone."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from processes import Zygote, killed, refused, succeeded
from streams import json_lines, prepare, records

COUNT = 6000  # more than is read ahead
FOLLOWING = {"files": {"path": "stream.jsonl", "follow": True}}


def test_it_tells_what_a_daemon_does_from_its_start_to_its_end(zygote: Zygote, tmp_path: Path) -> None:
    http = {"listen": "127.0.0.1:0"}
    stream = json_lines(records(COUNT))
    more = {"http": http, "validate": {"holdout": {"share": 0.1, "every": 500}}}
    folder = prepare(tmp_path / "run", stream, source=FOLLOWING, **more)

    def status() -> dict[str, Any]:
        return succeeded(zygote.run(folder, "status", "state", "--json")).json()

    daemon = zygote.start(folder, "run", "learnd.yaml", failpoints="journal.segment.before=stop@1")
    daemon.wait_until_stopped()
    succeeded(zygote.run(folder, "ctl", "state", "pause", "--why", "not yet"))
    starting = status()
    assert (starting["state"], starting["process"], starting["live"]) == ("running", daemon.pid, None)
    assert starting["answers"] is False  # it is stopped
    assert (starting["checkpoint"], starting["samples"]) == (None, 0)
    (command,) = starting["commands"]
    assert (command["action"], command["why"]) == ("pause", "not yet")

    daemon.signal(signal.SIGCONT)
    daemon.wait_for(lambda: status()["paused"] is not None, "to be paused")
    paused = status()
    why = f"command at 0 samples by {command['by']}: not yet"
    assert (paused["state"], paused["paused"], paused["commands"]) == ("paused", why, [])
    assert f"paused       {why}" in succeeded(zygote.run(folder, "status", "state")).stdout
    assert paused["live"]["queued"] > 0
    assert 0 < paused["live"]["lag"]["file-0"] <= (folder / "stream.jsonl").stat().st_size

    succeeded(zygote.run(folder, "ctl", "state", "resume"))
    daemon.wait_for(lambda: "file-0" in (status()["live"]["lag"] or {"file-0": 1}), "to read")
    daemon.wait_for(lambda: sum(status()["live"]["lag"].values()) == 0 and status()["samples"] > 0, "to train it all")
    trained = status()
    assert (trained["state"], trained["paused"]) == ("consuming", None)
    live = trained["live"]
    assert (live["metric"], set(live["window_baselines"])) == ("accuracy", {"no_change", "majority"})
    assert 0.9 < sum(live["shares"].values()) < 1.1
    shown = succeeded(zygote.run(folder, "top", "state")).stdout
    assert all(part in shown for part in ("consuming", "accuracy, last 200", "majority", "waiting"))
    assert live["learning_rate"] == pytest.approx(0.003)
    assert (live["lag_unit"], live["drift"]) == ("bytes", {})
    assert 0 < live["holdout"]["accuracy"] <= 1
    assert live["uptime_s"] >= paused["live"]["uptime_s"] > 0
    assert trained["scores"]["accuracy"] > 0.5

    killed(daemon.kill())
    gone = status()
    assert (gone["state"], gone["process"], gone["url"], gone["live"]) == ("not running", None, None, None)
    assert gone["checkpoint"]["sequence"] >= 1
    assert trained["samples"] <= gone["samples"] + gone["journal"] <= COUNT
    told = succeeded(zygote.run(folder, "status", "state")).stdout
    assert ("samples more, behind the checkpoint" in told) == bool(gone["journal"])
    assert json.loads((folder / "state/settings.json").read_text())  # nothing was taken away


def test_a_folder_of_other_things_has_no_status(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for folder in (tmp_path, tmp_path / "missing"):
        assert "no daemon has started there" in refused(zygote.run(tmp_path, "status", folder), 74)
