"""`learnd predict` and `learnd encode`: from records to predictions, and to the input of the model."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import Result, Zygote, refused, succeeded
from streams import json_lines, records

import learnd
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.verbs.checkpoints import restored_learner

COUNT = 2500  # more than a source reads at once
ROUNDING = 1e-5  # of float32: another process may add in another order, by the flags of the models before


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of records without labels."""
    path = tmp_path_factory.mktemp("given") / "given.jsonl"
    path.write_bytes(json_lines(unlabelled()))
    return path


def unlabelled() -> list[dict[str, Any]]:
    return [{name: value for name, value in record.items() if name != "y"} for record in records(COUNT, seed=3)]


def expected(folder: Path, sequence: int | None = None) -> Any:
    """Return what the model of a checkpoint gives for the records, (n,)."""
    inputs = {"features": learnd.encoder(folder / "learnd.yaml")(unlabelled())}
    root = folder / "state"
    return restored_learner(root, checkpoint_of(root, sequence)).predict(inputs)["label"][:, 0]


def test_it_predicts_what_the_daemon_would(zygote: Zygote, whole: tuple[Path, Result], given: Path) -> None:
    folder, _ = whole
    for place in ("learnd.yaml", "state"):
        result = succeeded(zygote.run(folder, "predict", place, given))
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert [row["record"] for row in rows] == list(range(1, COUNT + 1))
        np.testing.assert_allclose([row["prediction"] for row in rows], expected(folder), rtol=ROUNDING)
        assert result.stderr == ""


def test_it_reads_standard_input_and_writes_csv_of_an_earlier_checkpoint(
    zygote: Zygote, whole: tuple[Path, Result], given: Path, tmp_path: Path
) -> None:
    folder, _ = whole
    listed = json.loads(succeeded(zygote.run(folder, "checkpoints", "ls", "state", "--json")).stdout)
    sequence = listed[-1]["sequence"]
    output = tmp_path / "new" / "predicted.csv"
    arguments = ("predict", "learnd.yaml", "--sequence", str(sequence), "--output", output)
    assert succeeded(zygote.run(folder, *arguments, stdin=given)).stdout == ""
    header, *rows = csv.reader(io.StringIO(output.read_text()))
    assert header == ["record", "prediction"]
    earlier = expected(folder, sequence)
    assert not np.allclose(earlier, expected(folder), rtol=1e-3)
    np.testing.assert_allclose([float(row[1]) for row in rows], earlier, rtol=ROUNDING)


def test_what_cannot_be_decoded_is_told_and_the_others_go_through(
    zygote: Zygote, whole: tuple[Path, Result], tmp_path: Path
) -> None:
    folder, _ = whole
    lines = json_lines(unlabelled()[:600]).splitlines()
    lines[1], lines[599] = b"not json", json.dumps({**unlabelled()[0], "a": "text"}).encode()
    path = tmp_path / "given.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    result = zygote.run(folder, "predict", "state", path)
    told = refused(result, 65)
    assert [json.loads(line)["record"] for line in result.stdout.splitlines()] == [1, *range(3, 600)]
    assert f"record 2 (file-0, position {len(lines[0]) + 1}): " in told
    assert "(bad_json)" in told
    assert "record 600 (" in told
    assert "(wrong_type)" in told
    assert "2 of 600 records could not be decoded" in told


def test_the_encoded_matrix_is_what_the_encoder_gives(
    zygote: Zygote, whole: tuple[Path, Result], given: Path, tmp_path: Path
) -> None:
    folder, _ = whole
    encoder = learnd.encoder(folder / "learnd.yaml")
    names, *rows = map(json.loads, succeeded(zygote.run(folder, "encode", "state", given)).stdout.splitlines())
    assert tuple(names) == encoder.columns
    np.testing.assert_array_equal(np.array(rows, np.float32), encoder(unlabelled()))
    succeeded(zygote.run(folder, "encode", "learnd.yaml", given, "-o", tmp_path / "x.csv"))
    header, *cells = csv.reader(io.StringIO((tmp_path / "x.csv").read_text()))
    assert header == names
    np.testing.assert_array_equal(np.array(cells, np.float32), encoder(unlabelled()))


def test_it_goes_on_while_a_pipe_does_and_ends_when_nobody_reads(whole: tuple[Path, Result], given: Path) -> None:
    folder, _ = whole
    encode = f"{sys.executable} -m learnd encode learnd.yaml"
    copies = " ".join([str(given)] * 30)  # more than a pipe holds
    script = f"cat {copies} | {encode} | wc -l; cat {copies} | {encode} | head -1; echo ${{PIPESTATUS[1]}}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    lines, names, code = done.stdout.splitlines()
    assert int(lines) == 30 * COUNT + 1
    assert json.loads(names) == ["a", "b", "c"]
    assert code == "0"
    assert done.stderr == ""


def test_a_table_without_a_needed_column_is_refused_at_once(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "learnd.yaml").write_text(
        "source: {files: {path: s.csv}}\nsamples: {format: csv, features: {amount: float}, label: y}\n"
    )
    (tmp_path / "x.csv").write_text("Amount,b\n1,2\n")
    told = refused(zygote.run(tmp_path, "encode", "learnd.yaml", "x.csv"), 65)
    assert "x.csv has no column 'amount': did you mean 'Amount'?" in told
    for verb in ("predict", "evaluate"):
        told = refused(zygote.run(tmp_path, verb, "learnd.yaml", "x.csv"), 74)
        assert "state: no daemon has started there. There is no model yet: `learnd run SETTINGS` makes one." in told
    assert "`learnd run SETTINGS` makes the state directory" in refused(zygote.run(tmp_path, "report", "state"), 78)
    assert "no such file" in refused(zygote.run(tmp_path, "encode", "learnd.yaml", "y.csv"), 74)
    over = "encode", "learnd.yaml", "x.csv", "--force", "-o"
    assert "x.csv is what this command reads" in refused(zygote.run(tmp_path, *over, "x.csv"), 74)
    assert "learnd.yaml is what this command reads" in refused(zygote.run(tmp_path, *over, "learnd.yaml"), 74)
    assert (tmp_path / "x.csv").read_text() == "Amount,b\n1,2\n"
    assert "cannot be written" in refused(zygote.run(tmp_path, "encode", "learnd.yaml", "x.csv", "-o", tmp_path), 74)


def test_messages_come_from_a_recording(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "learnd.yaml").write_text(
        "source: {kafka: {topic: t}}\nsamples: {format: tf_example, features: {a: float}, label: y}\n"
    )
    assert "learnd record" in refused(zygote.run(tmp_path, "encode", "learnd.yaml"), 78)
