from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr, ValidationError

from learnd.daemon.config.document import Document
from learnd.daemon.config.file import load_settings, read_files, schema
from learnd.daemon.config.fingerprint import fingerprint
from learnd.daemon.config.first_look import doubts, missing_in_source
from learnd.daemon.config.first_look import problems as first_problems
from learnd.daemon.config.problems import Outline, describe
from learnd.daemon.config.record import as_file
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.section import Section
from learnd.daemon.reactions.settings import Trigger
from learnd.daemon.state.settings import CheckpointSettings
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.values import State

SMALL = """\
source: {files: {path: clicks.jsonl}}
samples:
  features: {amount: float, country: {hash: 1000}}
  label: fraud
"""


LONGER = "source.files.max_record_bytes=4096"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problems(path: Path, overrides: tuple[str, ...] = (), environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, overrides, environ or {})
    return [problem.replace(f"{path}", "FILE") for problem in caught.value.problems]


def test_every_section_of_the_documented_example_parses(write: Any) -> None:
    settings = load_settings(
        write("""\
model:   {preset: mlp, hidden: [64, 32], task: binary}
source:  {files: {path: "${DATA:clicks}.jsonl"}}
samples: {format: json, features: {amount: float, country: {hash: 1000}, age: float}, label: fraud, event_time: ts}
train:   {batch_size: 1, max_wait_ms: 50, optimizer: {adam: {learning_rate: 0.001}}, seed: 7}
validate:
  prequential: {windows: [1000, 10000]}
  holdout: {share: 0.02, by: key}
  anchor: {file: anchor.jsonl, every: 50000}
checkpoint: {dir: state/, every: {samples: 50000, seconds: 30}, keep: 5}
http: {listen: "127.0.0.1:9464"}
""")
    )
    assert settings.source.name == "files"
    assert settings.train.optimizer == {"adam": {"learning_rate": 0.001}}
    assert settings.validation.prequential.windows == (1000, 10000)
    assert settings.checkpoint.every.samples == 50000


def test_what_is_left_out_has_a_default(write: Any) -> None:
    settings = load_settings(write(SMALL))
    assert settings.train.batch_size == 1
    assert settings.http.listen == "127.0.0.1:9464"
    assert settings.shutdown_timeout_s == 25


def test_every_problem_is_listed_at_its_line(write: Any) -> None:
    text = """\
model: {preset: mpl, taks: binary}
source:
  files:
    pth: x
samples:
  features:
    amount: flaot
    country: {hash: 1}
  label: {field: x, classes: 1}
train:
  batch_size: 0
  batch_size: 3
  lr: 5
  seed: 1.5
checkpoint: {keep: 1, seed: 1}
http: {listen: nowhere}
replay: []
"""
    assert problems(write(text), ("train.batch_sze=3", "train.step=fast")) == [
        "FILE:1: model.preset: must be auto or linear or mlp, not 'mpl': did you mean 'mlp'?",
        "FILE:1: unknown key model.taks: did you mean 'task'?",
        "FILE:3: source.files.path: missing, and there is no default",
        "FILE:4: unknown key source.files.pth: did you mean 'path'?",
        "FILE:7: samples.features.amount: must be float or integer or boolean, not 'flaot': did you mean 'float'?",
        "FILE:8: samples.features.country.hash: must be at least 2, not 1",
        "FILE:9: samples.label.classes: must be at least 2, not 1",
        "FILE:11: train.batch_size: must be greater than 0, not 0",
        "FILE:12: 'batch_size' stands twice, first at FILE:11",
        f"FILE:13: unknown key train.lr; there are {', '.join(TrainSettings.model_fields)}",
        "FILE:14: train.seed: must be a whole number, not 1.5",
        "FILE:15: checkpoint.keep: must be at least 2, not 1",
        "FILE:15: unknown key checkpoint.seed: did you mean train.seed?",
        "FILE:16: http.listen: 'nowhere' is not an address: write host:port, such as 127.0.0.1:9464",
        f"FILE:17: unknown key replay; there are {', '.join(schema()['properties'])}",
        "--set train.step: must be fused or train_on_batch, not 'fast'",
        "--set train.batch_sze: unknown key: did you mean 'batch_size'?",
    ]


