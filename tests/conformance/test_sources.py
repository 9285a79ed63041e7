"""What every source must do. A new one joins by one more entry in `SOURCES`.

Each set-up writes the same stream of records, with ids 0 to N - 1 in order, and gives a function that opens a
source on it anew, as a daemon that starts again would.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from kafka_broker import Broker, required, shared_broker

from learnd.connectors.files.settings import FilesSettings, StdinSettings
from learnd.connectors.files.source import FilesSource
from learnd.connectors.files.stdin import StdinSource
from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.source import KafkaSource
from learnd.connectors.recordings.file_format import RecordingHeader, open_writer
from learnd.connectors.recordings.settings import RecordingSettings
from learnd.connectors.recordings.source import RecordingSource
from learnd.connectors.scripted import Moment, ScriptedSource
from learnd.daemon.contracts import Source
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

N = 3000
JSON = RecordFormat("json")
CSV = RecordFormat("csv")


@dataclass
class Stream:
    """A recorded stream: `open` starts a source on it, `rename` moves what it is read from, where that is possible."""

    make: Callable[[], Source]
    rename: Callable[[], None] | None = None

    def open(self, positions: Positions | None = None, notes: list[Note] | None = None) -> Source:
        source = self.make()
        source.open(positions or {}, notes or [])
        return source


def json_lines(first: int = 0, last: int = N) -> bytes:
    return b"".join(b'{"id": %d, "text": "%s"}\n' % (i, b"x" * (i % 50)) for i in range(first, last))


def csv_lines() -> bytes:
    return b"\xef\xbb\xbfid,text\r\n" + b"".join(b'%d,"a ""quoted""\nline, of %d"\r\n' % (i, i) for i in range(N))


def files(path: Path, fmt: RecordFormat = JSON, *, follow: bool = False) -> Stream:
    def rename() -> None:
        for name in sorted(path.iterdir()) if path.is_dir() else sorted(path.parent.glob(path.name)):
            name.rename(name.with_name(".old-" + name.name))

    return Stream(lambda: FilesSource(FilesSettings(path=str(path), follow=follow), fmt), rename)


def plain(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(json_lines())
    return files(root / "a.jsonl")


def blank_lines_and_no_last_feed(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(b"\n\r\n" + json_lines().replace(b"\n", b"\r\n\n\n").removesuffix(b"\r\n\n\n"))
    return files(root / "a.jsonl")


def followed(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(json_lines())
    return files(root / "a.jsonl", follow=True)


def gzipped(root: Path) -> Stream:
    members = [gzip.compress(json_lines(first, first + 1000)) for first in range(0, N, 1000)]
    (root / "a.jsonl.gz").write_bytes(b"".join(members) + bytes(512))
    return files(root / "a.jsonl.gz")


def zstd(root: Path) -> Stream:
    data = json_lines()
    frames = [zstandard.ZstdCompressor().compress(part) for part in (data[:50_001], data[50_001:])]
    (root / "a.jsonl.zst").write_bytes(b"".join(frames))
    return files(root / "a.jsonl.zst")


def csv(root: Path) -> Stream:
    (root / "a.csv").write_bytes(csv_lines())
    return files(root / "a.csv", CSV)


def csv_gzipped(root: Path) -> Stream:
    (root / "a.csv.gz").write_bytes(gzip.compress(csv_lines()))
    return files(root / "a.csv.gz", CSV)


def parquet(root: Path) -> Stream:
    table = pa.table({"id": range(N), "text": [str(i) for i in range(N)]})
    pq.write_table(table, root / "a.parquet", row_group_size=1100)
    return files(root / "a.parquet", RecordFormat("parquet"))


def globbed(root: Path) -> Stream:
    for first in range(0, N, 500):
        (root / f"part-{first:05d}.jsonl").write_bytes(json_lines(first, first + 500))
    (root / "part-00001.jsonl").touch()
    return files(root / "part-*.jsonl")


def directory(root: Path) -> Stream:
    (root / "in").mkdir()
    for first in range(0, N, 1000):
        (root / "in" / f"{first:05d}.jsonl").write_bytes(json_lines(first, first + 1000))
    (root / "in" / ".hidden").write_bytes(b"no record\n")
    return files(root / "in")


def stdin(root: Path) -> Stream:
    """The first start reads the pipe; the later ones find it at its end and have the spool."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json_lines())

    threading.Thread(target=feed, daemon=True).start()
    return Stream(lambda: StdinSource(StdinSettings(), JSON, root, reading))


