"""`learnd bench`: what to use for a recording, and what it costs."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from learnd.daemon.bench import LEAST_SAMPLES
from learnd.daemon.config.file import load_settings, located_problems
from learnd.daemon.config.first_look import problems
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError, SourceError, StoreError
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings
from learnd.daemon.operate.signals import StopSignal
from learnd.daemon.operate.summary import to_json
from learnd.daemon.registry import IS_RECORDING, SOURCES, resolve
from learnd.daemon.tasks.contract import Better
from learnd.daemon.tasks.registry import BETTER
from learnd.daemon.values import Facts
from learnd.daemon.verbs.first_records import FirstRecords
from learnd.daemon.verbs.init import FormatOption, LabelOption, TaskOption, guess, known
from learnd.daemon.verbs.options import Force, Overrides, check_output
from learnd.daemon.verbs.replay import replay_settings
from learnd.daemon.verbs.validate import problems_with_model

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from learnd.daemon.bench.bench import ReportCard
    from learnd.daemon.bench.comparison import Comparison, Entry
    from learnd.daemon.stream.inferring.guesses import Known

verb = typer.Typer()

_LIMIT = 20_000
_PATIENCE_S = 25.0  # for a stop: a contestant looks whether there is one after some samples
_STANDARD_OUTPUT = Path("-")
_BESIDE = ("kappa", "macro_f1", "rmse")  # the first of these that a task has stands in the table, too
_OF_PROBABILITIES = ("log_loss", "auc")  # and those of these that it has
_LEFT_OUT_FIRST = ("start", "time ×", "samples/s", *_OF_PROBABILITIES[::-1], *_BESIDE)  # columns, on a narrow terminal
_MOST_NAMED = 12  # features
_SHORT_S = 1.0
_UNBOUNDED = 1_000
_WIDTH = 120  # of a table that is not on a terminal


@verb.command()
def bench(  # noqa: PLR0913, PLR0917  (a command has its options as arguments)
    data: Annotated[
        Path, typer.Argument(metavar="FILE", help="A recording, as init takes it; with --settings, also a topic's.")
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "--settings", "-s", metavar="SETTINGS", help="Compare these settings' model, too, on their samples."
        ),
    ] = None,
    overrides: Overrides = None,
    label: LabelOption = None,
    task: TaskOption = None,
    form: FormatOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=LEAST_SAMPLES, metavar="N", help="Compare on the first N samples.")
    ] = _LIMIT,
    output: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write it as JSON; - for standard output alone.")
    ] = None,
    force: Force = False,
) -> None:
    """Compare baselines, learners of River, the presets and your model on a recording, and say what to use.

    Each predicts every sample before it learns it, one pass in the order of the recording.
    """
    configure_logging(LogSettings(level="error"))
    if output is not None and output != _STANDARD_OUTPUT:
        check_output(output, "--json", force=force, kept=[*_files(data), *([] if file is None else [file])])
    with StopSignal(_PATIENCE_S) as stop, _folder() as folder:
        notes: list[str] = []
        if file is None:
            settings, notes = _inferred(data, known(label, task, form), overrides or [], folder)
            card = _measured(settings, limit, stop)
        elif (label, task, form) != (None, None, None):
            raise typer.BadParameter("the settings say that already", param_hint="--label, --task or --format")
        else:
            settings = _of_a_file(load_settings(file, overrides or []), data, folder)
            with located_problems(file, overrides or ()):
                card = _measured(settings, limit, stop)
    about = _About(data, list(settings.samples.features), notes)
    if output is not None:
        _write(card, about, output)
    if output != _STANDARD_OUTPUT:
        _show(card, about)


@dataclass(frozen=True, slots=True)
class _About:
    """What the card is of, beside what was compared."""

    file: Path
    features: list[str]
    notes: list[str]
    """What stands in the comments of guessed settings, which nobody reads here."""

    def facts(self) -> Facts:
        return {"file": str(self.file), "features": self.features, "notes": self.notes}


def _files(data: Path) -> list[Path]:
    """Return the files of a recording, as far as there are any."""
    try:
        return resolve(SOURCES["files"].settings)(path=str(data)).files()  # type: ignore[no-any-return]  # of a connector
    except (OSError, SourceError):
        return []


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder that does not stay."""
    with tempfile.TemporaryDirectory(prefix="learnd-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _inferred(data: Path, said: Known, overrides: list[str], folder: Path) -> tuple[Settings, list[str]]:
    """Return the settings that `init` writes for the records, and what it notes beside. Raises LearndError."""
    from learnd.daemon.stream.inferring.writing import notes, written

    if data.is_file() and resolve(IS_RECORDING)(data):
        raise SettingsError(
            [f"{data}: it is of a topic, whose records only settings tell how to read: give --settings"]
        )
    file = folder / "learnd.yaml"
    guessed = guess(data, said, folder)
    file.write_text(written(guessed), encoding="utf-8")
    places = {"source.files.path": data, "checkpoint.dir": folder / "state"}
    given = [*overrides, *(f"{key}={json.dumps(str(path))}" for key, path in places.items())]
    return load_settings(file, given), list(notes(guessed))


def _of_a_file(settings: Settings, data: Path, folder: Path) -> Settings:
    """Return the settings with `data` as the source. Raises SourceError if it is not there."""
    if not data.exists():
        raise SourceError(f"{data}: there is no such file, so there is nothing to compare on; name a recording")
    return replay_settings(settings, data, folder / "state")


def _check(settings: Settings) -> None:
    """Raise what a run would end with because of the first records or of the model, before anything is trained."""
    first = None if (found := problems(settings)) else FirstRecords(settings)
    if found := [*found, *(() if first is None else first.problems())] or problems_with_model(settings):
        raise SettingsError(found)
    if first is not None:
        first.check()


def _measured(settings: Settings, limit: int, stop: Callable[[], bool]) -> ReportCard:
    from learnd.daemon.bench.bench import compared, contestants
    from learnd.daemon.bench.recorded import read_recording

    _check(settings)
    recorded = read_recording(settings, limit)
    field = contestants(settings, recorded)
    with _Bars() as bars:
        return compared(field, recorded, stop, bars)


class _Bars:
    """A bar for each contestant on standard error, which shows only on a terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
        console = Console(file=sys.stderr)
        self._bars: Progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, name: str, samples: int) -> Callable[[int], None]:
        bar: TaskID = self._bars.add_task(name, total=samples)
        return lambda through: self._bars.advance(bar, through)


def _write(card: ReportCard, about: _About, output: Path) -> None:
    text = to_json({**about.facts(), **card.facts()})
    if output == _STANDARD_OUTPUT:
        print(text)
        return
    try:
        output.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}; give another --json") from error


def _show(card: ReportCard, about: _About) -> None:
    print(_heading(card, about))
    console, table = Console(width=None if sys.stdout.isatty() else _WIDTH), _table(card)
    narrowed = list(_narrowed(table, console))
    console.print(table)
    for line in [*narrowed, *_notes(card), card.advice]:
        print(line)


def _heading(card: ReportCard, about: _About) -> str:
    recorded, rejected = card.recorded, sum(card.recorded.rejected.values())
    which = "all" if recorded.whole else "the first"
    more = "" if recorded.whole else "; --limit takes more"
    without = f", {rejected:,} rejected" if rejected else ""
    what = f"Label: {recorded.label}. Task: {recorded.task.kind}."
    features = ", ".join(about.features[:_MOST_NAMED]) + (", …" if len(about.features) > _MOST_NAMED else "")
    notes = "".join(f"  {note}\n" for note in about.notes)
    return (
        f"{about.file}: {which} {len(recorded):,} samples{without}{more}. {what}\n"
        f"{len(about.features)} features: {features}.\n{notes}"
    )


def _table(card: ReportCard) -> Table:
    comparison = card.comparison
    baseline = comparison.best_baseline
    names = _shown(comparison)
    none_said = _some_predict_nothing(comparison)
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if none_said:
        table.add_column("unscored", justify="right", no_wrap=True)
    table.add_column("to the best")
    if baseline is not None:
        table.add_column(f"beats {baseline.name}")
    for heading in ("samples/s", "time ×", "start"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in comparison.entries:
        scores = [_score(name, one.scores.get(name)) for name in names]
        unscored = [f"{one.unscored:,}"] if none_said else []
        better = [] if baseline is None else ["surely" if comparison.beats_baselines(one) else "-"]
        cells = [one.name, *scores, *unscored, comparison.verdict(one), *better, *_costs(card, one)]
        table.add_row(*cells, style="bold" if one is comparison.best else None)
    return table


def _some_predict_nothing(comparison: Comparison) -> bool:
    return any(one.unscored for one in comparison.entries)


def _narrowed(table: Table, console: Console) -> Iterator[str]:
    """Take out as many columns as it takes for the table to fit, what is said to be sure never, and say which."""
    missing: list[str] = []
    for heading in _LEFT_OUT_FIRST:
        if Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum <= console.width:
            break
        if found := next((column for column in table.columns if column.header == heading), None):
            table.columns.remove(found)
            missing.append(heading)
    if missing:
        yield f"no room here for {', '.join(missing)}: a wider terminal shows them, and --json has all"


def _shown(comparison: Comparison) -> list[str]:
    """Return the scores that stand in the table."""
    found = {name for one in comparison.entries for name in one.scores}
    beside = [name for name in _BESIDE if name in found][:1]
    return [comparison.metric, *beside, *(name for name in _OF_PROBABILITIES if name in found)]


def _costs(card: ReportCard, one: Entry) -> Iterator[str]:
    from learnd.daemon.bench.advice import times_text

    speed, times, start = one.ran.samples_per_second, card.comparison.times_cheapest(one), one.ran.start_seconds
    yield "-" if speed is None else f"{speed:,.0f}"
    yield "-" if times is None else times_text(times)
    yield "-" if start is None else f"{start:.1f} s"


def _notes(card: ReportCard) -> Iterator[str]:
    if card.comparison.one_class_is_rare:
        yield (
            "accuracy says little where all but a few labels are the same: the order is by brier, the squared error of "
            "the probability. `certainty.decide` learns from which probability on to say the rare class; "
            "`train.class_weight` distorts the probabilities, and so loses by this score as a rule"
        )
    if _some_predict_nothing(card.comparison):
        yield "unscored: samples without a prediction; they are in no score, and lose in the order and in what is sure"
    if any(0 < one.ran.seconds < _SHORT_S for one in card.comparison.entries if one.maker == "learnd"):
        yield "speeds: some were measured over less than a second, and say little; more samples say more"
    for one in card.comparison.entries:
        if one.ran.left_out:
            yield f"{one.name}: compared without {', '.join(one.ran.left_out)}, which a run has"
    for name, why in card.failed.items():
        yield f"{name}: it gave up, and is not compared: {why}"
    if card.unfinished:
        yield f"stopped: not through, and not compared: {', '.join(card.unfinished)}"
    elif not card.failed and all(one.maker != "river" for one in card.comparison.entries):
        yield "River's learners take one label that is one value, so that none is compared here"


def _score(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if BETTER.get(metric) is Better.HIGHER else f"{value:.4g}"
