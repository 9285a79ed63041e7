"""Rules and watches that mean nothing, or fight, are refused with their place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from learnd.daemon.config.file import load_settings
from learnd.daemon.config.fingerprint import fingerprint
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, Reaction, known_causes, known_outcomes

BASE: dict[str, Any] = {
    "source": {"files": {"path": "stream.jsonl"}},
    "samples": {"features": {"a": "float", "b": "float"}, "label": "y"},
}
RATE = {"learning_rate": {"times": 3, "over": 500}}


def problems(folder: Path, **sections: Any) -> str:
    path = folder / "learnd.yaml"
    path.write_text(yaml.safe_dump({**BASE, **sections}))
    with pytest.raises(SettingsError) as raised:
        load_settings(path, environ={})
    return str(raised.value)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"on": "drift.confirmed", "do": []}, "at least 1"),
        ({"on": "drift.confirmed", "do": ["shout"]}, "shout"),
        ({"on": "drift.confirmed", "do": [{"log": {}, "pause": {}}]}, "one action per entry"),
        ({"on": "drift.confirmed", "do": [{"learning_rate": {"times": 0}}]}, "greater than 0"),
        ({"on": "drift.confirmed", "do": [RATE, RATE]}, "twice"),
        ({"on": "drift.confirmed", "do": [RATE, "roll_back"]}, "roll_back would undo"),
        ({"on": "drift.confirmed", "do": ["next_phase"]}, "fewer than two"),
        ({"on": "drift.confirmed", "signal": "labels", "do": ["log"]}, "nothing under drift ever reports"),
        ({"on": "drift.confirmed", "after": 3, "do": ["log"]}, "after has no meaning for drift.confirmed"),
        ({"on": "score.drop", "do": ["roll_back"]}, "validate has neither"),
        ({"on": "score.drop", "signal": "error", "do": ["log"]}, "signal has no meaning"),
        ({"on": "score.drop", "of": "anchor", "do": ["log"]}, "of has no meaning for score.drop"),
        ({"on": "score.plateau", "of": "anchor", "do": ["stop"]}, "validate has none; add validate.anchor"),
        ({"on": "score.plateau", "of": "anchor", "window": 9, "do": ["stop"]}, "window has no meaning for scores of"),
        ({"on": "score.plateau", "metric": "auc", "do": ["log"]}, "metric has no meaning without of"),
        ({"on": "score.plateau", "do": ["stop"]}, "stop is for scores that get no better"),
        ({"on": "update.non_finite", "margin": 0.1, "do": ["log"]}, "margin has no meaning"),
        ({"on": "drift.confirmed", "do": [{"roll_bakc": {}}]}, "do.0.roll_bakc: did you mean 'roll_back'?"),
        ({"on": "drift.confirmed", "do": ["chalenge"]}, "unknown action 'chalenge'; there are log, checkpoint"),
    ],
)
def test_a_rule_without_its_part_is_refused(tmp_path: Path, rule: dict[str, Any], words: str) -> None:
    assert words in problems(tmp_path, reactions=[rule])


def test_an_error_that_rose_is_asked_for_rollbacks_alone(tmp_path: Path) -> None:
    rule = {"on": "score.drop", "do": ["log"], "if_error_rose": True}
    assert "if_error_rose has no meaning without roll_back" in problems(tmp_path, reactions=[rule])


def test_there_is_nothing_to_refit_without_standardisation(tmp_path: Path) -> None:
    rule = {"on": "drift.confirmed", "do": ["refit_standardization"]}
    assert "nothing to refit" in problems(tmp_path, reactions=[rule], model={"standardize": False})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"on": "drift.confirmed", "do": [RATE]}, {"on": "drift.confirmed", "signal": "error", "do": [RATE]}),
        ({"on": "update.non_finite", "do": ["roll_back"]}, {"on": "update.non_finite", "do": ["reset_moments"]}),
        (
            {"on": "update.non_finite", "do": ["roll_back"]},
            {"on": "loss.spike", "do": [{"roll_back": {"every": 5000}}]},
        ),
    ],
)
def test_two_rules_that_fight_are_refused(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert "reactions" in problems(tmp_path, reactions=[one, other])


@pytest.mark.parametrize(
    ("end", "rule"),
    [
        ("drift", {"on": "drift.confirmed", "do": ["next_phase"]}),
        ("plateau", {"on": "score.plateau", "window": 100, "do": ["next_phase"]}),
        ("drift", {"on": "drift.confirmed", "signal": "error", "do": ["roll_back"]}),
    ],
)
def test_a_rule_that_fights_with_the_end_of_a_phase_is_refused(tmp_path: Path, end: str, rule: dict[str, Any]) -> None:
    phases = [{"unfreeze": "output", "until": end}, {"unfreeze": "*"}]
    assert f"reactions.0 and the end of a phase on {end}" in problems(tmp_path, reactions=[rule], phases=phases)


@pytest.mark.parametrize(
    ("watch", "words"),
    [
        ({"watch": "error", "detector": "psi"}, "psi cannot watch error"),
        ({"watch": "features", "detector": "adwin"}, "adwin cannot watch features"),
        ({"watch": "loss", "detector": "adwin", "warn": "hddm_w"}, "watch error"),
        ({"watch": "error", "detector": "adwin", "window": 100}, "no use for window"),
        ({"watch": "features", "detector": "psi", "quiet": 10}, "no use for quiet"),
        ({"watch": "features", "detector": "psi", "warning": 0.5, "confirmed": 0.2}, "above confirmed"),
        ({"watch": "features", "detector": "ks", "confirmed": 1.5}, "confirmed: a distance of ks is at most 1"),
        ({"watch": "features", "detector": "ks", "warning": 0.1, "confirmed": 2}, "never 2"),
        ({"watch": "labels", "detector": "psi", "columns": ["a"]}, "columns name features"),
        ({"watch": "features", "detector": "psi", "columns": ["a", "b", "a"]}, "columns.2: 'a' is there already"),
        ({"watch": "features", "detector": "psi", "columns": ["c"]}, "none of the features"),
        ({"watch": "error", "detector": "adwin", "warn_arguments": {"delta": 0.1}}, "warn is not given"),
    ],
)
def test_a_watch_that_means_nothing_is_refused(tmp_path: Path, watch: dict[str, Any], words: str) -> None:
    assert words in problems(tmp_path, drift=[watch])


def test_a_regression_has_no_errors_of_nought_or_one(tmp_path: Path) -> None:
    drift = [{"watch": "error", "detector": "adwin", "warn": "hddm_w"}]
    told = problems(tmp_path, drift=drift, model={"task": "regression"})
    assert "drift.0: errors of a regression task are not 0 or 1, as hddm_w would have them" in told


def test_a_phase_that_ends_on_drift_needs_one_that_is_looked_for(tmp_path: Path) -> None:
    phases = [{"unfreeze": "output", "until": "drift"}, {"unfreeze": "*"}]
    told = problems(tmp_path, phases=phases, drift=[])
    assert "phases.0.until: at a drift of the error, and nothing under drift watches it" in told


def test_rules_are_part_of_what_a_model_depends_on() -> None:
    usual = Settings.model_validate(BASE)
    assert fingerprint(usual) != fingerprint(Settings.model_validate({**BASE, "reactions": []}))
    assert fingerprint(usual) != fingerprint(Settings.model_validate({**BASE, "drift": []}))
    assert fingerprint(usual) == fingerprint(Settings.model_validate(BASE))


def test_what_a_file_says_comes_back_from_its_record() -> None:
    rules = [{"on": "drift.confirmed", "do": [RATE, "log"]}, {"on": "update.non_finite", "do": ["roll_back"]}]
    settings = Settings.model_validate({**BASE, "reactions": rules})
    record = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert Settings.model_validate(record).reactions == settings.reactions


def test_what_the_rules_may_do_and_why_is_known_before_it_happens() -> None:
    assert known_causes(DEFAULT_REACTIONS, {"error", "features"}, "roll_back") == {"update.non_finite", "score.drop"}
    rules = [
        Reaction.model_validate({"on": "drift.confirmed", "do": ["roll_back"]}),
        Reaction.model_validate({"on": "drift.warning", "signal": "error", "do": ["roll_back", "log"]}),
    ]
    assert known_causes(rules, {"error", "loss"}, "roll_back") == {
        "drift.confirmed of error",
        "drift.confirmed of loss",
        "drift.warning of error",
    }
    assert known_outcomes(rules) == {
        ("roll_back", "done"),
        ("roll_back", "nothing"),
        ("roll_back", "given up"),
        ("log", "done"),
        ("log", "nothing"),
    }
