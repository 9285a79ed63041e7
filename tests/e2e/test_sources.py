"""Sources with trouble: files that are gone or rotate while nobody looks, pipes, directories of many forms."""

import gzip
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from processes import Daemon, Zygote, history, killed, refused, succeeded, summary
from streams import RECORDS, json_lines, prepare, records

FOLLOWING = {"files": {"path": "stream.jsonl", "follow": True}}


def stop_when_trained(daemon: Daemon, state: Path, samples: int) -> dict[str, Any]:
    """Stop a daemon that follows its stream once it has trained so many samples; return its summary."""
    daemon.wait_for(lambda: trained(state) >= samples, f"to train {samples} samples")
    daemon.signal(signal.SIGTERM)
    return succeeded(daemon.wait()).json()


def trained(state: Path) -> int:
    """Return how many samples a checkpoint says were trained."""
    try:
        return max((int(line["samples"]) for line in history(state, "checkpoint")), default=0)
    except (FileNotFoundError, json.JSONDecodeError):
        return 0


def test_a_file_that_is_not_there(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    (folder / "stream.jsonl").unlink()
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 74)
    for part in ("stream.jsonl", "no such file", "Correct the path", "`follow: true`"):
        assert part in message


def test_a_stream_without_a_record_ends_with_a_word(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", b"")
    assert "no_records" in succeeded(zygote.run(folder, "run", "learnd.yaml")).stderr
    (folder / "stream.jsonl").write_bytes(json_lines(records(20)))
    for _ in range(2):
        assert "no_records" not in succeeded(zygote.run(folder, "run", "learnd.yaml")).stderr


def test_a_file_that_is_gone_after_a_kill(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.call.after=kill@50"))
    stream = folder / "stream.jsonl"
    data = stream.read_bytes()
    stream.unlink()
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 74)
    assert "stream.jsonl" in message
    assert "offset" in message
    stream.write_bytes(json_lines(records(seed=12)))
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 74)
    assert "stream.jsonl" in message
    assert "offset" in message
    stream.write_bytes(data)
    assert succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()["digest"] == digest


def test_killed_across_a_rotation(zygote: Zygote, tmp_path: Path) -> None:
    every = {"every": {"samples": 100, "seconds": 0.2}}
    folder = prepare(tmp_path / "run", b"", source=FOLLOWING, checkpoint=every)
    lines = json_lines(records(900)).splitlines(keepends=True)
    stream = folder / "stream.jsonl"
    stream.write_bytes(b"".join(lines[:200]))
    daemon = zygote.start(folder, "run", "learnd.yaml", "--json")
    daemon.wait_for(lambda: trained(folder / "state") == 200, "to train what is there")
    stream.rename(folder / "stream.jsonl.1")
    with (folder / "stream.jsonl.1").open("ab") as late:
        late.write(b"".join(lines[200:250]))
    stream.write_bytes(b"".join(lines[250:500]))
    daemon.wait_for(lambda: trained(folder / "state") == 500, "to go on in the next file")
    with stream.open("ab") as file:
        file.write(b"".join(lines[500:550]) + lines[550][:20])
    time.sleep(0.1)
    daemon.kill()
    with stream.open("ab") as file:
        file.write(lines[550][20:] + b"".join(lines[551:600]))
    stream.rename(folder / "stream.jsonl.2")
    stream.write_bytes(b"".join(lines[600:]))
    daemon = zygote.start(folder, "run", "learnd.yaml", "--json")
    followed = stop_when_trained(daemon, folder / "state", 900)
    assert (followed["samples_trained"], followed["samples_rejected"]) == (900, {})

    whole = prepare(tmp_path / "whole", b"".join(lines))
    succeeded(zygote.run(whole, "run", "learnd.yaml"))
    assert followed["scores"] == summary(whole / "state")["scores"]


def test_killed_across_copies_of_rotated_logs(zygote: Zygote, tmp_path: Path) -> None:
    every = {"every": {"samples": 100, "seconds": 0.2}}
    source = {"files": {"path": "stream.jsonl*", "follow": True}}
    folder = prepare(tmp_path / "run", b"", source=source, checkpoint=every)
    state = folder / "state"
    lines = json_lines(records(900)).splitlines(keepends=True)
    stream, first, second = (folder / f"stream.jsonl{suffix}" for suffix in ("", ".1", ".2.gz"))

    def append(start: int, end: int) -> None:
        with stream.open("ab") as file:
            file.write(b"".join(lines[start:end]))

    append(0, 200)
    daemon = zygote.start(folder, "run", "learnd.yaml", "--json")
    daemon.wait_for(lambda: trained(state) == 200, "to train what is there")
    daemon.kill()
    append(200, 300)
    shutil.copy(stream, first)
    os.truncate(stream, 0)
    append(300, 500)
    daemon = zygote.start(folder, "run", "learnd.yaml", "--json")
    daemon.wait_for(lambda: trained(state) == 500, "to train the rest in the copy, and the new content")
    second.write_bytes(gzip.compress(first.read_bytes()))
    shutil.copy(stream, first)
    os.truncate(stream, 0)
    append(500, 700)
    daemon.wait_for(lambda: trained(state) == 700, "to train the new content alone")
    daemon.kill()
    append(700, 900)
    daemon = zygote.start(folder, "run", "learnd.yaml", "--json")
    given = stop_when_trained(daemon, state, 900)
    assert (given["samples_trained"], given["samples_rejected"]) == (900, {})

    whole = prepare(tmp_path / "whole", b"".join(lines))
    succeeded(zygote.run(whole, "run", "learnd.yaml"))
    assert given["scores"] == summary(whole / "state")["scores"]


