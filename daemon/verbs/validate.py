"""`learnd validate`: every problem with the settings, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import typer

from learnd.daemon.config.defaults import keep_defaults
from learnd.daemon.config.first_look import doubts, problems
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError, SourceError, StoreError
from learnd.daemon.http.checks import problems_with_http
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.verbs.first_records import FirstRecords
from learnd.daemon.verbs.options import Overrides, SettingsFile, StateOption, load

verb = typer.Typer()


@verb.command()
def validate(file: SettingsFile, overrides: Overrides = None, state: StateOption = None) -> None:
    """Check a settings file: print every problem with its line. The exit code is 78 if there is one.

    If a run would end soon because of the source or its first records, the exit code is that of the run: 74 or 65.
    """
    look = _Look()
    settings = load(file, overrides, state, look.problems)
    spec = settings.samples.spec(settings.model.task)
    _warn(doubts(settings))
    _warn(_kept_defaults(settings))
    look.check()
    _warn(look.doubts())
    columns = [f"{spec.width} columns"] * bool(spec.columns and spec.window is None)
    alone = [part.described for part in spec.inputs if not part.columns or part.window is not None]
    given = ", ".join(columns + alone)
    print(f"{file}: ok ({given}, {spec.task.kind} task)")


def _warn(doubts: Iterable[str]) -> None:
    for doubt in doubts:
        print(f"learnd: warning: {doubt}", file=sys.stderr)


class _Look:
    """A look at everything that sound settings name. The first records are read once, for problems and for doubts."""

    def __init__(self) -> None:
        self._first: FirstRecords | None = None

    def problems(self, settings: Settings) -> Sequence[str]:
        """Return what is wrong with the files, with the data, or with the model: the first that has problems."""
        if found := [*problems(settings), *problems_with_http(settings.http)]:
            return found
        self._first = FirstRecords(settings)
        return problems_with_data(settings, self._first) or problems_with_model(settings)

    def check(self) -> None:
        """Raise what a run would end with before long. Raises SourceError and DataError."""
        if self._first is not None:
            self._first.check()

    def doubts(self) -> Iterator[str]:
        return iter(()) if self._first is None else self._first.doubts()


def problems_with_data(settings: Settings, first: FirstRecords) -> list[str]:
    """Return what shows only when the stream and the anchor file are read. Imports no TensorFlow."""
    from learnd.daemon.compose import anchor_samples

    found = [*_long_references(settings), *first.problems()]
    try:
        anchor_samples(settings)
    except SettingsError as error:
        found += error.problems
    return found


def problems_with_model(settings: Settings) -> list[str]:
    """Return what Keras alone can judge, by building the model and the callbacks.

    Imports TensorFlow if the settings name such a thing. Raises ModelError.
    """
    schedules = [phase.learning_rate for phase in settings.phases if isinstance(phase.learning_rate, dict)]
    given = [(settings.model, settings.train)]
    given += [challenger.of(settings.model, settings.train) for challenger in settings.challengers]
    if not (settings.callbacks or any(schedules) or any(_names_of_keras(*each) for each in given)):
        return []
    from learnd.daemon.compose import build_callbacks, build_learner

    try:
        learner = build_learner(settings)
        learner.compile()
        build_callbacks(settings, learner)
    except SettingsError as error:
        return error.problems
    return []


def _names_of_keras(model: ModelSettings, train: TrainSettings) -> bool:
    """Whether a model names anything that only Keras, or a file, can tell more of."""
    return any([model.build, model.load, train.optimizer, train.loss, *train.metrics]) or (
        "activation" in model.model_fields_set
    )


def _long_references(settings: Settings) -> Iterator[str]:
    """Yield a problem for each watch that asks for a longer reference than a stream with an end has records."""
    asked = {
        index: watch.reference
        for index, watch in enumerate(settings.drift)
        if "drift" in settings.model_fields_set and "reference" in watch.model_fields_set
    }
    records = _records_of_stream(settings, most=max(asked.values())) if asked else None
    for index, reference in asked.items():
        if records is not None and reference > records:
            yield (
                f"drift.{index}.reference: {reference:,} samples, and the stream has {records:,} records: no drift "
                "would ever be found; give a shorter one"
            )


def _records_of_stream(settings: Settings, most: int) -> int | None:
    """Return how many records the files of the source have, counted up to `most`.

    Returns None if the stream has no end, or if it cannot be read: that is for other checks to report.
    """
    from learnd.daemon.compose import open_source

    if settings.source.name != "files":
        return None
    records = 0
    try:
        with closing(open_source(settings)) as source:
            source.open({}, [])
            while not (source.live or source.exhausted) and records < most:
                records += len(batch) if (batch := source.read(1.0)) is not None else 0
            return None if source.live else records
    except SourceError:
        return None


def _kept_defaults(settings: Settings) -> Iterator[str]:
    """Yield a warning for each default that goes on in the state directory although it changed."""
    try:
        record = read_settings_record(settings.checkpoint.dir)
        kept = [] if record is None else keep_defaults(settings, record["defaults"])[1]
    except StoreError as error:
        yield str(error)
        return
    for default in kept:
        yield (
            f"{default.key}: the default changed since {settings.checkpoint.dir} was begun, and a run goes on with "
            f"{default.kept!r}; to take the new one, {default.new!r}, {default.way_out}"
        )