def test_sections_that_do_not_fit_each_other_are_found_at_their_line(write: Any) -> None:
    (problem,) = problems(write(SMALL.replace("label: fraud", "label: {field: fraud, classes: 3}")))
    assert problem.startswith("FILE:4: samples.label.classes is for the task classes, but model.task is binary")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{flies: {path: x}}", "unknown source 'flies': did you mean 'files'?"),
        ("{kinesis: {}}", "unknown source 'kinesis'; there are epochs, files, kafka, recording, stdin"),
        ("{files: {path: x}, stdin: {}}", "name one source: epochs, files, kafka, recording, stdin"),
        ("[]", "name one source: epochs, files, kafka, recording, stdin"),
    ],
)
def test_a_source_is_one_of_the_registry(write: Any, source: str, expected: str) -> None:
    (problem,) = problems(write(SMALL.replace("{files: {path: clicks.jsonl}}", source)))
    assert problem.startswith(f"FILE:1: source: {expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE: the file is empty"),
        ("# nothing\n", "FILE: the file is empty"),
        ("- a\n", "FILE:1: must be a section of keys and values, not ['a']"),
        ("hello\n", "FILE:1: must be a section of keys and values, not 'hello'"),
        ("a: {b: 1\nc: 2\n", "FILE:2: this is not YAML: while parsing a flow mapping"),
        ("a:\n\tb: 1\n", "FILE:2: this is not YAML: while scanning for the next token, found character '\\t'"),
        ("a: 1\n---\nb: 2\n", "FILE:2: this is not YAML: expected a single document"),
        ("a: ${B\n", "FILE:1: '${B' is not ${NAME} or ${NAME:default}"),
        ("a: {b: ${B}}\n", "FILE:1: this is not YAML"),
        ("a: &a [*a]\n", "FILE:1: nested too deeply"),
        ("[" * 5000, "FILE: nested too deeply"),
        (
            "model: !!python/object/apply:os.system [date]\n",
            "FILE:1: the tag 'tag:yaml.org,2002:python/ob",
        ),
        ("{a: 1}: b\n", "FILE:1: a key is a text"),
        ("a: \0\n", "FILE: this is not YAML"),
        (b"a: 1\nb: \xff\n", "FILE:2: this is not UTF-8 text"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [" + "*a," * 999 + "]\nc: [" + "*b," * 999 + "]",
            "FILE:1: nested too deep",
        ),
    ],
)
def test_a_file_that_is_no_settings_file_is_told_so(write: Any, text: str | bytes, expected: str) -> None:
    assert problems(write(text))[0].startswith(expected)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert "there is no such file" in problems(tmp_path / "none.yaml")[0]
    assert "this is a folder" in problems(tmp_path)[0]


def test_the_environment_is_put_in_and_typed_anew(write: Any) -> None:
    text = SMALL + 'train: {batch_size: "${B}", seed: 7}\nmodel:\n  dropout: ${D:1e-1}\n  standardize: ${S:false}\n'
    settings = load_settings(write(text), environ={"B": "16"})
    assert (settings.train.batch_size, settings.model.dropout, settings.model.standardize) == (16, 0.1, False)


def test_a_variable_that_is_not_set_is_one_problem_and_no_more(write: Any) -> None:
    assert problems(write(SMALL + "train:\n  batch_size: ${B}\n")) == [
        "FILE:6: the environment variable B is not set; set it, or write ${B:default}"
    ]


def test_a_doubled_dollar_is_a_plain_one(write: Any) -> None:
    assert load_settings(write(SMALL.replace("fraud", "$${x}"))).samples.label.field == "${x}"


def test_words_that_older_yaml_takes_for_booleans_are_texts(write: Any) -> None:
    settings = load_settings(write(SMALL.replace("amount: float", "on: float, no: float").replace("fraud", "yes")))
    assert list(settings.samples.features) == ["on", "no", "country"]
    assert settings.samples.label.field == "yes"


def test_an_override_is_laid_over_the_file(write: Any) -> None:
    path = write(SMALL + "train: {batch_size: 1}\nvalidate: {prequential: {windows: [10, 20]}}\n")
    overrides = (
        "train.batch_size=32",
        "validate.prequential.windows.1=30",
        "train.optimizer={sgd: {learning_rate: 1e-2}}",
    )
    settings = load_settings(path, (*overrides, "http.listen=null"))
    assert settings.train.batch_size == 32
    assert settings.validation.prequential.windows == (10, 30)
    assert settings.train.optimizer == {"sgd": {"learning_rate": 0.01}}
    assert settings.http.listen is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.batch_size", "--set train.batch_size: write it as dotted.path=value"),
        ("=3", "--set =3: write it as dotted.path=value"),
        ("train..x=3", "--set train..x=3: write it as dotted.path=value"),
        ("validate.prequential.windows.2=3", "--set validate.prequential.windows.2: there is no item 2 in a list of 2"),
        ("samples.label.x.y=3", "--set samples.label.x.y: 'x' cannot be set in 'fraud'"),
        ("train.seed=[1", "--set train.seed: this is not YAML"),
        ("train.seed=x", "--set train.seed: must be a whole number, not 'x'"),
    ],
)
def test_an_override_is_checked_like_the_file(write: Any, override: str, expected: str) -> None:
    path = write(SMALL + "validate: {prequential: {windows: [10, 20]}}\n")
    (problem,) = problems(path, (override,))
    assert problem.startswith(expected)