def scripted(_root: Path) -> Stream:
    steps = []
    for first in range(0, N, 700):
        ids = range(first, min(first + 700, N))
        values = [b'{"id": %d}' % i for i in ids]
        note = {"part": 1} if first == 0 else None
        steps += [RecordBatch("part-1", first, np.array(ids, np.int64) + 1, values, note=note), Moment.PAUSE]
    return Stream(lambda: ScriptedSource(steps))


def kafka(_root: Path, client: str = "kafka-python") -> Stream:
    broker = required(shared_broker)
    topic = broker.topic()
    broker.produce(topic, json_lines().splitlines())
    return topics(broker, topic, client)


def kafka_confluent(root: Path) -> Stream:
    return kafka(root, "confluent")


def kafka_transactions(_root: Path, client: str = "kafka-python") -> Stream:
    """Records of transactions, some of them aborted: what marks their ends takes offsets, too."""
    broker: Broker = required(shared_broker)
    topic = broker.topic()
    producer = broker.producer(transactional_id=topic)
    producer.init_transactions()
    for number, first in enumerate(range(0, N, 300)):
        producer.begin_transaction()
        for value in json_lines(first, first + 300).splitlines():
            producer.send(topic, value, partition=0)
        producer.commit_transaction()
        if number % 3 == 1:
            producer.begin_transaction()
            producer.send(topic, b"no record", partition=0).get()
            producer.abort_transaction()
    producer.close()
    return topics(broker, topic, client)


def kafka_transactions_confluent(root: Path) -> Stream:
    return kafka_transactions(root, "confluent")


def topics(broker: Broker, topic: str, client: str) -> Stream:
    given = {"bootstrap_servers": broker.bootstrap, "topic": topic, "client": client, "group": None}
    settings = KafkaSettings.model_validate(given)
    return Stream(lambda: KafkaSource(settings, JSON))


def recorded(root: Path, name: str = "topic.jsonl.zst") -> Stream:
    """Only every other offset has a record."""
    header = RecordingHeader(topics={"t": "id"}, starts={"t/0": 0}, ends={"t/0": 2 * N})
    file = open_writer(root / name, name.removeprefix("topic"), header)
    for first in range(0, N, 700):
        ids = np.arange(first, min(first + 700, N))
        values: list[bytes | None] = [b'{"id": %d}' % i for i in ids]
        file.write(Fetched("t/0", 2 * ids + 1, values, [None] * len(ids), None, ids))
    file.close()
    return Stream(lambda: RecordingSource(RecordingSettings(path=root / name), JSON))


def recorded_parquet(root: Path) -> Stream:
    return recorded(root, "topic.parquet")


SOURCES = [
    plain,
    blank_lines_and_no_last_feed,
    followed,
    gzipped,
    zstd,
    csv,
    csv_gzipped,
    parquet,
    globbed,
    directory,
    stdin,
    kafka,
    kafka_confluent,
    kafka_transactions,
    kafka_transactions_confluent,
    recorded,
    recorded_parquet,
    scripted,
]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Stream:
    made: Stream = request.param(tmp_path)
    return made


def drain(source: Source) -> Iterator[RecordBatch]:
    """Read to the end; for a stream without one, until it has nothing more for a while."""
    quiet = 0
    while not source.exhausted and not (source.live and quiet >= 3):
        batch = source.read(0.05)
        quiet = 0 if batch is not None or not source.connected or any(source.lag().values()) else quiet + 1
        if batch is not None:
            yield batch


def identity(value: object, columns: tuple[str, ...] | None) -> int:
    if isinstance(value, dict):
        return int(value["id"])
    assert isinstance(value, bytes)
    if columns is not None:
        assert columns == ("id", "text")
        return int(value.split(b",")[0])
    return int(json.loads(value)["id"])


def ids(batches: list[RecordBatch]) -> list[int]:
    return [identity(value, batch.columns) for batch in batches for value in batch.values]


def notes(batches: list[RecordBatch]) -> list[Note]:
    return [json.loads(json.dumps(batch.note)) for batch in batches if batch.note is not None]


def after(batches: list[RecordBatch]) -> Positions:
    return {batch.partition: int(batch.ends[-1]) for batch in batches}


def whole(stream: Stream) -> list[RecordBatch]:
    source = stream.open()
    try:
        return list(drain(source))
    finally:
        source.close()


def test_hands_out_every_record_once_and_in_order(stream: Stream) -> None:
    assert ids(whole(stream)) == list(range(N))


def test_positions_grow_and_batches_touch(stream: Stream) -> None:
    reached: Positions = {}
    for batch in whole(stream):
        assert batch.start == reached.get(batch.partition, 0)
        assert (np.diff(batch.ends, prepend=batch.start) > 0).all()
        assert len(batch.ends) == len(batch.values) >= 1
        reached[batch.partition] = int(batch.ends[-1])


