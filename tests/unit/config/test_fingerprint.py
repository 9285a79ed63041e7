"""Nothing that the model depends on can be forgotten: a field counts unless its section says why it does not."""

from __future__ import annotations

from typing import Any

import pytest

from learnd.daemon.actions import ACTIONS
from learnd.daemon.config import source_choice
from learnd.daemon.config.defaults import defaults
from learnd.daemon.config.fingerprint import fingerprint, what_counts
from learnd.daemon.config.keys import Key, keys, live_keys
from learnd.daemon.config.settings import Settings
from learnd.daemon.foundation.section import Section

KEYS = list(keys())
SECTIONS = list(dict.fromkeys(key.section for key in KEYS))
BASE: dict[str, Any] = {
    "source": {"files": {"path": "a.jsonl"}},
    "samples": {"features": {"a": "float"}, "label": "y"},
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_each_field_counts_or_is_listed_with_a_reason(section: type[Section]) -> None:
    fields = set(section.model_fields)
    harmless, access = set(section.harmless), set(section.access)
    assert harmless | access <= fields, "a key is listed that the section does not have"
    assert not harmless & access
    assert all(len(reason) > 5 for reason in section.harmless.values())
    filled = section.model_construct(**dict.fromkeys(fields, "x"))
    assert set(what_counts(filled)) == fields - harmless - access


def test_every_section_is_looked_at() -> None:
    """Each class of settings there is, but for bases of others, those without keys, the holders of one source, and the
    arguments of actions that are for operators alone."""
    found = {section for section in subclasses(Section) if section.__module__.startswith("learnd.")}
    whole = {section for section in found if section.model_fields and not section.__subclasses__()}
    holders = {section for section in whole if section.__module__ == source_choice.__name__}
    of_operators = {action for action in ACTIONS.values() if not action.of_rules}
    assert whole - holders - of_operators <= set(SECTIONS)


def subclasses(section: type[Section]) -> set[type[Section]]:
    return {inner for direct in section.__subclasses__() for inner in (direct, *subclasses(direct))}


HARMLESS = [
    "challengers.N.train.max_updates_per_call",
    "checkpoint.best",
    "checkpoint.dir",
    "checkpoint.every",
    "checkpoint.keep",
    "dead_letters.file",
    "dead_letters.kafka",
    "dead_letters.max_rate",
    "dead_letters.window",
    "history.tensorboard",
    "http.listen",
    "http.tls",
    "http.token_file",
    "log.format",
    "log.level",
    "predictions.file",
    "predictions.kafka",
    "reload_on_change",
    "shutdown_timeout_s",
    "source.epochs.epochs",
    "source.epochs.path",
    "source.files.follow",
    "source.files.path",
    "source.files.when_gone",
    "source.kafka.bootstrap_servers",
    "source.kafka.client",
    "source.kafka.discover_every_s",
    "source.kafka.group",
    "source.kafka.on_data_loss",
    "source.kafka.pattern",
    "source.kafka.registry",
    "source.kafka.sasl",
    "source.kafka.start",
    "source.kafka.tls",
    "source.kafka.topic",
    "source.kafka.when_behind",
    "source.recording.path",
    "source.recording.registry",
    "train.max_updates_per_call",
]


def test_what_is_harmless_is_this_and_no_more() -> None:
    """A key that is added here would let a killed daemon's calls be repeated under another value of it."""
    outermost = {key.path for key in KEYS if not key.counts}
    assert {path for path in outermost if path.rpartition(".")[0] not in outermost} == set(HARMLESS)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_what_a_running_daemon_takes_up_is_harmless(section: type[Section]) -> None:
    """Else a resume would repeat calls under other settings than those that they were trained with."""
    assert set(section.live) <= set(section.harmless)
    assert all(section.live.values())


def test_what_a_running_daemon_takes_up_is_this_and_no_more() -> None:
    assert [key.path for key in live_keys()] == [
        "checkpoint.every",
        "checkpoint.keep",
        "checkpoint.best",
        "dead_letters.max_rate",
        "dead_letters.window",
        "http.token_file",
        "log.level",
        "log.format",
        "shutdown_timeout_s",
        "reload_on_change",
    ]


@pytest.mark.parametrize("key", [key for key in KEYS if key.counts], ids=lambda key: key.path)
def test_a_counted_key_has_a_recorded_default_or_must_be_given(key: Key) -> None:
    field = key.section.model_fields[key.name]
    assert field.is_required() or key.path in defaults() or isinstance(field.get_default(), Section)


@pytest.mark.parametrize(
    "change",
    [
        {"http": {"listen": None}},
        {"log": {"level": "debug"}},
        {"checkpoint": {"dir": "elsewhere", "every": {"samples": 5}, "keep": 9, "best": {}}},
        {"dead_letters": {"file": "dead.jsonl", "max_rate": 0.5, "window": 10}},
        {"shutdown_timeout_s": 3},
        {"reload_on_change": True},
        {"train": {"max_updates_per_call": 1}},
        {"source": {"files": {"path": "b.jsonl", "follow": True, "when_gone": "skip"}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_harmless_change_is_not_seen(change: dict[str, Any]) -> None:
    assert fingerprint(Settings.model_validate({**BASE, **change})) == fingerprint(Settings.model_validate(BASE))


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"dropout": 0.1}},
        {"train": {"max_wait_ms": 1}},
        {"guard": {"warm_up": 3}},
        {"validate": {"holdout": {}}},
        {"drift": []},
        {"reactions": []},
        {"phases": [{"unfreeze": "output"}]},
        {"source": {"files": {"path": "a.jsonl", "max_record_bytes": 4096}}},
        {"samples": {**BASE["samples"], "weight": "w"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_what_counts_is_seen(change: dict[str, Any]) -> None:
    assert fingerprint(Settings.model_validate({**BASE, **change})) != fingerprint(Settings.model_validate(BASE))


def test_a_default_that_is_written_down_is_the_same() -> None:
    given = Settings.model_validate({**BASE, "train": {"batch_size": 1}, "guard": {}})
    assert fingerprint(given) == fingerprint(Settings.model_validate(BASE))