def test_a_path_is_seen_from_the_file_and_in_an_override_from_the_current_folder(write: Any, tmp_path: Path) -> None:
    path = write(SMALL + "validate: {anchor: {file: a/anchor.jsonl}}\n")
    settings = load_settings(path, ("checkpoint.dir=elsewhere",))
    assert settings.validation.anchor is not None
    assert settings.validation.anchor.file == tmp_path / "a" / "anchor.jsonl"
    assert settings.checkpoint.dir == Path.cwd() / "elsewhere"
    assert as_file(settings)["source"] == {"files": {"path": str(tmp_path / "clicks.jsonl")}}
    assert as_file(load_settings(path, ("source.files.path=*.csv",)))["source"] == {
        "files": {"path": str(Path.cwd() / "*.csv")}
    }
    assert load_settings(path).checkpoint.dir == tmp_path / "state"
    assert load_settings(path, ("checkpoint.dir=/there",)).checkpoint.dir == Path("/there")


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        ("{metric: acuracy}", "'acuracy' is not published: did you mean 'accuracy'?"),
        ("{window: 500}", "500 is none of validate.prequential.windows"),
    ],
)
def test_a_best_checkpoint_is_one_of_a_published_score(write: Any, best: str, expected: str) -> None:
    (problem,) = problems(write(SMALL + f"checkpoint: {{best: {best}}}\n"))
    assert expected in problem


def test_the_fingerprint_tells_what_is_learned_from_and_nothing_else(write: Any, tmp_path: Path) -> None:
    path = write(SMALL)
    print_ = fingerprint(load_settings(path))
    for same in ("http.listen=null", "checkpoint.keep=9", "source={stdin: {}}", "train.max_updates_per_call=8"):
        assert fingerprint(load_settings(path, (same,))) == print_
    for other in ("train.batch_size=2", "model.dropout=0.1", "samples.features.amount=integer", "train.seed=8", LONGER):
        assert fingerprint(load_settings(path, (other,))) != print_
    moved = tmp_path / "moved"
    moved.mkdir()
    text = SMALL + "model: {load: base.keras}\n"
    (moved / "settings.yaml").write_text(text)
    assert fingerprint(load_settings(moved / "settings.yaml")) == fingerprint(load_settings(write(text)))


def test_what_was_loaded_can_be_kept_and_taken_back(write: Any) -> None:
    text = SMALL + "validate: {anchor: {file: anchor.jsonl}}\ncheckpoint: {every: {seconds: 1}}\n"
    settings = load_settings(write(text), ("samples.features.age={timestamp: [hour], unit: ms}",))
    kept = json.loads(json.dumps(as_file(settings)))
    again = Settings.model_validate(kept)
    assert again == settings
    assert fingerprint(again) == fingerprint(settings)
    assert again.samples.spec("binary") == settings.samples.spec("binary")


class Login(Section):
    user: str = "me"
    password: SecretStr
    port: int = 1


class Holder(Section):
    logins: list[Login]


def secrets_of(text: str, folder: Path) -> tuple[Document, Outline]:
    document = Document(str(folder / "settings.yaml"), {})
    document.read(text)
    outline = Outline(Holder)
    read_files(document.data, (), document, outline)
    return document, outline


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    document, _ = secrets_of("logins: [{password_file: secret}]", tmp_path)
    assert Holder.model_validate(document.data).logins[0].password.get_secret_value() == "hunter2"


def test_a_secret_file_that_is_missing_or_given_twice_is_a_problem(tmp_path: Path) -> None:
    document, _ = secrets_of("logins: [{password_file: secret, password: x}]", tmp_path)
    assert "give password or password_file, not both" in document.problems[0]
    assert "cannot be read" in document.problems[1]


