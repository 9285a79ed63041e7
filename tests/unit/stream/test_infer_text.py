"""What `init` makes of files as people have them: every record of them then decodes."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import blocks_of

from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError, SourceError
from learnd.daemon.stream.inferring.guesses import Known
from learnd.daemon.stream.inferring.infer import infer_settings
from learnd.daemon.values import Block


def inferred(data: Path, **known: str) -> tuple[str, Settings]:
    source = FilesSettings(path=str(data))
    text = infer_settings(data, source.files(), source.samples, Known(**known), data.parent)
    (data.parent / "learnd.yaml").write_text(text, encoding="utf-8")
    return text, load_settings(data.parent / "learnd.yaml")


def decoded(data: Path, settings: Settings) -> list[Block]:
    """Return the whole file, as a run decodes it."""
    return blocks_of(data, settings.samples, settings.samples.spec(settings.model.task))


def all_decode(data: Path, settings: Settings) -> bool:
    return not any(block.rejections for block in decoded(data, settings))


def column(folder: Path, *cells: str, name: str = "x", form: str = "csv") -> tuple[Path, str, Settings]:
    """Infer from a file with a column of these cells and a label."""
    count = max(30, len(cells))
    rows = [(cells[index % len(cells)], index % 2) for index in range(count)]
    path = folder / f"data.{form}"
    if form == "csv":
        path.write_text(f'"{name}",y\n' + "".join(f'"{cell}",{label}\n' for cell, label in rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps({name: cell, "y": label}) + "\n" for cell, label in rows), encoding="utf-8")
    return path, *inferred(path)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.5", "2"], {}),
        (["1,5", "2", "0,125"], {"decimal": ","}),
        (["1.234,5", "12,0"], {"decimal": ",", "thousands": "."}),
        (["1,234", "12,345", "7"], {"thousands": ","}),
        (["1,234.5", "12"], {"thousands": ","}),
        (["1 234,5", "2"], {"decimal": ",", "thousands": " "}),
        (["12 %", "13%"], {"units": ("%",)}),
        (["12.5 km", "7 km"], {"units": ("km",)}),
        (["€12,50", "€7,00"], {"units": ("€",), "decimal": ","}),
        (["1", "?", "2"], {"missing": "?"}),
        (["1", "NA", "2", "-", ""], {}),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_numbers_of_any_country_are_numbers(
    tmp_path: Path, cells: list[str], expected: dict[str, Any], form: str
) -> None:
    path, text, settings = column(tmp_path, *cells, form=form)
    samples = settings.samples
    assert samples.features["x"].type == "float", text
    for key in ("decimal", "thousands", "units"):
        assert getattr(samples, key) == expected.get(key, type(samples).model_fields[key].default), text
    assert ("?" in samples.missing) == ("missing" in expected)
    assert all_decode(path, settings)


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a;b;price\n" + "1,250;x;9,5\n2;y;NA\n3,5;z;1,5\n" * 20, encoding="utf-8")
    text, settings = inferred(path, label="a")
    assert (settings.samples.decimal, settings.samples.thousands, settings.samples.delimiter) == (",", None, ";")
    assert settings.samples.features["price"].default == 0
    assert "the mark of the fraction" in text
    assert all_decode(path, settings)


@pytest.mark.parametrize(
    ("cells", "date_format", "parts"),
    [
        (["29.02.2024", "01.03.2024"], "%d.%m.%Y", ["weekday", "month"]),
        (["29.02.2024 13:05", "01.03.2024 00:00"], "%d.%m.%Y %H:%M", ["hour", "weekday"]),
        (["2012/01/01", "2012/12/31"], "%Y/%m/%d", ["weekday", "month"]),
        (["1949-01", "1949-12"], "%Y-%m", ["month"]),
        (["12/31/2012", "1/2/2013"], "%m/%d/%Y", ["weekday", "month"]),
        (["31/12/2012", "1/2/2013"], "%d/%m/%Y", ["weekday", "month"]),
        (["Jan 31 2000", "Feb 1 2000"], "%b %d %Y", ["weekday", "month"]),
        (["2024-02-29", "2024-03-01"], None, ["weekday", "month"]),
        (["2024-02-29T10:00:00", "2024-03-01"], None, ["hour", "weekday"]),
        (["20240229", "20240301"], "%Y%m%d", ["weekday", "month"]),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_dates_in_any_form_are_times(
    tmp_path: Path, cells: list[str], date_format: str | None, parts: list[str], form: str
) -> None:
    path, text, settings = column(tmp_path, *cells, name="date", form=form)
    feature, event_time = settings.samples.features["date"], settings.samples.event_time
    assert (feature.date_format, feature.timestamp) == (date_format, parts), text
    assert event_time is not None
    assert event_time.date_format == date_format
    assert all_decode(path, settings)


def test_a_date_that_can_be_read_in_two_ways_is_said(tmp_path: Path) -> None:
    _, text, _ = column(tmp_path, "1/2/2013", "3/4/2013")
    assert "it may be %d/%m/%Y" in text


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 1000)])
def test_seconds_and_milliseconds(tmp_path: Path, unit: str, per_second: int) -> None:
    cells = [str((1_700_000_000 + 3600 * n) * per_second) for n in range(30)]
    path, _, settings = column(tmp_path, *cells, name="created_at")
    assert (settings.samples.features["created_at"].unit, settings.samples.features["created_at"].timestamp) == (
        unit,
        ["hour", "weekday"],
    )
    assert all_decode(path, settings)


@pytest.mark.parametrize("words", [("yes", "no"), ("Y", "N"), ("True", "False"), ("on", "off"), ("t", "f")])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_yes_and_no(tmp_path: Path, words: tuple[str, str], form: str) -> None:
    path, _, settings = column(tmp_path, *words, form=form)
    assert settings.samples.features["x"].type == "boolean"
    assert all_decode(path, settings)


def test_codes_stay_categories(tmp_path: Path) -> None:
    path, _, settings = column(tmp_path, "04103", "10115", "80331")
    assert settings.samples.features["x"].values == ["04103", "10115", "80331"]
    assert all_decode(path, settings)


def test_the_positive_value_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,bought\n" + "1.5,ja\n2.5,nein\n3.5,nein\n" * 20)
    text, settings = inferred(path)
    assert settings.samples.label.values == ["nein", "ja"]
    assert "1 is ja, in 33% of these records; the other way round: {field: bought, positive: nein}" in text
    assert "guessed: it is the last field that can be one; if not: init --label NAME" in text
    path.write_text("a,bought\n" + "1.5,yes\n2.5,no\n" * 20)
    assert 'the other way round: {field: bought, positive: "no"}' in inferred(path)[0]


def test_what_the_user_knows_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("price,kind,stars\n" + "1.5,a,3\n2.5,b,4\n3.5,c,5\n" * 20)
    text, settings = inferred(path, label="stars", task="classes", format="csv")
    assert (settings.model.task, settings.samples.label.classes) == ("classes", [3, 4, 5])
    assert "guessed" not in text
    assert inferred(path, label="stars")[1].model.task == "regression"
    assert inferred(path, label="kind")[1].samples.label.classes == ["a", "b", "c"]
    assert "guessed: labels are often called that" in inferred(path)[0]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"label": "star"}, "no record has a field 'star': did you mean 'stars'.*price, kind, stars"),
        (
            {"label": "kind", "task": "regression"},
            "the label kind holds text values, which cannot be learned as regres",
        ),
        ({"label": "kind", "task": "binary"}, r"the label kind has 3 values \(a, b, c, ...\), a binary one two"),
        ({"format": "json"}, "none of its first records could be read as json: .*bad_json"),
        ({"format": "parquet"}, "could be read as parquet: .*not a readable Parquet file"),
    ],
)
def test_what_the_user_says_must_fit(tmp_path: Path, known: dict[str, str], words: str) -> None:
    path = tmp_path / "data.txt"
    path.write_text("price,kind,stars\n" + "1.5,a,3\n2.5,b,4\n3.5,c,5\n" * 20)
    with pytest.raises(DataError, match=words):
        inferred(path, **known)


def test_a_line_end_within_quotes_is_part_of_the_cell(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("note,x,y\n" + '"a\nb",1.5,0\n"say ""c""\n\nd",2.5,1\n' * 20)
    text, settings = inferred(path)
    assert "could not be read" not in text
    assert settings.samples.features["note"].values == ["a\nb", 'say "c"\n\nd']
    assert all_decode(path, settings)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("wide.csv", b"a,y\n1,2,0\n2,3,1\n", "wrong_column_count .the header has 2 columns, the row has 3"),
        ("book.xlsx", b"PK\x03\x04\x14\x00", "an Excel workbook"),
        ("book.csv", b"PK\x03\x04\x14\x00", "an Excel workbook"),
        ("cat.jpg", b"\xff\xd8\xff\xe0", "a JPEG"),
        ("cat.png", b"\x89PNG\r\n\x1a\n", "a PNG"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_reason(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((DataError, SourceError), match=words):
        inferred(tmp_path / name)


def _csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n")


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7_000)


@pytest.mark.parametrize(("name", "write"), [("d.csv", _csv), ("d.jsonl", _jsonl), ("d.parquet", _parquet)])
def test_classes_that_come_late_are_seen(
    tmp_path: Path, name: str, write: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    rng = random.Random(5)
    rows = [{"x": rng.random(), "kind": f"k{number // 8600 if number > 20_000 else 0}"} for number in range(60_000)]
    write(tmp_path / name, rows)
    text, settings = inferred(tmp_path / name, label="kind")
    assert getattr(settings.samples.label.classes, "max", None) == 20, "another class may still come"
    assert "learnt as they do; if there are none: classes: [k0, k2, k3, k4, k5, k6]" in text
    assert "records from all parts of d." in text
    assert all_decode(tmp_path / name, settings)


@pytest.mark.parametrize(("name", "write"), [("d.csv", _csv), ("d.jsonl", _jsonl), ("d.parquet", _parquet)])
@pytest.mark.parametrize("glob", [False, True])
def test_classes_that_only_the_second_file_has_are_seen(
    tmp_path: Path, name: str, write: Callable[[Path, list[dict[str, Any]]], None], glob: bool
) -> None:
    (tmp_path / "d").mkdir()
    rng = random.Random(5)
    for part, count, kinds in (("a", 1400, ["x", "y"]), ("b", 200, ["y", "z"])):
        rows = [{"n": rng.random(), "city": f"{part}ville", "kind": rng.choice(kinds)} for _ in range(count)]
        write(tmp_path / "d" / (part + name), rows)
    data = tmp_path / "d" / f"*{name}" if glob else tmp_path / "d"
    text, settings = inferred(data, label="kind")
    assert f"inferred from all 1,600 records of 2 files ({data.name})" in text
    assert settings.samples.label.classes == ["x", "y", "z"]
    assert settings.samples.features["city"].values == ["aville", "bville"]
    assert all_decode(data, settings)


@pytest.mark.parametrize(("name", "write"), [("d.csv", _csv), ("d.jsonl", _jsonl), ("d.parquet", _parquet)])
def test_a_sample_is_from_all_parts_of_all_files(
    tmp_path: Path, name: str, write: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    (tmp_path / "d").mkdir()
    rng = random.Random(5)
    for part in range(3):
        rows = [{"n": rng.random(), "city": f"c{part}{number // 5000}", "y": number % 3} for number in range(10_000)]
        write(tmp_path / "d" / f"{part}{name}", rows)
    text, settings = inferred(tmp_path / "d")
    count = int(
        text.partition("inferred from ")[2].partition(" records from all parts of 3 files (d)")[0].replace(",", "")
    )
    assert 4_500 < count <= 5_000
    assert settings.samples.features["city"].values == ["c00", "c01", "c10", "c11", "c20", "c21"]
    assert "if there are none: classes: 3" in text
    assert all_decode(tmp_path / "d", settings)


def test_of_very_many_files_some_are_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(100):
        _csv(tmp_path / "d" / f"{number:03}.csv", [{"x": number + row / 7, "y": "ab"[row % 2]} for row in range(10)])
    text, settings = inferred(tmp_path / "d")
    assert "inferred from 400 records from all parts of 40 of 100 files (d)" in text
    assert "one with a value that is not in this list is a dead letter: --task classes learns them" in text
    assert settings.samples.label.values == ["a", "b"]
    assert "inferred from all 10 records of 001.csv" in inferred(tmp_path / "d" / "001.csv")[0]
    assert "dead letter" not in inferred(tmp_path / "d" / "001.csv")[0]


def test_an_archive_is_read_from_its_head_and_a_short_file_whole(tmp_path: Path) -> None:
    rows = "".join(f"{number / 7},{number % 2}\n" for number in range(9000))
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(f"x,y\n{rows}".encode()))
    assert "inferred from the first 5," in inferred(tmp_path / "d.csv.gz")[0]
    (tmp_path / "d.csv").write_text(f"x,y\n{rows[:2000]}".rpartition("\n")[0] + "\n")
    assert "inferred from all " in inferred(tmp_path / "d.csv")[0]


def test_a_rare_label_leaves_the_features_as_they_are(tmp_path: Path) -> None:
    rng = random.Random(6)
    rows = [
        {"x": rng.random(), "city": rng.choice(["Graz", "Wien"]), "fraud": int(number % 400 == 399)}
        for number in range(20_000)
    ]
    _csv(tmp_path / "d.csv", rows)
    text, settings = inferred(tmp_path / "d.csv")
    assert (list(settings.samples.features), settings.model.task) == (["x", "city"], "binary")
    assert "always" not in text


def test_ids_and_counters_are_no_features(tmp_path: Path) -> None:
    rng = random.Random(7)
    rows = [
        {
            "row": number + 5,
            "ID": rng.randrange(10**9),
            "PassengerId": rng.randrange(10**9),
            "paid": rng.random(),
            "y": number % 2,
        }
        for number in range(300)
    ]
    _csv(tmp_path / "d.csv", rows)
    text, settings = inferred(tmp_path / "d.csv")
    assert list(settings.samples.features) == ["paid"]
    assert "# row is left out: it counts the records" in text
    for name in ("ID", "PassengerId"):
        assert f"# {name} is left out: it is different in every record" in text


def test_a_time_that_some_records_lack_is_no_feature(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x,a,y\n" + "2024-01-01,1.5,0\n,2.5,1\n2024-02-01,3.5,1\n" * 10)
    text, settings = inferred(path)
    assert settings.samples.event_time is None
    assert "# x is left out: 10 records lack it" in text
    assert all_decode(path, settings)


def test_what_other_programs_write_into_parquet(tmp_path: Path) -> None:
    count = 60
    table = pa.table(
        {
            "at": pa.array([1_700_000_000_123_456_789 + 10**12 * n for n in range(count)], pa.timestamp("ns")),
            "day": [date(2024, 1, 1) + timedelta(n) for n in range(count)],
            "price": [Decimal(n) / 4 for n in range(count)],
            "count": pa.array([None if n % 9 == 0 else n % 5 for n in range(count)], pa.int64()),
            "city": pa.array([["Graz", "Wien"][n % 2] for n in range(count)]).dictionary_encode(),
            "span": pa.array([n * 1001 for n in range(count)], pa.duration("ns")),
            "label": [n % 2 for n in range(count)],
        }
    )
    pq.write_table(table, tmp_path / "d.parquet")
    text, settings = inferred(tmp_path / "d.parquet")
    features = settings.samples.features
    assert list(features) == ["at", "day", "price", "count", "city"]
    assert (features["price"].type, features["count"].default, features["day"].timestamp) == (
        "float",
        0,
        ["weekday", "month"],
    )
    assert "# span is left out: it holds values that are no feature (timedelta)" in text
    assert all_decode(tmp_path / "d.parquet", settings)


def test_classes_that_are_surely_unseen_get_room(tmp_path: Path) -> None:
    rng = random.Random(5)
    rows = [{"x": rng.random(), "kind": f"k{int(rng.paretovariate(0.5))}"} for _ in range(60_000)]
    _jsonl(tmp_path / "d.jsonl", [row for row in rows if len(row["kind"]) < 4])
    text, settings = inferred(tmp_path / "d.jsonl")
    room = settings.samples.label.classes
    assert settings.model.task == "classes"
    assert not isinstance(room, int | list)
    assert room.max >= 20
    assert "classes came once in these records, so others will come; they are learnt as they do" in text
    blocks = decoded(tmp_path / "d.jsonl", settings)
    assert sum(len(block.rejections) for block in blocks) == 0


def prices(folder: Path, *odd: object, form: str = "csv") -> Path:
    """Write 300 records with an area and a price, some of whose areas are odd."""
    rng = random.Random(8)
    areas = [*odd, *(round(rng.uniform(20, 200), 1) for _ in range(300 - len(odd)))]
    rng.shuffle(areas)
    rows = [{"area": area, "price": number * 37 % 301 + 0.5} for number, area in enumerate(areas)]
    (_csv if form == "csv" else _jsonl)(folder / f"d.{form}", rows)
    return folder / f"d.{form}"


def rejected(data: Path, settings: Settings) -> int:
    return sum(len(block.rejections) for block in decoded(data, settings))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_one_bad_cell_leaves_a_number_a_number(tmp_path: Path, form: str) -> None:
    data = prices(tmp_path, "viel", form=form)
    text, settings = inferred(data, label="price")
    assert settings.samples.features["area"].type == "float"
    assert "1 of 300 is no number (viel): a dead letter" in text
    assert "# if viel in area means no value: put it in `missing`, and give the feature {type: float, def" in text
    assert rejected(data, settings) == 1


def test_different_bad_cells_are_counted(tmp_path: Path) -> None:
    data = prices(tmp_path, *(f"about {number}" for number in range(60)))
    text, settings = inferred(data, label="price")
    assert settings.samples.features["area"].type == "float"
    assert "60 of 300 are no numbers (such as about " in text
    assert rejected(data, settings) == 60
    data = prices(tmp_path, *(f"about {number}" for number in range(61)))
    assert inferred(data, label="price")[1].samples.features["area"].hash, "not nearly all are numbers"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_word_that_comes_again_and_again_stands_for_no_value(tmp_path: Path, form: str) -> None:
    data = prices(tmp_path, *["unbekannt"] * 20, *["n/v"] * 5, form=form)
    text, settings = inferred(data, label="price")
    assert settings.samples.features["area"].default == 0
    assert {"unbekannt", "n/v"} <= set(settings.samples.missing)
    assert "25 missing, for which 0 stands in" in text
    assert all_decode(data, settings)


@pytest.mark.parametrize("known", [{}, {"task": "regression"}])
@pytest.mark.parametrize("odd", [["viel"], ["viel", "wenig"], ["viel"] * 30])
def test_a_bad_label_among_numbers_is_no_class(tmp_path: Path, odd: list[str], known: dict[str, str]) -> None:
    data = prices(tmp_path, *odd)
    text, settings = inferred(data, label="area", **known)
    assert settings.model.task == "regression"
    assert "dead letter" in text
    assert "stands in" not in text
    assert rejected(data, settings) == len(odd)


def test_a_word_among_few_numbers_is_a_class(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,grade\n" + "1.5,1\n2.5,2\n3.5,3\n4.5,4\n5.5,5\n6.5,6\n7.5,7\n8.5,K\n" * 20)
    _, settings = inferred(path, label="grade")
    assert (settings.model.task, settings.samples.label.classes) == ("classes", [*"1234567", "K"])
    assert all_decode(path, settings)


def test_numbers_of_a_user_with_a_word_among_them_are_a_key(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,user_id,y\n" + "1.5,101,0\n2.5,102,1\n3.5,103,1\n4.5,104,1\n5.5,guest,0\n" * 20)
    _, settings = inferred(path)
    assert settings.samples.key == "user_id"
    assert "guest" not in settings.samples.missing


@pytest.mark.parametrize(
    ("cells", "date_format"),
    [
        ([f"2024-02-{day:02}" for day in range(1, 29)], None),
        ([f"{day:02}.02.2024" for day in range(1, 29)], "%d.%m.%Y"),
    ],
)
def test_one_bad_cell_leaves_a_time_a_time(tmp_path: Path, cells: list[str], date_format: str | None) -> None:
    path, text, settings = column(tmp_path, *cells, "soon", "later")
    assert (settings.samples.features["x"].kind.key, settings.samples.features["x"].date_format) == (
        "timestamp",
        date_format,
    )
    assert "2 of 30 are no times (such as soon): dead letters" in text
    assert rejected(path, settings) == 2


@pytest.mark.parametrize(("order", "told"), [(sorted, True), (lambda labels: labels[::2] + labels[1::2], False)])
def test_records_in_the_order_of_their_label_are_told_of(tmp_path: Path, order: Any, told: bool) -> None:
    labels = order([f"kind {index // 50}" for index in range(150)])
    _csv(tmp_path / "a.csv", [{"x": index * 37 % 101, "kind": label} for index, label in enumerate(labels)])
    text, _ = inferred(tmp_path / "a.csv", label="kind")
    assert ("the records are sorted by it" in text) == told


def test_a_table_without_a_header_is_told_of(tmp_path: Path) -> None:
    rows = "".join(f"{index * 37 % 100 / 100},{index * 7 % 10 / 10},{'ab'[index % 2]}\n" for index in range(1, 60))
    (tmp_path / "a.csv").write_text(rows)
    assert "looks like a record: if it is one, put a line of names before it" in inferred(tmp_path / "a.csv")[0]
    (tmp_path / "b.csv").write_text("p,2019,q,2020,y\n" + rows.replace(",", ",1,"))
    assert "looks like a record" not in inferred(tmp_path / "b.csv")[0]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,x,y\n1,2,0\n3,4,1\n")
    with pytest.raises(DataError, match="1 names are those of several columns, such as 'x'"):
        inferred(tmp_path / "a.csv")
