from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from structlog.testing import capture_logs

from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError, SourceError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.inferring.guesses import Known
from learnd.daemon.stream.inferring.infer import guess_of, infer_settings
from learnd.daemon.stream.inferring.writing import notes, written
from learnd.daemon.values import RecordBatch


def clicks(count: int = 100) -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [
        {
            "event_id": f"e{index}",
            "at": 1_700_000_000_000 + 1000 * index,
            "user_id": rng.randrange(20),
            "user": {"age": rng.choice([None, 20, 35.5]), "plan": rng.choice(["free", "no", "${PRO}"])},
            "city": f"city {rng.randrange(50)}",
            "v": [rng.random(), 1, 2],
            "mobile": rng.random() < 0.5,
            "kind": "click",
            "never": None,
            "odd": {"deep": {"deeper": {"deepest": 1}}} if index % 2 else [],
            "a.b": rng.random(),
            "fraud": rng.randrange(2),
            "amount": rng.random() * 100,
        }
        for index in range(count)
    ]


def write_lines(path: Path, records: list[dict[str, Any]]) -> Path:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    pack = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix, bytes)
    path.write_bytes(pack(data))
    return path


def infer(data: Path, folder: Path = Path(), **known: str) -> str:
    source = FilesSettings(path=str(data))
    return infer_settings(data, source.files(), source.samples, Known(**known), folder)


def inferred(data: Path, **known: str) -> tuple[str, Settings]:
    """Return the text that is inferred for a file, and the settings that it gives beside it."""
    text = infer(data, folder=data.parent, **known)
    settings_path = data.parent / "learnd.yaml"
    settings_path.write_text(text, encoding="utf-8")
    return text, load_settings(settings_path)


