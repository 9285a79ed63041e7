"""Commands over HTTP to a daemon that is killed: each acts once, whatever its client has heard of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from answering import asked, sent
from processes import Zygote, history, killed, refused, succeeded
from served import TOKEN, make_certificate
from streams import json_lines, prepare, records

FOLLOWING = {"files": {"path": "stream.jsonl", "follow": True}}
RUN = ("run", "learnd.yaml", "--json")


def prepared(folder: Path, **http: Any) -> Path:
    prepare(folder, source=FOLLOWING, http={"listen": "127.0.0.1:0", "token_file": "token", **http})
    (folder / "token").write_text(TOKEN)
    return folder


def test_a_command_is_sent_again_after_a_kill_and_acts_once(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    rate = {"id": "rate-1", "arguments": {"times": 0.5, "over": 300}, "why": "to see", "by": "me"}
    daemon = zygote.start(folder, *RUN, failpoints="inbox.remove.before=kill@1")
    given = sent(daemon, "learning_rate", **rate)
    assert given is None or given[0] == 202  # it dies with the command in the journal
    killed(daemon.wait())
    assert history(folder / "state", "command") == []

    daemon = zygote.start(folder, *RUN)
    daemon.wait_for(lambda: "consuming" in daemon.stderr, "to repeat the journal")
    status, body = asked(daemon, "learning_rate", **rate)
    assert (status, body["outcome"], body["by"], body["why"]) == (200, "done", "me", "to see")
    assert asked(daemon, "pause", id="pause-1")[0] == 200
    daemon.wait_for(lambda: "paused" in daemon.stderr, "to pause")
    killed(daemon.kill())

    daemon = zygote.start(folder, *RUN)
    daemon.wait_for(lambda: "paused" in daemon.stderr, "to be paused still")
    for action, command in (("learning_rate", rate), ("pause", {"id": "pause-1"})):
        status, body = asked(daemon, action, **command)
        assert (status, body["id"], body["outcome"]) == (200, command["id"], "done")
    assert asked(daemon, "resume", id="resume-1")[0] == 200
    status, body = asked(daemon, "resume", id="resume-2")
    assert (status, body["outcome"], body["reason"]) == (409, "refused", "training is not paused")
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())
    told = [(line["id"], line["outcome"]) for line in history(folder / "state", "command")]
    assert told == [("rate-1", "done"), ("pause-1", "done"), ("resume-1", "done"), ("resume-2", "refused")]


def test_over_https_status_answers_too_and_a_token_that_is_none_ends_the_start(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run", tls={"certificate": "certificate.pem", "key": "key.pem"})
    make_certificate(folder, "learnd")
    (folder / "token").write_text("short")
    assert "http.token_file" in refused(zygote.run(folder, *RUN), 78)
    (folder / "token").write_text(TOKEN)
    daemon = zygote.start(folder, *RUN)
    daemon.wait_for(lambda: "consuming" in daemon.stderr, "to consume")
    status, _ = asked(daemon, "checkpoint")
    assert status == 200
    facts = succeeded(zygote.run(folder, "status", "state", "--json")).json()
    assert facts["url"].startswith("https://127.0.0.1:")
    assert facts["live"]["state"] == "consuming"
    (folder / "certificate.pem").unlink()
    assert "http.tls.certificate" in refused(zygote.run(folder, "run", "learnd.yaml", "--state", "other"), 78)
    daemon.signal(signal.SIGTERM)
    succeeded(daemon.wait())


def test_a_command_over_http_makes_the_model_that_the_same_one_of_ctl_makes(zygote: Zygote, tmp_path: Path) -> None:
    digests = set()
    for name in ("http", "ctl"):
        folder = prepared(tmp_path / name)
        (folder / "stream.jsonl").write_bytes(b"")
        daemon = zygote.start(folder, *RUN)
        daemon.wait_for(lambda daemon=daemon: "consuming" in daemon.stderr, "to consume")  # type: ignore[misc]
        if name == "http":
            assert asked(daemon, "learning_rate", arguments={"times": 3})[0] == 200
        else:
            succeeded(zygote.run(folder, "ctl", "state", "learning_rate", "times=3"))
            daemon.wait_for(lambda folder=folder: bool(history(folder / "state", "command")), "to obey")  # type: ignore[misc]
        (folder / "stream.jsonl").write_bytes(json_lines(records(300)))
        daemon.signal(signal.SIGTERM)
        succeeded(daemon.wait())
        succeeded(zygote.run(folder, *RUN, "--set", "source.files.follow=false"))
        digests.add(json.loads((folder / "state" / "summary.json").read_text())["digest"])
    assert len(digests) == 1
