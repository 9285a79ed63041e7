"""Baselines and learners of River on real recordings: the same samples, each predicted before it is learnt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import linear_model
from streams import json_lines, records

from learnd.daemon.bench.bench import NoModelError, compared, contestants
from learnd.daemon.bench.comparison import Comparison, Entry
from learnd.daemon.bench.contestants import ContestantError, Maker, PriorsContestant, Watch, baselines
from learnd.daemon.bench.ran import Ran
from learnd.daemon.bench.recorded import Recorded, read_recording
from learnd.daemon.bench.rivers import RiverContestant, dicts, rivers
from learnd.daemon.bench.trained import TrainedContestant
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import DataError, SettingsError, SourceError, StoppedError
from learnd.daemon.evaluation.prequential import Prequential


class Unwatched:
    def begin(self, name: str, samples: int) -> Callable[[int], None]:  # noqa: ARG002
        return lambda _: None


UNWATCHED = Watch(lambda: False, lambda _: None)
FEATURES = {"a": "float", "b": "float"}


def settings(folder: Path, values: list[Any], task: str = "binary", label: Any = "y", **features: Any) -> Settings:
    (folder / "stream.jsonl").write_bytes(json_lines(values))
    return Settings.model_validate(
        {
            "model": {"task": task},
            "source": {"files": {"path": str(folder / "stream.jsonl")}},
            "samples": {"features": features or FEATURES, "label": label},
        }
    )


def compared_with_nothing(recorded: Recorded) -> Sequence[Entry]:
    ran: dict[str, tuple[Maker, Ran]] = {}
    for one in baselines(recorded.task):
        found = one.run(recorded, UNWATCHED)
        assert found is not None
        ran[one.name] = (one.maker, found)
    return Comparison.of(recorded.task, ran, recorded.labels).entries


def comparison(recorded: Recorded) -> Comparison:
    field = [*baselines(recorded.task), *rivers(recorded.spec)]
    return compared(field, recorded, lambda: False, Unwatched()).comparison


def test_a_recording_is_read_up_to_the_sample_that_is_asked_for(tmp_path: Path) -> None:
    values = [{"a": "none"} if number % 10 == 3 else record for number, record in enumerate(records(100))]
    given = settings(tmp_path, values)
    whole = read_recording(given, None)
    assert (len(whole), whole.records, whole.rejected, whole.whole) == (90, 100, {"missing": 10}, True)
    part = read_recording(given, 31)
    assert (len(part), part.records, part.rejected, part.whole) == (31, 35, {"missing": 4}, False)
    np.testing.assert_array_equal(part.inputs, whole.inputs[:31])
    np.testing.assert_array_equal(part.labels, whole.labels[:31])
    assert read_recording(given, 90).whole


def test_a_recording_with_nothing_to_compare_on_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stream\.jsonl: of 5 records 0 .* rejected: 5 missing"):
        read_recording(settings(tmp_path, [{"a": 1.0}] * 5), None)
    with pytest.raises(DataError, match=r"of 9 records 9 .* It takes at least 10"):
        read_recording(settings(tmp_path, records(9)), None)
    same = [{**record, "y": 1} for record in records(30)]
    with pytest.raises(DataError, match=r"the label \(y\) is the same in all 20 samples, .* with --limit$"):
        read_recording(settings(tmp_path, same), 20)
    with pytest.raises(DataError, match=r"the same in all 30 samples, .* in which it varies$"):
        read_recording(settings(tmp_path, same, "regression"), None)
    with pytest.raises(DataError, match=r"stream\.jsonl: it holds no record"):
        read_recording(settings(tmp_path, []), None)


def test_baselines_know_the_labels_before_and_nothing_else(tmp_path: Path) -> None:
    values = [{"a": 0.0, "b": 0.0, "y": label} for label in (1, 1, 0, 0, 0, *[1] * 5)]
    recorded = read_recording(settings(tmp_path, values), None)
    ran = {one.name: one.run(recorded, UNWATCHED) for one in baselines(recorded.task)}
    assert sorted(ran) == ["majority", "no_change", "priors"]
    assert ran["no_change"].predicted[1:5].tolist() == [True, True, False, False]
    assert ran["majority"].predicted[1:5].tolist() == [True, True, True, False]
    assert ran["no_change"].scored.tolist() == [False, *[True] * 9]


@pytest.mark.parametrize(
    ("task", "label", "values"),
    [
        ("binary", "y", [0, 1]),
        ("classes", {"field": "y", "classes": 3}, [0, 1, 2]),
        ("classes", {"field": "y", "classes": {"max": 5}}, ["u", "v", "w"]),
        ("multi_label", {"field": "y", "labels": ["u", "v"]}, [[], ["u"], ["u", "v"]]),
    ],
)
def test_priors_say_what_they_say_in_a_run(tmp_path: Path, task: str, label: Any, values: list[Any]) -> None:
    drawn = np.minimum(np.random.default_rng(2).geometric(0.6, size=200) - 1, len(values) - 1)
    recorded = read_recording(
        settings(tmp_path, [{"a": 0.0, "b": 0.0, "y": values[index]} for index in drawn], task, label), None
    )
    entries = {one.name: one for one in compared_with_nothing(recorded)}
    board = Prequential(recorded.task, [], None)
    board.add(np.zeros((200, recorded.task.outputs), np.float32), recorded.targets)
    assert entries["priors"].scores["log_loss"] == pytest.approx(board.overall.baselines()["priors"]["log_loss"])
    assert entries["priors"].scores["accuracy"] == entries["majority"].scores["accuracy"]
    assert entries["majority"].scores["brier"] == pytest.approx(1 - entries["majority"].scores["accuracy"])


def test_the_brier_score_of_classes_is_half_the_squared_distance(tmp_path: Path) -> None:
    values = [{"a": 0.0, "b": 0.0, "y": index} for index in (2, 0, 0, *[1] * 7)]
    recorded = read_recording(settings(tmp_path, values, "classes", {"field": "y", "classes": 3}), None)
    squares = PriorsContestant().run(recorded, UNWATCHED).squares[:3]
    said = np.array([[1 / 3, 1 / 3, 1 / 3], [1 / 4, 1 / 4, 2 / 4], [2 / 5, 1 / 5, 2 / 5]])
    came = np.eye(3)[[2, 0, 0]]
    np.testing.assert_allclose(squares, ((said - came) ** 2).sum(axis=1) / 2, rtol=1e-6)


@pytest.mark.parametrize("task", ["binary", "classes"])
def test_river_predicts_what_predict_one_says(tmp_path: Path, task: str) -> None:
    values = [{"a": a, "b": b, "y": int(a > b)} for a, b in np.random.default_rng(1).normal(size=(150, 2)).tolist()]
    label = {"field": "y", "classes": 2} if task == "classes" else "y"
    recorded = read_recording(settings(tmp_path, values, task, label), None)
    features = dicts(recorded.inputs, recorded.spec.columns)
    for one in rivers(recorded.spec):
        model, said, given = one.build(), [], []
        for x, y in zip(features, recorded.labels.tolist(), strict=True):
            given.append(copy.deepcopy(model).predict_proba_one(x))  # a forest begins with its first prediction
            said.append(model.predict_one(x))
            model.learn_one(x, y)
        ran = one.run(recorded, UNWATCHED)
        assert ran is not None
        assert ran.probability is not None
        assert ran.scored.tolist() == [guess is not None for guess in said]
        assert ran.predicted[ran.scored].tolist() == [guess for guess in said if guess is not None]
        asked = [True] * 150 if task == "binary" else recorded.labels.tolist()
        np.testing.assert_allclose(
            ran.probability, [odds.get(value, 0.0) for odds, value in zip(given, asked, strict=True)], rtol=1e-6
        )


@pytest.mark.parametrize("task", ["binary", "classes", "regression"])
def test_each_learner_of_river_learns(tmp_path: Path, task: str) -> None:
    rng = np.random.default_rng(5)
    values = []
    for a, b in rng.normal(size=(600, 2)):
        y = {"binary": int(a + b > 0), "classes": int(a > 0) + int(a + b > 1), "regression": 3 * a - b + 7}[task]
        values.append({"a": a, "b": b, "y": y})
    label = {"field": "y", "classes": 3} if task == "classes" else "y"
    recorded = read_recording(settings(tmp_path, values, task, label), None)
    found = comparison(recorded)
    learners = [one for one in found.entries if one.maker == "river"]
    assert len(learners) == {"binary": 4, "classes": 3, "regression": 3}[task]
    assert found.entries[: len(learners)] == tuple(learners)
    assert all(found.beats_baselines(one) for one in learners)
    assert all(one.ran.samples_per_second for one in learners)


@pytest.mark.parametrize("task", ["binary", "classes", "regression"])
def test_categories_are_of_use_to_each_learner(tmp_path: Path, task: str) -> None:
    values = [{"place": place, "n": 0.0, "y": int(place in "bd")} for place in "abcd" * 100]
    features = {"place": {"values": ["a", "b", "c", "d"]}, "n": "float"}
    label = {"field": "y", "classes": 2} if task == "classes" else "y"
    found = comparison(read_recording(settings(tmp_path, values, task, label, **features), None))
    learners = [one for one in found.entries if one.maker == "river"]
    assert len(learners) == {"binary": 3, "classes": 2, "regression": 2}[task]  # a Mondrian forest takes numbers alone
    assert max(one.errors.mean() for one in learners) < 0.25  # of 0.5, for who does not look at the place


def test_labels_of_several_values_are_not_for_river(tmp_path: Path) -> None:
    values = [{"a": 0.0, "b": 1.0, "y": ["u"] * (number % 2)} for number in range(10)]
    given = settings(tmp_path, values, "multi_label", {"field": "y", "labels": ["u", "v"]})
    assert rivers(read_recording(given, None).spec) == []


def test_texts_are_for_models_of_learnd_alone(tmp_path: Path) -> None:
    values = [{"said": f"good word {number}", "a": 1.5, "y": number % 2} for number in range(10)]
    said = {"text": {"length": 4, "hash": 20}}
    beside = read_recording(settings(tmp_path, values, said=said, a="float"), None)
    assert beside.inputs.shape == (10, 1)
    assert rivers(beside.spec)
    alone = settings(tmp_path, values, said=said)
    makers = {one.maker for one in contestants(alone, read_recording(alone, None))}
    assert makers == {"baseline", "learnd"}


def test_models_of_several_outputs_are_not_compared(tmp_path: Path) -> None:
    (tmp_path / "stream.jsonl").write_bytes(json_lines(records(10)))
    labels = {name: {"field": name, "task": task} for name, task in (("y", "binary"), ("c", "regression"))}
    several = Settings.model_validate(
        {
            "model": {"build": "network:build"},
            "source": {"files": {"path": str(tmp_path / "stream.jsonl")}},
            "samples": {"features": {"a": "float"}, "labels": labels},
        }
    )
    with pytest.raises(SettingsError, match=r"^samples: bench compares models of one input and one label"):
        contestants(several, read_recording(several, None))


def test_a_number_that_is_too_large_for_32_bits_is_an_error_like_another(tmp_path: Path) -> None:
    values = [{"a": a, "b": 1.0, "y": 3e37 * (number % 7 == 3)} for number, a in enumerate([1.0, 1e30, -1e38] * 40)]
    found = comparison(read_recording(settings(tmp_path, values, "regression"), None))
    assert all(np.isfinite(one.scores["mae"]) for one in found.entries)


def test_a_learner_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    recorded = read_recording(settings(tmp_path, records(500)), None)
    through: list[int] = []
    assert rivers(recorded.spec)[0].run(recorded, Watch(lambda: bool(through), through.append)) is None
    assert 0 < sum(through) < 500


@dataclass(frozen=True)
class GivesUp:
    name: str
    why: str
    exit_code: int
    maker: Maker = "learnd"

    def run(self, recorded: Recorded, watch: Watch) -> Ran:  # noqa: ARG002
        raise ContestantError(self.why, self.exit_code)


def test_if_no_model_can_go_on_the_error_says_why_of_each_with_the_code_of_a_run(tmp_path: Path) -> None:
    recorded = read_recording(settings(tmp_path, records(20)), None)
    field = [GivesUp("one", "too many rejects", 65), GivesUp("two", "too many rejects", 65), GivesUp("three", "no", 78)]
    with pytest.raises(NoModelError, match=r"no model got .*\n  one, two: too many rejects\n  three: no$") as error:
        compared([*baselines(recorded.task), *field], recorded, lambda: False, Unwatched())
    assert error.value.exit_code == 65
    with pytest.raises(StoppedError) as stopped:
        compared([*baselines(recorded.task), *field], recorded, lambda: True, Unwatched())
    assert stopped.value.exit_code == 0


def test_a_recording_that_has_changed_since_it_was_read_is_told(tmp_path: Path) -> None:
    given = settings(tmp_path, records(40))
    recorded = read_recording(given, None)
    settings(tmp_path, [{**record, "y": 1 - record["y"]} for record in records(40)])
    quick = given.model_copy(update={"train": given.train.model_copy(update={"xla": False})})
    with pytest.raises(SourceError, match="the recording has changed since its samples were read"):
        TrainedContestant("linear", quick).run(recorded, UNWATCHED)


class Broken(linear_model.LogisticRegression):
    def learn_one(self, x: Any, y: Any, w: float = 1.0) -> None:
        super().learn_one(x, y, w)
        if abs(self.intercept) > 0.01:
            raise ZeroDivisionError("of no use")


def test_a_learner_that_raises_an_error_is_out_and_the_others_are_compared(tmp_path: Path) -> None:
    recorded = read_recording(settings(tmp_path, records(100)), None)
    field = [*baselines(recorded.task), RiverContestant("broken", Broken), rivers(recorded.spec)[0]]
    card = compared(field, recorded, lambda: False, Unwatched())
    assert card.failed == {"broken": "ZeroDivisionError: of no use"}
    assert card.unfinished == []
    assert {one.name for one in card.comparison.entries} == {
        "no_change",
        "majority",
        "priors",
        "River LogisticRegression",
    }