def test_a_partition_is_noted_before_or_with_its_first_record(stream: Stream) -> None:
    seen = set()
    for batch in whole(stream):
        if batch.partition not in seen:
            assert batch.note is not None
        seen.add(batch.partition)


def test_resumes_after_any_batch_with_the_rest(stream: Stream) -> None:
    batches = whole(stream)
    for count in range(len(batches) + 1):
        source = stream.open(after(batches[:count]), notes(batches[:count]))
        rest = list(drain(source))
        source.close()
        assert ids(batches[:count]) + ids(rest) == list(range(N))


def test_resumes_in_the_middle_of_a_batch(stream: Stream) -> None:
    batches = whole(stream)
    for index in (0, len(batches) // 2, len(batches) - 1):
        row = len(batches[index]) // 2
        positions = after(batches[:index]) | {batches[index].partition: int(batches[index].ends[row])}
        source = stream.open(positions, notes(batches[: index + 1]))
        rest = ids(list(drain(source)))
        source.close()
        last = identity(batches[index].values[row], batches[index].columns)
        assert rest == list(range(last + 1, N))


def ranged(source: Source, partition: str, start: int, end: int) -> list[RecordBatch]:
    """Return the records of a range, leaving out the times at which none had arrived yet."""
    return [batch for batch in source.read_range(partition, start, end) if batch is not None]


def test_a_range_holds_what_was_read_and_reading_goes_on_behind_it(stream: Stream) -> None:
    batches = whole(stream)
    taken = batches[: len(batches) // 2 + 1]
    source = stream.open({}, notes(taken))
    again = []
    for batch in taken:
        middle = int(batch.ends[len(batch) // 2])
        again += ranged(source, batch.partition, batch.start, middle)
        if middle < batch.ends[-1]:
            again += ranged(source, batch.partition, middle, int(batch.ends[-1]))
    rest = list(drain(source))
    source.close()
    assert ids(again) == ids(taken)
    assert np.concatenate([b.ends for b in again]).tolist() == np.concatenate([b.ends for b in taken]).tolist()
    assert ids(again) + ids(rest) == list(range(N))


def test_a_resume_splits_nothing_differently(stream: Stream) -> None:
    def records(batches: list[RecordBatch]) -> list[tuple[str, int, object]]:
        return [(b.partition, int(end), value) for b in batches for end, value in zip(b.ends, b.values, strict=True)]

    batches = whole(stream)
    source = stream.open(after(batches[:1]), notes(batches[:1]))
    rest = records(list(drain(source)))
    source.close()
    assert records(batches[:1]) + rest == records(batches)


def test_exhausted_only_when_every_record_was_returned(stream: Stream) -> None:
    source = stream.open()
    assert not source.exhausted
    count = sum(map(len, drain(source)))
    assert count == N
    assert source.exhausted or source.live
    assert source.read(0.0) is None
    source.close()


def test_lag_falls_to_nothing(stream: Stream) -> None:
    source = stream.open()
    first = source.read(1.0)
    assert first is not None
    before = sum(source.lag().values())
    list(drain(source))
    assert 0 == sum(source.lag().values()) < before
    source.close()


def test_a_read_without_time_comes_back(stream: Stream) -> None:
    source = stream.open()
    found = []
    for _ in range(10_000):
        batch = source.read(0.0)
        if batch is None and (source.exhausted or sum(map(len, found)) == N):
            break
        if batch is not None:
            found.append(batch)
        else:
            time.sleep(0.001)
    source.close()
    assert ids(found) == list(range(N))


def test_an_unknown_range_is_a_source_error(stream: Stream) -> None:
    source = stream.open()
    with pytest.raises(SourceError, match="nowhere-9"):
        list(source.read_range("nowhere-9", 0, 10))
    source.close()


def test_a_range_past_the_end_is_a_source_error(stream: Stream) -> None:
    batches = whole(stream)
    last = batches[-1]
    source = stream.open({}, notes(batches))
    with pytest.raises(SourceError, match=last.partition):
        list(source.read_range(last.partition, last.start, int(last.ends[-1]) + 100))
    source.close()


def test_notes_find_what_was_renamed(stream: Stream) -> None:
    if stream.rename is None:
        pytest.skip("cannot be renamed")
    batches = whole(stream)
    taken = batches[: len(batches) // 2 + 1]
    stream.rename()
    source = stream.open(after(taken), notes(taken))
    again = ids(ranged(source, taken[-1].partition, taken[-1].start, int(taken[-1].ends[-1])))
    rest = ids(list(drain(source)))
    source.close()
    assert again == ids(taken[-1:])
    noted = {batch.partition for batch in taken}
    assert rest == ids([batch for batch in batches[len(taken) :] if batch.partition in noted])
