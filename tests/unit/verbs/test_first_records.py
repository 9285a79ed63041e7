"""What `validate` says of the first records, before anything is trained."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from learnd.daemon.config.file import load_settings
from learnd.daemon.config.first_look import problems
from learnd.daemon.errors import LearndError, SettingsError
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.values import State
from learnd.daemon.verbs.first_records import FirstRecords

BASE: dict[str, Any] = {
    "source": {"files": {"path": "data.csv"}},
    "samples": {"format": "csv", "features": {"a": "float"}, "label": "y"},
}


def looked_at(folder: Path, data: str | None, **changes: Any) -> tuple[list[str], list[str]]:
    """Return the problems and the doubts that a file of these contents gives."""
    if data is not None:
        (folder / "data.csv").write_text(data)
    (folder / "learnd.yaml").write_text(json.dumps({**BASE, **changes}))
    first = FirstRecords(load_settings(folder / "learnd.yaml"))
    return list(first.problems()), list(first.doubts())


def ended(folder: Path) -> LearndError:
    """Return what a run would end with over the records that were looked at last."""
    with pytest.raises(LearndError) as caught:
        FirstRecords(load_settings(folder / "learnd.yaml")).check()
    return caught.value


def rows(*cells: str, label: str = "1") -> str:
    return "a,y\n" + "".join(f"{cell},{label if number % 2 else 0}\n" for number, cell in enumerate(cells))


def test_good_records_give_no_word(tmp_path: Path) -> None:
    assert looked_at(tmp_path, rows(*["1.5"] * 300)) == ([], [])


def test_the_share_that_would_be_rejected_and_why(tmp_path: Path) -> None:
    found, doubts = looked_at(tmp_path, rows(*["1", "NA", "much", "2", "3", ""] * 20, *["4"] * 120))
    assert not found
    (doubt,) = doubts
    for part in (
        "60 of the first 240 records (25.0%)",
        "40 missing (a: missing: its cell is empty",
        "20 wrong_type (a: expected a number",
    ):
        assert part in doubt
    assert "a run ends with 65 there, since it takes at most 20% of 1,000 in a row" in doubt
    assert str(ended(tmp_path)).startswith(doubt)
    assert ended(tmp_path).exit_code == 65
    (doubt,) = looked_at(tmp_path, rows(*["1"] * 9, "x"))[1]
    assert "1 of the first 10 records (10.0%)" in doubt
    assert "65" not in doubt
    FirstRecords(load_settings(tmp_path / "learnd.yaml")).check()


def test_rejects_that_come_late_in_the_first_window_are_seen(tmp_path: Path) -> None:
    looked_at(tmp_path, rows(*["1"] * 780, *["x"] * 600))
    assert "600 wrong_type" in str(ended(tmp_path))
    looked_at(tmp_path, rows(*["1"] * 780, *["x"] * 600), dead_letters={"max_rate": 1})
    FirstRecords(load_settings(tmp_path / "learnd.yaml")).check()


def test_records_of_which_none_can_be_used_end_a_run(tmp_path: Path) -> None:
    assert looked_at(tmp_path, rows(*["1,5"] * 10))[0] == []
    assert ended(tmp_path).exit_code == 65
    assert "10 of the first 10 records (100.0%) would be rejected: 10 wrong_column_count" in str(ended(tmp_path))


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        (
            {"features": {"z": "float", "visit": "float"}},
            7,
            "samples.features.visit: FILE has no field 'visit': did you mean 'visits'? There are z, visits, land, y",
        ),
        ({"label": "failure"}, 8, "samples.label: FILE has no field 'failure'; there are z, visits, land, y"),
        (
            {"weight": {"expression": "where(land == DE, 2, 1)"}},
            9,
            (
                "samples.weight.expression: FILE has no field 'DE'; there are z, visits, land, y. "
                "If DE is a text, put it in quotes"
            ),
        ),
    ],
)
def test_a_field_that_all_json_records_lack_is_named_at_its_line(
    tmp_path: Path, changes: dict[str, Any], line: int, words: str
) -> None:
    (tmp_path / "data.jsonl").write_text('{"z": 1, "visits": 2, "land": "DE", "y": 1}\n' * 10)
    samples = {"features": {"z": "float", "visits": "float"}, "label": "y", "weight": "z", **changes}
    features = "\n".join(f"    {name}: {form}" for name, form in samples["features"].items())
    (tmp_path / "learnd.yaml").write_text(
        "source:\n  files: {path: data.jsonl}\nsamples:\n  format: json\n  features:\n"
        f"{features}\n  label: {samples['label']}\n  weight: {json.dumps(samples['weight'])}\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "learnd.yaml", further=lambda given: list(FirstRecords(given).problems()))
    found = words.replace("FILE", "data.jsonl")
    assert caught.value.problems == [
        f"{tmp_path / 'learnd.yaml'}:{line}: {found}; none of the first 10 records can be used"
    ]


def test_json_and_recordings_are_looked_at_too(tmp_path: Path) -> None:
    samples = {"features": {"a": "float"}, "label": "y"}
    records = [{"a": 1, "y": 1}, {"a": 1}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    header = {"learnd_recording": 1, "topics": {"t": "id"}, "starts": {"t-0": 0}, "ends": {"t-0": 2}}
    lines = [{"partition": "t-0", "offset": n, "value": json.dumps(record)} for n, record in enumerate(records)]
    (tmp_path / "rec.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    for source in ({"files": {"path": "data.jsonl"}}, {"recording": {"path": "rec.jsonl"}}):
        (doubt,) = looked_at(tmp_path, None, source=source, samples=samples)[1]
        assert "1 of the first 2 records (50.0%) would be rejected: 1 missing" in doubt


@pytest.mark.parametrize("data", ["", "a,y\n"])
def test_a_file_without_a_record_is_said(tmp_path: Path, data: str) -> None:
    assert looked_at(tmp_path, data) == (
        [],
        ["source: it holds no record, so that a run ends at once and has trained nothing"],
    )
    assert looked_at(tmp_path, data, source={"files": {"path": "data.csv", "follow": True}}) == ([], [])


def test_a_source_that_is_not_there_ends_a_run_unless_it_waits_for_it(tmp_path: Path) -> None:
    looked_at(tmp_path, None)
    assert ended(tmp_path).exit_code == 74
    assert "data.csv: no such file, so there is nothing to read" in str(ended(tmp_path))
    (doubt,) = looked_at(tmp_path, None, source={"files": {"path": "data.csv", "follow": True}})[1]
    assert "data.csv: no such file; a run waits for it" in doubt
    FirstRecords(load_settings(tmp_path / "learnd.yaml")).check()


def test_what_was_begun_is_not_judged_by_the_first_records(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "state", lambda _epoch, _sequence: True)
    store.write(State(), {"sequence": 1, "epoch": 1, "positions": {"file-0": 9}}, lambda: None)
    (doubt,) = looked_at(tmp_path, rows(*["x"] * 300), checkpoint={"dir": str(tmp_path / "state")})[1]
    FirstRecords(load_settings(tmp_path / "learnd.yaml")).check()
    assert "300 of the first 300 records (100.0%) would be rejected" in doubt


def test_a_file_that_is_no_such_format_ends_a_run(tmp_path: Path) -> None:
    samples = {"features": {"a": "float"}, "label": "y"}
    looked_at(tmp_path, "a,y\0\n1,1\n", samples={**BASE["samples"], **samples})
    assert ended(tmp_path).exit_code == 74
    assert "the header is not UTF-8" in str(ended(tmp_path))


@pytest.mark.parametrize(("size", "said"), [(1024, True), (32, False)])
def test_a_hash_far_wider_than_its_values_is_said(tmp_path: Path, size: int, said: bool) -> None:
    samples = {**BASE["samples"], "features": {"a": {"hash": size}}}
    doubts = looked_at(tmp_path, rows(*["x", "y", "z"] * 100), samples=samples)[1]
    assert [doubt.partition(";")[0] for doubt in doubts] == [
        "samples.features.a: 1,024 indices, 3 of them in use in the first 300 records"
    ] * said
    assert looked_at(tmp_path, rows(*map(str, range(300))), samples=samples)[1] == []


@pytest.mark.parametrize(("every", "said"), [(1, True), (3600, False)])
def test_a_number_that_32_bit_floats_hold_in_steps_is_said(tmp_path: Path, every: int, said: bool) -> None:
    doubts = looked_at(tmp_path, rows(*(str(1_700_000_000 + every * n) for n in range(300))))[1]
    assert ["samples.features: a: its values, such as 1700000000, differ by" in doubt for doubt in doubts] == [
        True
    ] * said
    assert all("in steps of 128" in doubt and "timestamp" in doubt for doubt in doubts)


def test_a_header_without_records_is_checked(tmp_path: Path) -> None:
    looked_at(tmp_path, "a,z\n")
    (problem,) = problems(load_settings(tmp_path / "learnd.yaml"))
    assert "samples.label: data.csv has no column 'y'" in problem


def test_a_rare_class_is_said(tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{number},{int(number == 7)}\n" for number in range(400))
    (doubt,) = looked_at(tmp_path, text)[1]
    assert "0.2% of the first 400 are positive" in doubt
    assert "let certainty.decide learn" in doubt
    (doubt,) = looked_at(tmp_path, text, certainty={"decide": {"cost": {"false_positive": 1, "false_negative": 20}}})[1]
    assert doubt.endswith("look at auc and recall")


@pytest.mark.parametrize(("scale", "said"), [(1.0, False), (1e5, True), (1e-4, True)])
def test_a_label_far_from_one_is_said_of_a_model_of_ones_own(tmp_path: Path, scale: float, said: bool) -> None:
    rng = random.Random(3)
    text = "a,y\n" + "".join(f"{rng.random()},{scale * rng.gauss(0, 1)}\n" for _ in range(300))
    model = {"build": "models:build", "task": "regression"}
    assert [("its usual size is" in doubt) for doubt in looked_at(tmp_path, text, model=model)[1]] == [True] * said
    assert looked_at(tmp_path, text, model={"task": "regression"})[1] == []


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("state/scores.jsonl", "is what learnd itself writes there"),
        ("state/journal/x.log", "is what learnd itself writes there"),
        ("state", "is what learnd itself writes there"),
        ("state/dead-letters.jsonl", "dead letters are written to"),
        ("other/../state/dead-letters.jsonl", "dead letters are written to"),
        ("state/predicted.jsonl", None),
    ],
)
def test_predictions_do_not_go_where_the_daemon_writes(tmp_path: Path, file: str, word: str | None) -> None:
    (tmp_path / "data.csv").write_text(rows("1", "2"))
    places = {"checkpoint": {"dir": str(tmp_path / "state")}, "predictions": {"file": str(tmp_path / file)}}
    (tmp_path / "learnd.yaml").write_text(json.dumps({**BASE, **places}))
    found = problems(load_settings(tmp_path / "learnd.yaml"))
    assert len(found) == (word is not None)
    assert all(problem.startswith("predictions.file: ") and word in problem for problem in found if word)


def test_what_tensorboard_shows_goes_beside_what_the_daemon_keeps(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(rows("1", "2"))
    for folder, found in {"state/checkpoints": 1, "state": 0, "state/logs": 0}.items():
        places = {"checkpoint": {"dir": str(tmp_path / "state")}, "history": {"tensorboard": str(tmp_path / folder)}}
        (tmp_path / "learnd.yaml").write_text(json.dumps({**BASE, **places}))
        told = problems(load_settings(tmp_path / "learnd.yaml"))
        assert [text.partition(":")[0] for text in told] == ["history.tensorboard"] * found


def test_a_positive_value_that_never_comes_is_told(tmp_path: Path) -> None:
    label = {"field": "y", "positive": "yse"}
    samples = {**BASE["samples"], "label": label}
    (doubt,) = looked_at(tmp_path, rows(*["1.5"] * 300, label="yes"), samples=samples)[1]
    assert "none of the first 300 is positive" in doubt
