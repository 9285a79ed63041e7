"""One daemon a state directory, whatever happens to the others."""

import signal
from pathlib import Path

import pytest
from processes import Zygote, dead_letters, history, refused, succeeded, summary
from streams import json_lines, prepare, records


def test_a_second_daemon_is_refused_and_told_who_holds_the_directory(
    zygote: Zygote, digest: str, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "run")
    first = zygote.start(folder, "run", "learnd.yaml", "--json", failpoints="loop.call.after=stop@20")
    first.wait_until_stopped()
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 74)
    assert f"process {first.pid}" in message
    assert "--take-over" in message
    shown = succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).json()  # looking is allowed
    assert shown["samples_trained"] == 0
    first.signal(signal.SIGCONT)
    assert succeeded(first.wait()).json()["digest"] == digest


@pytest.fixture(scope="module")
def expected(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run over a stream with some bad records."""
    stream = records()
    for index in range(0, len(stream), 60):
        stream[index] = {**stream[index], "a": None}
    folder = prepare(tmp_path_factory.mktemp("expected") / "run", json_lines(stream))
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    return folder


@pytest.mark.parametrize(
    "failpoint", ["loop.updated=stop@40", "checkpoint.fence.before=stop@2", "checkpoint.rename.before=stop@2"]
)
def test_a_daemon_that_was_overtaken_never_publishes(
    zygote: Zygote, expected: Path, tmp_path: Path, failpoint: str
) -> None:
    folder = prepare(tmp_path / "run", (expected / "stream.jsonl").read_bytes())
    old = zygote.start(folder, "run", "learnd.yaml", failpoints=failpoint)
    old.wait_until_stopped()
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--take-over"))
    old.signal(signal.SIGCONT)
    assert "another daemon took over" in refused(old.wait(), 74)
    assert summary(folder / "state") == summary(expected / "state")
    assert history(folder / "state") == history(expected / "state")
    assert dead_letters(folder / "state") == dead_letters(expected / "state")
    again = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()
    assert again["digest"] == summary(expected / "state")["digest"]
    assert dead_letters(folder / "state") == dead_letters(expected / "state")