def test_only_a_secret_has_a_file_variant_and_it_is_never_shown(tmp_path: Path) -> None:
    document, outline = secrets_of("logins: [{password: 12345, user_file: secret}]", tmp_path)
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate(document.data)
    lines = describe(caught.value, document, outline)
    assert any("unknown key logins.0.user_file" in line for line in lines)
    assert "12345" not in str(lines)


def test_words_may_stand_in_a_file_one_a_line(write: Any, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"\xef\xbb\xbfgood\r\nbad\n")
    path = write(SMALL.replace("amount: float", "t: {text: {length: 3, vocabulary_file: words.txt}}"))
    form = load_settings(path).samples.features["t"].text
    assert form is not None
    assert form.vocabulary == ["good", "bad"]
    (problem,) = problems(path, ("samples.features.t.text.vocabulary_file=/none.txt",))
    assert "samples.features.t.text.vocabulary_file: /none.txt cannot be read" in problem


def test_the_schema_knows_every_section_and_source() -> None:
    described = schema()
    json.dumps(described)
    assert set(described["properties"]) == {field.alias or name for name, field in Settings.model_fields.items()}
    assert [next(iter(one["properties"])) for one in described["properties"]["source"]["oneOf"]] == [
        "epochs",
        "files",
        "kafka",
        "recording",
        "stdin",
    ]
    assert all(field.description for field in Settings.model_fields.values())