@pytest.mark.parametrize("name", ["clicks.jsonl", "clicks.jsonl.gz", "clicks.json.zst", "clicks"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    text, settings = inferred(write_lines(tmp_path / name, clicks()))
    samples = settings.samples
    assert list(samples.features) == ["at", "user.age", "user.plan", "city", "v", "mobile", r"a\.b", "amount"]
    assert (samples.label.field, settings.model.task, samples.key) == ("fraud", "binary", "user_id")
    assert samples.event_time is not None
    assert (samples.event_time.field, samples.event_time.unit) == ("at", "ms")
    assert samples.features["user.age"].default == 0
    assert sorted(samples.features["user.plan"].values or []) == ["${PRO}", "free", "no"]
    assert samples.features["city"].hash == 512
    assert samples.features["v"].vector == 3
    for left_out in ("event_id", "user_id", "kind", "never", "odd.deep.deeper"):
        assert f"# {left_out} is left out" in text


def test_the_settings_decode_the_records_that_they_were_inferred_from(tmp_path: Path) -> None:
    records = clicks()
    _, settings = inferred(write_lines(tmp_path / "clicks.jsonl", records))
    decoder = SampleDecoder(settings.samples, settings.samples.spec(settings.model.task))
    values = [json.dumps(record).encode() for record in records]
    assert decoder.decode(RecordBatch("p", 0, np.arange(1, 101), values)).rejections == ()


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    rows = [
        f"{i},{datetime.fromtimestamp(i * 3600, UTC).isoformat()},{i % 3 == 0},{i / 2},{'x' if i % 2 else ''},{i * 1.1}"
        for i in range(50)
    ]
    path.write_text("\ufeff;when;open;size;mark;price\n".replace(";", ",") + "\n".join(rows) + "\n", encoding="utf-8")
    text, settings = inferred(path)
    samples = settings.samples
    assert (samples.format, settings.model.task, samples.label.field) == ("csv", "regression", "price")
    assert list(samples.features) == ["when", "open", "size"]
    assert samples.features["open"].type == "boolean"
    assert '# "" is left out: it has no name' in text
    assert "# mark is left out: it is always x" in text
    decoder = SampleDecoder(samples, samples.spec("regression"))
    header = ("", "when", "open", "size", "mark", "price")
    values = [row.encode() for row in rows]
    assert decoder.decode(RecordBatch("p", 0, np.arange(1, 51), values, header)).rejections == ()


def test_another_delimiter_and_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a;species\n" + "1,5;cat\n2;dog\n3\n2;cow\n" * 10, encoding="utf-8")
    text, settings = inferred(path)
    assert settings.samples.delimiter == ";"
    assert settings.model.task == "classes"
    assert settings.samples.label.classes == ["cat", "cow", "dog"]
    assert "# 10 more could not be read" in text


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    rows = [{"x": i / 7, "day": datetime(2024, 1, 1 + i % 28, tzinfo=UTC), "target": i % 3} for i in range(60)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    _, settings = inferred(path)
    samples = settings.samples
    assert (samples.format, settings.model.task, samples.label.classes) == ("parquet", "classes", 3)
    assert list(samples.features) == ["x", "day"]
    block = SampleDecoder(samples, samples.spec("classes")).decode(RecordBatch("p", 0, np.arange(1, 61), rows))
    assert block.rejections == ()


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        ([0, 1], "binary", "label: y  "),
        ([True, False], "binary", "label: y  "),
        (["no", "yes"], "binary", "label: y  "),
        (["nein", "ja"], "binary", "values: [nein, ja]"),
        ([1, 2], "binary", "values: [1, 2]"),
        (["a", "b", "c"], "classes", "classes: [a, b, c]"),
        ([0, 1, 2], "classes", "classes: 3"),
        ([1, 2, 3], "regression", "if they are classes: learnd init --label y --task classes"),
        ([0.5, 1.5, 9], "regression", "label: y  "),
        ([["p"], ["q", "p"], []], "multi_label", "labels: [p, q]"),
        ([0], "binary", "label: y  "),
    ],
)
def test_the_task_follows_from_the_values_of_the_label(
    tmp_path: Path, values: list[Any], task: str, words: str
) -> None:
    records = [{"a": index / 3, "y": values[index % len(values)], "z": index % 5} for index in range(30)]
    text, settings = inferred(write_lines(tmp_path / "data.jsonl", records))
    assert settings.model.task == task
    assert words in text
    samples = settings.samples
    block = SampleDecoder(samples, samples.spec(task)).decode(
        RecordBatch("p", 0, np.arange(1, 31), [json.dumps(record).encode() for record in records])
    )
    assert block.rejections == ()


def test_a_number_that_never_changed_stays(tmp_path: Path) -> None:
    text, settings = inferred(write_lines(tmp_path / "data.jsonl", [{"a": 5, "b": -i, "y": i % 2} for i in range(30)]))
    assert list(settings.samples.features) == ["a", "b"]
    assert "always 5 so far" in text


def test_the_path_is_relative_to_the_settings(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data.jsonl", clicks())
    (tmp_path / "conf").mkdir()
    assert 'path: "../data.jsonl"' in infer(data, folder=tmp_path / "conf")


@pytest.mark.parametrize(
    ("name", "data", "error", "words"),
    [
        ("empty.jsonl", b"", DataError, "empty"),
        ("blank.csv", b"\n\n", DataError, "empty"),
        ("header.csv", b"a,b\n", DataError, "no records yet"),
        ("latin.csv", "größe,y\n1,0\n".encode("latin-1"), DataError, "not UTF-8 at byte 2.*ISO-8859-1"),
        ("utf16.csv", "a,y\n1,0\n".encode("utf-16"), DataError, "probably UTF-16"),
        ("utf16.jsonl", '{"a": 1}\n'.encode("utf-16-le"), DataError, "probably UTF-16"),
        ("one.jsonl", b'{"a": 1, "label": "x"}\n' * 3, DataError, "label is always x"),
        ("broken.jsonl", b"{\n{\n", DataError, "none of its first records"),
        ("cut.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:12], SourceError, "cannot be read"),
        ("no.jsonl.gz", b"not gzip", SourceError, "cannot be read"),
        ("no.jsonl.zst", b"not zstandard", SourceError, "cannot be read"),
        ("no.parquet", b"not parquet", DataError, "not a readable Parquet"),
        ("texts.jsonl", b'{"a": {}}\n' * 20, DataError, "seems to be the label"),
        ("alone.jsonl", b'{"y": 1}\n{"y": 0}\n', DataError, "no field except the label y can be a feature"),
    ],
)
def test_a_file_that_gives_no_settings(
    tmp_path: Path, name: str, data: bytes, error: type[Exception], words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=words):
        infer(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        infer(tmp_path / "none.jsonl")


@pytest.mark.parametrize(("name", "words"), [("*.csv", "no file matches it"), ("", "no files in it yet")])
def test_a_glob_or_a_directory_without_a_file(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SourceError, match=f"{words}. Nothing was written. Name a file"):
        infer(tmp_path / name)


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_format_that_is_wrong_is_to_be_left_out(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.csv").write_text("a,y\n1,0\n2,1\n")
    with pytest.raises(
        DataError, match=f"could be read as {form}.*looks like CSV: leave --format out to have it guessed"
    ):
        infer(tmp_path / "a.csv", format=form)


@pytest.mark.parametrize(
    ("form", "line", "format_", "delimiter"),
    [
        ("jsonl", '{"a": 1.5, "y": 0}\n{"a": 2, "y": 1}\n', "json", ","),
        ("ndjson", '{"a": 1.5, "y": 0}\n{"a": 2, "y": 1}\n', "json", ","),
        ("tsv", "a\tb,c,d\ty\n1.5\t7\t0\n2\t8\t1\n", "csv", "\t"),
    ],
)
def test_a_format_has_the_names_that_settings_take(
    tmp_path: Path, form: str, line: str, format_: str, delimiter: str
) -> None:
    (tmp_path / "data").write_text(line)
    _, settings = inferred(tmp_path / "data", format=form)
    assert (settings.samples.format, settings.samples.delimiter) == (format_, delimiter)
    assert settings.samples.label.field == "y"


def test_a_category_that_is_named_like_an_owner_is_a_feature(tmp_path: Path) -> None:
    rng = random.Random(3)
    stream = [
        {"device": rng.choice(["phone", "tablet", "desktop"]), "user": f"u{rng.randrange(40)}", "y": rng.randrange(2)}
        for _ in range(200)
    ]
    text, settings = inferred(write_lines(tmp_path / "a.jsonl", stream))
    assert list(settings.samples.features) == ["device"]
    assert settings.samples.key == "user"
    assert "# user is left out: it says whose record it is" in text


def test_what_stands_in_and_what_floats_lose_is_said(tmp_path: Path) -> None:
    stream = [
        {"amount": None if n < 3 else n * 1.5, "serial": 1_700_000_000 + n * 7 % 100, "y": n % 2} for n in range(100)
    ]
    text, _ = inferred(write_lines(tmp_path / "a.jsonl", stream))
    assert "# 4.5 to 148.5; 3 missing, for which 0 stands in" in text
    assert "serial: float" in text
    assert "the model gets it in steps of 128: give it as a time" in text


def test_records_that_cannot_be_read_are_mentioned(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1, "b": "x"}\n{"a": 2,\n{"b": "\xff"}\n')
    with capture_logs() as lines:
        text, settings = inferred(path)
    assert [(line["event"], line["unreadable"], line["readable"]) for line in lines] == [("records.unreadable", 2, 1)]
    assert "# 2 more could not be read" in text
    assert settings.samples.label.field == "a"  # of b there is one text, and nothing to tell apart


def test_letters_of_any_script_are_written_as_they_are(tmp_path: Path) -> None:
    stream = [{"größe": index, "город": city, "odd\x85\u2028": 1, "y": index % 2} for index, city in enumerate("äßя")]
    text, settings = inferred(write_lines(tmp_path / "a.jsonl", stream))
    for word in ('"größe": float', '"город": {values: ["ä", "ß", "я"]}', '"odd\\u0085\\u2028": float'):
        assert word in text
    assert list(settings.samples.features) == ["größe", "город", "odd\x85\u2028"]


@pytest.mark.parametrize("name", ["in", "in/*.csv", "in/**/*.csv"])
def test_a_directory_or_a_glob_is_written_as_it_was_given(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".hidden.csv").write_text("no,such\n1,2\n")
    (tmp_path / "in" / "a.csv").touch()
    (tmp_path / "in" / "b.csv").write_text("p\ty\n1\t0\n2\t1\n")
    text = infer(tmp_path / name, folder=tmp_path)
    (tmp_path / "learnd.yaml").write_text(text)
    settings = load_settings(tmp_path / "learnd.yaml")
    assert list(settings.samples.features) == ["p"]
    assert settings.samples.delimiter == "\t"
    assert f"path: {name}" in text.replace('"', "")


def test_a_json_array_is_read_as_lines_are(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(clicks(), indent=1))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(click) + "\n" for click in clicks()))
    array, lines = infer(tmp_path / "a.json"), infer(tmp_path / "a.jsonl")
    assert array.replace("a.json", "a.jsonl") == lines


def test_what_the_comments_warn_of_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("0.3,k0,1\n" + "".join(f"0.{number},k{number},{number % 2}\n" for number in range(10, 40)))
    source = FilesSettings(path=str(path))
    guess = guess_of(path, source.files(), source.samples, Known(), tmp_path)
    header, key, *others = notes(guess)
    assert header.startswith("the first line, taken for the header, looks like a record")
    assert key.startswith("k0 is left out: ")
    assert others == []
    assert all(note in written(guess) for note in (header, key.removeprefix("k0 is left out: ")))


def test_numbers_with_many_other_texts_are_told(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,y\n" + "".join(f"{'bad' if n % 3 == 0 else n / 8},{n % 2}\n" for n in range(60)))
    assert "# a: 67% of its values are numbers, but bad is none, so it is taken for text" in infer(path)