def test_a_line_that_was_cut_at_the_end_of_a_run_never_trains_half(zygote: Zygote, tmp_path: Path) -> None:
    lines = ["c,y,b,a", *[",".join(repr(record[name]) for name in ("c", "y", "b", "a")) for record in records(60)]]
    data = "\n".join(lines).encode() + b"\n"
    cut = len("\n".join(lines[:50])) - 6  # within the last number of a row
    folder = prepare(tmp_path / "run", source={"files": {"path": "stream.csv"}})
    as_csv = ["--set", "samples.format=csv"]
    stream = folder / "stream.csv"
    stream.write_bytes(data[:-1])  # without its last line feed
    given = succeeded(zygote.run(folder, "run", "learnd.yaml", *as_csv, "--state", "whole", "--json")).json()
    assert given["samples_trained"] == 60

    stream.write_bytes(data[:cut])
    succeeded(zygote.run(folder, "run", "learnd.yaml", *as_csv))
    stream.write_bytes(data)
    message = refused(zygote.run(folder, "run", "learnd.yaml", *as_csv), 74)
    for part in ("stream.csv (file-0)", "in the middle of a line", "another state directory", "when_gone: skip"):
        assert part in message


@contextmanager
def written_slowly(fifo: Path, lines: list[bytes]) -> Iterator[None]:
    """Write lines to a pipe from a thread, as a producer that outlives the daemons does."""

    def write() -> None:
        with fifo.open("wb", buffering=0) as pipe:
            for start in range(0, len(lines), 20):
                pipe.write(b"".join(lines[start : start + 20]))
                time.sleep(0.01)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def test_a_pipe_outlives_killed_daemons(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", source={"stdin": {}}, train={"max_wait_ms": 0})
    fifo = folder / "pipe"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)  # the pipe stays the same while no daemon has it open
    lines = (folder / "stream.jsonl").read_bytes().splitlines(keepends=True)
    with written_slowly(fifo, lines):
        for failpoint in ("loop.updated=kill@20", "checkpoint.rename.before=kill@2"):
            killed(zygote.run(folder, "run", "learnd.yaml", stdin=fifo, failpoints=failpoint))
        daemon = zygote.start(folder, "run", "learnd.yaml", "--json", stdin=fifo)
    daemon.wait_for(lambda: Path(f"/proc/{daemon.pid}/fd/0").resolve() == fifo, "to have the pipe open")
    os.close(held)
    given = succeeded(daemon.wait()).json()
    assert (given["samples_trained"], given["samples_rejected"]) == (RECORDS, {})
    assert given["digest"] == digest  # at one sample an update a partial batch is none


def test_a_directory_of_many_files(zygote: Zygote, whole: tuple[Path, Any], tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", source={"files": {"path": "data"}})
    data = folder / "data"
    data.mkdir()
    stream = records()
    (data / "1.jsonl.gz").write_bytes(gzip.compress(json_lines(stream[:400])))
    (data / "2.jsonl.zst").write_bytes(zstandard.compress(json_lines(stream[400:900])))
    (data / "3.jsonl").write_bytes(json_lines(stream[900:]))
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.updated=kill@40"))
    given = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()
    assert given["scores"] == whole[1].json()["scores"]

    table = pa.Table.from_pylist(stream)
    pq.write_table(table, folder / "stream.parquet", row_group_size=500)
    rows = [[record[name] for name in ("a", "b", "c", "y")] for record in stream]
    (folder / "stream.csv.gz").write_bytes(
        gzip.compress("\n".join(["a,b,c,y", *[",".join(map(repr, row)) for row in rows]]).encode())
    )
    for form, name in (("parquet", "stream.parquet"), ("csv", "stream.csv.gz")):
        overrides = ["--set", f"source.files.path={name}", "--set", f"samples.format={form}"]
        killed(zygote.run(folder, "run", "learnd.yaml", *overrides, "--state", form, failpoints="loop.updated=kill@40"))
        given = succeeded(zygote.run(folder, "run", "learnd.yaml", *overrides, "--state", form, "--json")).json()
        assert given["scores"] == whole[1].json()["scores"]