def test_checking_settings_does_not_import_tensorflow(write: Any) -> None:
    code = (
        "import sys; from pathlib import Path; from learnd.daemon.config.file import load_settings;"
        "load_settings(Path(sys.argv[1])); sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(write(SMALL))], check=False, cwd=Path.cwd()).returncode == 0


@pytest.mark.parametrize("name", ["data.csv", "clicks.jsonl", "a.jsonl.gz", "T.PARQUET"])
def test_data_in_place_of_settings(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"a,b\n1,2\n")
    (problem,) = problems(tmp_path / name)
    assert f"`learnd init {tmp_path / name}`".replace(str(tmp_path / name), "FILE") in problem


@pytest.mark.parametrize(
    ("samples", "feature"),
    [
        ("{features: {a: float, fraud: float}, label: fraud}", "features.fraud: 'fraud'"),
        ("{features: {a: float, b: {type: float, field: fraud}}, label: {field: fraud}}", "features.b: 'fraud'"),
        ("{features: {p: float}, label: {labels: [p, q]}}", "features.p: 'p'"),
    ],
)
def test_a_label_that_is_a_feature_as_well(write: Any, samples: str, feature: str) -> None:
    (problem,) = problems(write(f"source: {{files: {{path: a.csv}}}}\nsamples: {samples}\n"))
    assert problem.startswith(f"FILE:2: samples.{feature} is the label as well")


TRIGGERS = " or ".join(get_args(Trigger))
LAYERS = (
    "a name or pattern of layers (output, hidden_*), a number of layers from the end (1 or more), {type: Dense}, "
    "or a list of "
)
MISTAKES = """\
drift:
  - {watch: error, detector: adwin, arguments: {delt: 0.01,
      clock: 0}}
  - watch: loss
    warn: dmd
    detector: adwin
  - {watch: features, detector: psi, reference: 99, window: 19}
  - {watch: features, detector: psi,
     columns: [amount, amount]}
guard: {sigma: .nan}
reactions:
  - on: drift.confirm
    do: [log]
  - on: drift.confirmed
    do: [roll_bakc]
  - on: drift.confirmed
    do:
      - learning_rate
  - {on: drift.confirmed, do: []}
phases:
  - unfreeze: 0
"""
FURTHER = """\
drift:
  - {watch: error, detector: adwin}
  - watch: features
    detector: psi
    columns: [amount, amuont]
  - {watch: error, detector: adwin}
guard: {sigma: null}
reactions:
  - {on: update.non_finite, do: [log]}
  - on: loss.spike
    do: [log]
phases:
  - until: {samples: 5}
  - unfreeze: output
    groups:
      - {layers: hidden_0, times: 2}
checkpoint:
  best: {window: 500}
"""


def test_mistakes_in_lists_are_found_at_their_lines_each_once(write: Any) -> None:
    told = problems(write(SMALL + MISTAKES))
    assert [problem.partition(";")[0].partition(" There are ")[0] for problem in told] == [
        "FILE:6: drift.0.arguments.delt: adwin takes no such argument: did you mean 'delta'?",
        "FILE:7: drift.0.arguments.clock: must be a whole number from 1 to 1,000,000,000, not 0",
        "FILE:9: drift.1.warn: must be adwin or hddm_w or page_hinkley or kswin or ddm, not 'dmd': did you mean 'ddm'?",
        "FILE:11: drift.2.reference: must be at least 100, not 99",
        "FILE:11: drift.2.window: must be at least 20, not 19",
        "FILE:13: drift.3.columns.1: 'amount' is there already",
        "FILE:14: guard.sigma: must be a finite number, not nan",
        f"FILE:16: reactions.0.on: must be {TRIGGERS}, not 'drift.confirm': did you mean 'drift.confirmed'?",
        "FILE:19: reactions.1.do.0: unknown action 'roll_bakc': did you mean 'roll_back'?",
        "FILE:22: reactions.2.do.0.learning_rate.times: missing, and there is no default",
        "FILE:23: reactions.3.do: must have at least 1 items, not []",
        f"FILE:25: phases.0.unfreeze: must be {LAYERS}these, not 0",
    ]


def test_sections_that_do_not_fit_each_other_are_all_found_at_their_lines(write: Any) -> None:
    told = problems(write(SMALL + FURTHER))
    assert [problem.partition(";")[0].partition(" There are ")[0] for problem in told] == [
        "FILE:9: drift.1.columns.1: 'amuont' is none of the features: did you mean 'amount'?",
        "FILE:10: drift.2: drift.0 is the same",
        "FILE:14: reactions.1: loss.spike is of updates that guard.sigma skips, and it is null",
        "FILE:20: phases.1.groups.0.layers: none of its layers trains in this phase",
        "FILE:22: checkpoint.best.window: 500 is none of validate.prequential.windows (1000, 10000)",
    ]
    (override,) = problems(write(SMALL), ("phases=[{freeze: '*'}]",))
    assert override.startswith("--set phases: phases.0: no layer trains in it; unfreeze at least one of those that can")


def test_phases_are_counted_from_nought(write: Any) -> None:
    phases = "phases:\n  - {unfreeze: output}\n  - unfreeze: output\n    until: drift\n"
    assert problems(write(SMALL + phases)) == [
        "FILE:6: phases.0: it has no `until`, so the next one would never begin",
        "FILE:8: phases.1.until: the last phase has no end, since no phase follows",
    ]


def test_fields_that_cannot_be_read_together_are_found_at_their_line(write: Any) -> None:
    path = write(SMALL.replace("amount: float", "country.code: float"))
    with pytest.raises(SettingsError) as caught:
        load_settings(path, (), {}, further=first_problems)
    assert caught.value.problems == [f"{path}:2: samples: the field 'country' is read both as a value and as an object"]


def write_checkpoint(root: Path, positions: dict[str, int]) -> None:
    store = CheckpointStore(root, lambda _epoch, _sequence: True)
    manifest = {"sequence": 1 + len(store.paths()), "epoch": 1, "positions": positions}
    store.write(State(), manifest, lambda: None)


def test_columns_that_the_source_lacks_are_found_at_their_line(write: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("temp,failed\n1,0\n")
    text = "source: {files: {path: a.csv}}\nsamples:\n  format: csv\n  features: {temp: float}\n  label: failure\n"
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, (), {}, further=missing_in_source)
    assert caught.value.problems == [
        f"{path}:5: samples.label: a.csv has no column 'failure': did you mean 'failed'? There are temp, failed"
    ]
    write_checkpoint(tmp_path / "state", positions={})  # of a run over no records: all of them are still to come
    with pytest.raises(SettingsError):
        load_settings(path, (), {}, further=missing_in_source)
    write_checkpoint(tmp_path / "state", positions={"file-0": 9})
    begun = load_settings(path, [f"checkpoint.dir={tmp_path / 'state'}"], {}, further=missing_in_source)
    assert [doubt.partition(":")[0] for doubt in doubts(begun)] == ["samples.label"]


def test_a_state_directory_that_cannot_be_made_is_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o644)
    there = CheckpointSettings(dir=tmp_path / "new" / "state")
    assert there.doubt() is None
    doubt = CheckpointSettings(dir=tmp_path / "file" / "state").doubt()
    assert doubt is not None
    assert f"{tmp_path / 'file'} cannot be written" in doubt


def test_columns_that_are_declared_for_messages_are_to_hold_the_fields(write: Any) -> None:
    text = "source: {kafka: {topic: t}}\nsamples:\n  {format: csv, columns: [a, yy], features: {a: float}, label: y}\n"
    path = write(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, (), {}, further=missing_in_source)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:3: samples.label: samples.columns has no column 'y': did you mean 'yy'?")
