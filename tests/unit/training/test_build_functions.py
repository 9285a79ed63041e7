"""Where a build function is found, and how its place counts."""

from pathlib import Path

import pytest
from learners import NUMBERS, learner
from structlog.testing import capture_logs

from learnd.daemon.config.file import load_settings
from learnd.daemon.config.fingerprint import fingerprint
from learnd.daemon.errors import ModelError, SettingsError

CODE = """
import keras
def build(spec):
    last = keras.layers.Dense(1, activation="sigmoid", name="NAME")
    return keras.Sequential([keras.Input((spec.width,)), last])
"""


def settings_file(folder: Path, build: str) -> Path:
    folder.mkdir()
    file = folder / "learnd.yaml"
    file.write_text(
        f"model: {{build: '{build}'}}\nsource: {{files: {{path: s.csv}}}}\n"
        "samples: {features: {a: float}, label: y}\n"
    )
    return file


@pytest.mark.parametrize(
    ("build", "code"),
    [
        ("net_beside:build", "net_beside.py"),
        ("net_file.py:build", "net_file.py"),
        ("in/net_in.py:build", "in/net_in.py"),
    ],
)
def test_it_is_found_beside_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str, code: str
) -> None:
    file = settings_file(tmp_path / "settings", build)
    (file.parent / code).parent.mkdir(exist_ok=True)
    (file.parent / code).write_text(CODE.replace("NAME", "found"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load_settings(file)
    assert learner(NUMBERS, {"build": settings.model.build}).model.layers[-1].name == "found"


def test_a_named_file_comes_before_a_module_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings_file(tmp_path / "settings", "net_both.py:build")
    for folder, name in ((file.parent, "named"), (tmp_path, "current")):
        (folder / "net_both.py").write_text(CODE.replace("NAME", name))
    monkeypatch.chdir(tmp_path)
    assert learner(NUMBERS, {"build": load_settings(file).model.build}).model.layers[-1].name == "named"


def test_the_folder_does_not_count_in_the_fingerprint(tmp_path: Path) -> None:
    files = [settings_file(tmp_path / name, "network:build") for name in ("one", "other")]
    assert len({fingerprint(load_settings(file)) for file in files}) == 1
    assert fingerprint(load_settings(files[0], ["model.build=network:another"])) != fingerprint(load_settings(files[0]))


def test_what_is_no_name_of_a_function_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"model\.build: must have the form package\.module:function"):
        load_settings(settings_file(tmp_path / "settings", "network"))


def test_a_module_that_is_nowhere_is_told_with_the_places(tmp_path: Path) -> None:
    file = settings_file(tmp_path / "settings", "net_nowhere:build")
    with pytest.raises(ModelError, match=rf"no module 'net_nowhere', .* beside the settings file \({file.parent}\)"):
        learner(NUMBERS, {"build": load_settings(file).model.build})


@pytest.mark.parametrize(
    "rate",
    [
        1,
        1.0,
        {
            "class_name": "ExponentialDecay",
            "config": {"initial_learning_rate": 1, "decay_steps": 10, "decay_rate": 0.5},
        },
    ],
)
def test_a_whole_number_is_a_rate(rate: object) -> None:
    schedule = {"module": "keras.optimizers.schedules", **rate} if isinstance(rate, dict) else rate
    one = learner(NUMBERS, optimizer={"sgd": {"learning_rate": schedule}})
    assert one.learning_rate == 1


CHANGING = """
import keras
class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(3, activation=CHOSEN, name="hidden")
        self.last = keras.layers.Dense(1)
    def call(self, x):
        return self.last(self.hidden(x))
CHOSEN = "relu"
def build(spec):
    return keras.Sequential([keras.Input((spec.width,)), keras.layers.Dense(3, activation=CHOSEN, name="hidden"),
                             keras.layers.Dropout(0.1), keras.layers.Lambda(lambda x: x, name="same"),
                             keras.layers.Dense(1)])
def own(spec):
    return Own()
"""


@pytest.mark.parametrize("name", ["build", "own"])
def test_a_state_tells_what_layers_are_configured_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module = f"changing_{name}"
    (tmp_path / f"{module}.py").write_text(CHANGING)
    monkeypatch.chdir(tmp_path)
    model = {"build": f"{module}:{name}"}
    state = learner(NUMBERS, model, phases=[{"freeze": "hidden", "until": "command"}, {}]).state()
    same = learner(NUMBERS, model)
    with capture_logs() as logs:
        same.restore(state)
    assert not same.changes
    assert not [line for line in logs if line["event"] == "model_changed"]
    monkeypatch.setattr(f"{module}.CHOSEN", "tanh")
    other = learner(NUMBERS, model)
    with capture_logs() as logs:
        other.restore(state)
    (change,) = other.changes
    assert change.endswith("hidden/config/activation: 'relu' before, 'tanh' now")
    assert [line["changes"] for line in logs if line["event"] == "model_changed"] == [other.changes]


def test_a_preset_tells_it_too() -> None:
    state = learner(NUMBERS).state()
    other = learner(NUMBERS, {"activation": "elu"})
    other.restore(state)
    assert [change.partition(":")[0] for change in other.changes] == [
        "layers/hidden_0/config/activation",
        "layers/hidden_1/config/activation",
    ]
