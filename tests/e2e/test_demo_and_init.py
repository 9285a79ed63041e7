"""The demo, and the way from one's own data to a model."""

import gzip
import json
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import write_folders
from processes import Zygote, refused, succeeded
from streams import json_lines, records

_DEMO_RECORDS = 5300


def trained(folder: Path) -> int:
    return int(json.loads((folder / "demo/state/summary.json").read_text())["samples_trained"])


def test_the_demo_ends_by_itself_and_goes_on_from_where_it_was(zygote: Zygote, tmp_path: Path) -> None:
    demo = ("demo", "--dir", "demo", "--rate", "100000")
    daemon = zygote.start(tmp_path, *demo, failpoints="loop.call.after=stop@2")
    daemon.wait_until_stopped()
    daemon.signal(signal.SIGINT)
    daemon.signal(signal.SIGCONT)
    result = succeeded(daemon.wait())
    assert "Traceback" not in result.stderr
    assert 0 < trained(tmp_path) < _DEMO_RECORDS

    result = succeeded(zygote.run(tmp_path, *demo))
    assert trained(tmp_path) == _DEMO_RECORDS
    for word in ("accuracy", "no_change", "majority", "/metrics", "demo/state", "learnd init"):
        assert word in result.stdout
    digest = json.loads((tmp_path / "demo/state/summary.json").read_text())["digest"]
    succeeded(zygote.run(tmp_path, *demo))
    again = json.loads((tmp_path / "demo/state/summary.json").read_text())
    assert (again["samples_trained"], again["digest"]) == (_DEMO_RECORDS, digest)


@pytest.mark.parametrize("name", ["own.jsonl", "own.csv", "own.csv.gz", "own.parquet"])
def test_init_writes_settings_that_run(zygote: Zygote, tmp_path: Path, name: str) -> None:
    values = [{**record, "label": "yes" if record.pop("y") else "no"} for record in records(400)]
    path = tmp_path / "data" / name
    path.parent.mkdir()
    if name.endswith(".jsonl"):
        path.write_bytes(json_lines(values))
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(values), path)
    else:
        text = "\n".join([",".join(values[0]), *[",".join(map(str, value.values())) for value in values]]) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert "learnd.yaml" in succeeded(zygote.run(tmp_path, "init", f"data/{name}")).stdout
    succeeded(zygote.run(tmp_path, "validate", "learnd.yaml"))
    options = ("--set", "http.listen=null", "--set", "train.xla=false", "--json")
    given = succeeded(zygote.run(tmp_path, "run", "learnd.yaml", *options)).json()
    assert (given["samples_trained"] + given["samples_held_out"], given["samples_rejected"]) == (400, {})
    assert given["scores"]["accuracy"] > 0.6

    message = refused(zygote.run(tmp_path, "init", f"data/{name}"), 74)
    assert "learnd.yaml exists" in message
    assert "--force" in message


def test_init_for_folders_of_images_writes_a_network_too(zygote: Zygote, tmp_path: Path) -> None:
    write_folders(tmp_path / "photos", 60)
    assert "learnd fit learnd.yaml" in succeeded(zygote.run(tmp_path, "init", "photos")).stdout
    options = ("--set", "http.listen=null", "--set", "samples.features.image.image.size=[16, 16]", "--json")
    given = succeeded(zygote.run(tmp_path, "fit", "learnd.yaml", "--epochs", "2", *options)).json()
    assert (given["samples_trained"] + given["samples_held_out"] > 100, given["samples_rejected"]) == (True, {})

    (tmp_path / "network.py").write_text("# my own")
    succeeded(zygote.run(tmp_path, "init", "photos", "--force"))
    assert (tmp_path / "network.py").read_text() == "# my own"


def test_init_on_what_is_no_data(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)) * 10)
    for name in ("gone.jsonl", "empty.jsonl", "noise.bin", "."):
        result = zygote.run(tmp_path, "init", name)
        assert result.code in {65, 74, 78}
        assert name in refused(result, result.code)
    assert not (tmp_path / "learnd.yaml").exists()
    (tmp_path / "learnd.yaml").touch()
    assert refused(zygote.run(tmp_path, "init", "gone.jsonl"), 74).startswith(
        "gone.jsonl cannot be read (No such file or directory); name a readable file. Nothing was written."
    )
    (tmp_path / "own.jsonl").write_bytes(json_lines(records(50)))
    assert "nowhere" in refused(zygote.run(tmp_path, "init", "own.jsonl", "-o", "nowhere/learnd.yaml"), 74)
