"""The loop with all its real parts, but for a script as the source and another one for the learner."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learnd.connectors.outputs.dead_letter_file import DeadLetterFile
from learnd.connectors.scripted import Moment, ScriptedSource, Step
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.drift.watch import Drift
from learnd.daemon.errors import (
    DataError,
    LostError,
    ModelError,
    OutputError,
    SettingsError,
    SourceError,
    StateMismatchError,
    StoppedError,
    StoreError,
)
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.foundation import failpoints
from learnd.daemon.loop import Loop
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.reactions.reactions import Reactions
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.state.history import History
from learnd.daemon.state.journal import Journal
from learnd.daemon.state.keeper import Keeper
from learnd.daemon.state.lock import StateLock
from learnd.daemon.state.outputs import Outputs
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.saving import SaveRequest
from learnd.daemon.state.settings import CheckpointEvery, CheckpointSettings
from learnd.daemon.state.store import CheckpointStore
from learnd.daemon.state.writer import CheckpointWriter
from learnd.daemon.stream.batching import Batcher
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.reader import Reader
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.training.trainer import Trainer
from learnd.daemon.values import FEATURES, Call, Command, Defect, JournalEntry, RecordBatch, Report, SampleSpec

BATCH = 4
SAMPLES = SamplesSettings.model_validate({"features": {"id": "float"}, "label": "y"})
SPEC = SAMPLES.spec("binary")


class Died(BaseException):
    """What a kill is to a test: nothing in the daemon catches it."""


class MortalLearner(ScriptedLearner):
    """Dies at the sample of this id."""

    def __init__(self, spec: SampleSpec, dies_at: float | None, ends: Sequence[int | str] = ()) -> None:
        super().__init__(spec, ends)
        self._dies_at = dies_at

    def update(self, call: Call) -> Report:
        if self._dies_at is not None and self._dies_at in call.batches.inputs[FEATURES]:
            raise Died
        return super().update(call)


def batch(first: int, last: int, broken: Sequence[int] = ()) -> RecordBatch:
    """Return records whose ids and positions count up; the label of a broken one is no label."""
    values = [json.dumps({"id": i, "y": "?" if i in broken else i % 2}).encode() for i in range(first, last)]
    return RecordBatch("p", first, np.arange(first + 1, last + 1), values)


class Run:
    """One life of a daemon on a state directory. `stop_after` samples it is asked to stop."""

    def __init__(
        self,
        root: Path,
        source: ScriptedSource,
        *,
        dies_at: float | None = None,
        stop_after: int | None = None,
        max_rate: float = 1.0,
        every: int = 10,
        gives_up_lost: bool = False,
        ends: Sequence[int | str] = (),
    ) -> None:
        self.source, self.learner = source, MortalLearner(SPEC, dies_at, ends)
        self._stop_after = stop_after
        self.stop: Callable[[], bool] = self._stop
        self.inbox, self.control = Inbox(root), ControlState()
        self._lock = StateLock(root)
        self.health, self.metrics = Health(), Metrics()
        monitor = Telemetry(self.metrics, self.health, None, total_known=False)
        evaluation = Evaluation(ValidateSettings(), SPEC)
        letters, history = DeadLetterFile(root / "dead-letters.jsonl"), History(root / "scores.jsonl")
        outputs = Outputs({"history": history}, {"dead_letters": letters})
        writer, progress, saving = CheckpointWriter(), Progress(), SaveRequest()
        watching = Watching((), Drift((), SPEC), SPEC, "")
        reactions = Reactions((), (), self.learner, watching, self.control, progress, saving)
        self.keeper = Keeper(
            parts={
                "learner": self.learner,
                "evaluation": evaluation,
                "watching": watching,
                "reactions": reactions,
                "control": self.control,
                "progress": progress,
            },
            progress=progress,
            outputs=outputs,
            describe=lambda: {"scores": {}, "window_scores": {}},
            source=source,
            store=CheckpointStore(root, self._lock.may_publish),
            journal=Journal(root / "journal"),
            writer=writer,
            lock=self._lock,
            monitor=monitor,
            saving=saving,
            settings=CheckpointSettings(dir=root, every=CheckpointEvery(samples=every, seconds=1000)),
            root=root,
            settings_record={"fingerprint": "", "settings": {}},
            trained_with={},
        )
        self.loop = Loop(
            reader=Reader(
                source,
                SampleDecoder(SAMPLES, SPEC),
                lambda: Batcher(BATCH, SPEC),
                bytes_a_sample=SPEC.bytes_a_sample,
                max_updates=2,
                max_wait_s=0.01 if source.live else None,
                periods=(),
                reject_rate=RejectRate(max_rate, 50),
            ),
            learner=self.learner,
            trainer=Trainer(self.learner, watching, None),
            evaluation=evaluation,
            reactions=reactions,
            progress=progress,
            control=self.control,
            inbox=self.inbox,
            outputs=outputs,
            keeper=self.keeper,
            monitor=monitor,
            gives_up_lost=gives_up_lost,
        )

    def __call__(self) -> "Run":
        self._lock.acquire()
        try:
            self.loop.run(self.stop)
        finally:
            self._lock.release()
        return self

    def _stop(self) -> bool:
        return self._stop_after is not None and len(self.learner.seen) >= self._stop_after

    @property
    def digest(self) -> str:
        assert self.keeper.saved is not None
        return str(self.keeper.saved["digest"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


def whole(root: Path, steps: Sequence[Step], **options: Any) -> Run:
    return Run(root.with_name("whole"), ScriptedSource(steps), **options)()


def test_each_record_trains_once_and_the_source_is_told_what_is_safe(root: Path) -> None:
    source = ScriptedSource([batch(0, 30, broken=[7, 8]), Moment.PAUSE, batch(30, 45)])
    run = Run(root, source)()
    assert run.learner.seen == [i for i in range(45) if i not in {7, 8}]
    assert run.keeper.progress.positions == {"p": 45}
    assert (run.keeper.progress.updates, run.keeper.progress.rejected) == (11, {"unknown_label": 2})
    assert [json.loads(line)["start"] for line in (root / "dead-letters.jsonl").read_text().splitlines()] == [7, 8]
    assert source.closed
    saved, needed = source.commits[-1]
    assert saved == {"p": 45}
    assert needed.get("p", 0) <= 45


def test_a_model_that_is_built_otherwise_repeats_no_call(root: Path) -> None:
    steps: list[Step] = [batch(0, 45)]
    with pytest.raises(Died):
        Run(root, ScriptedSource(steps), dies_at=29)()
    changed = Run(root, ScriptedSource(steps))
    changed.learner.changes = ["hidden/activation: 'relu' before, 'tanh' now"]
    with pytest.raises(
        StateMismatchError, match=r"calls to repeat, which would train differently now(.|\n)*'tanh' now"
    ):
        changed()
    assert Run(root, ScriptedSource(steps))().digest == whole(root, steps).digest
    changed = Run(root, ScriptedSource([batch(0, 45), batch(45, 60)]))
    changed.learner.changes = ["hidden/activation: 'relu' before, 'tanh' now"]
    assert changed().learner.seen == list(range(60))


@pytest.mark.parametrize("dies_at", [0, 3, 12, 29, 43])
def test_a_daemon_that_died_comes_back_to_the_same(root: Path, dies_at: int) -> None:
    steps: list[Step] = [batch(0, 13, broken=[2]), batch(13, 30), batch(30, 45, broken=[30, 44])]
    with pytest.raises(Died):
        Run(root, ScriptedSource(steps), dies_at=dies_at)()
    resumed = Run(root, ScriptedSource(steps))()
    expected = whole(root, steps)
    assert resumed.learner.seen == expected.learner.seen
    assert resumed.digest == expected.digest
    letters = (root / "dead-letters.jsonl").read_text()
    assert letters == (root.with_name("whole") / "dead-letters.jsonl").read_text()


def test_a_full_disk_is_told_while_training_waits_for_room(root: Path) -> None:
    run = Run(root, ScriptedSource([batch(0, 20)]))
    told: list[float | None] = []

    def stop() -> bool:
        told.append(run.metrics.registry.get_sample_value("learnd_journal_blocked"))
        return False

    run.stop = stop
    failpoints.arm("journal.write=enospc@2")
    try:
        run()
    finally:
        failpoints.arm("")
    assert told.count(1) == 1
    assert told[-1] == 0
    assert run.learner.seen == list(range(20))


def test_a_stop_is_between_two_calls_and_no_batch_is_cut_short_by_it(root: Path) -> None:
    steps = [batch(0, 30), batch(30, 45)]
    stopped = Run(root, ScriptedSource(steps), stop_after=10)()
    assert 10 <= len(stopped.learner.seen) < 45
    assert len(stopped.learner.seen) % BATCH == 0
    assert Run(root, ScriptedSource(steps))().digest == whole(root, steps).digest


def test_samples_that_wait_on_a_live_stream_train_as_a_partial_batch_and_again_so(root: Path) -> None:
    def life(folder: Path, **options: Any) -> Run:
        return Run(folder, ScriptedSource([batch(0, 6)], live=True, endless=True), every=1000, **options)

    live = life(root, stop_after=6)()
    assert live.keeper.progress.updates == 2
    with pytest.raises(Died):
        life(root.with_name("died"), dies_at=5)()
    assert life(root.with_name("died"), stop_after=6)().digest == live.digest
    assert Run(root, ScriptedSource([batch(0, 8)]))().learner.seen == list(range(8))


def test_a_fault_of_the_source_keeps_what_came_before_and_cuts_no_batch_short(root: Path) -> None:
    fault = SourceError("the file is gone")
    with pytest.raises(SourceError, match="gone"):
        Run(root, ScriptedSource([batch(0, 13), fault, batch(13, 30)]))()
    resumed = Run(root, ScriptedSource([batch(0, 13), batch(13, 30)]))
    resumed()
    assert resumed.digest == whole(root, [batch(0, 13), batch(13, 30)]).digest


def test_nothing_on_disk_changes_if_the_model_does_not_compile(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Step] = [batch(0, 13, broken=[2]), batch(13, 30, broken=[20])]
    with pytest.raises(Died):
        Run(root, ScriptedSource(steps), dies_at=29, every=1000)()
    before = {name: (root / name).read_bytes() for name in ("dead-letters.jsonl", "scores.jsonl")}
    assert before["dead-letters.jsonl"]

    def refuse(_: ScriptedLearner) -> None:
        raise ModelError("it does not compile")

    refused = Run(root, ScriptedSource(steps))
    monkeypatch.setattr(ScriptedLearner, "compile", refuse)
    with pytest.raises(ModelError):
        refused()
    monkeypatch.undo()
    assert before == {name: (root / name).read_bytes() for name in before}
    assert Run(root, ScriptedSource(steps))().digest == whole(root, steps).digest


class Refusing:
    """A `contracts.Output` whose marks fail from some number of them on."""

    place = "a topic"

    def __init__(self, error: StoreError, after: int) -> None:
        self._error = error
        self._left = after
        self.asked = 0

    def open(self, mark: int | None) -> None: ...

    def mark(self) -> int:
        self.asked += 1
        self._left -= 1
        if self._left < 0:
            raise self._error
        return 0

    def sync(self) -> None: ...

    def close(self) -> None: ...


def with_output(root: Path, steps: Sequence[Step], output: Refusing) -> Run:
    run = Run(root, ScriptedSource(steps))
    run.keeper.outputs.by_name["topic"] = output
    return run


def test_an_output_that_is_refused_for_good_ends_the_run_and_nothing_is_lost(root: Path) -> None:
    steps = [batch(first, first + 10) for first in range(0, 50, 10)]
    refused = with_output(root, steps, Refusing(OutputError("the right was withdrawn"), 1))
    with pytest.raises(OutputError, match="withdrawn"):
        refused()
    assert 10 <= len(refused.learner.seen) < 50, "it does not go on without checkpoints"
    assert Run(root, ScriptedSource(steps))().digest == whole(root, steps).digest


def test_what_stopped_the_run_is_told_although_its_last_checkpoint_fails_too(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [batch(0, 10), SourceError("the file is gone")]
    with pytest.raises(SourceError, match="gone"):
        with_output(root, steps, Refusing(StoreError("its brokers do not answer."), 1))()
    assert "last_checkpoint_failed" in capsys.readouterr().out


def test_a_new_output_is_in_a_checkpoint_before_new_records_train(root: Path) -> None:
    steps = [batch(0, 30), batch(30, 45)]
    with pytest.raises(Died):
        Run(root, ScriptedSource(steps), dies_at=20, every=1000)()
    more = Run(root, ScriptedSource(steps), dies_at=40, every=1000)
    more.keeper.outputs.by_name["more"] = DeadLetterFile(root / "more.jsonl")
    with pytest.raises(Died):
        more()
    checkpoint = CheckpointStore(root, lambda *_: True).newest()
    assert checkpoint is not None
    assert "more" in checkpoint.state.facts["marks"]


def test_an_output_that_is_away_is_waited_for_and_no_disk_is_blamed(root: Path) -> None:
    steps = [batch(first, first + 10) for first in range(0, 50, 10)]
    away = with_output(root, steps, Refusing(StoreError("its brokers do not answer."), 2))
    with pytest.raises(StoreError, match=r"Reason: its brokers do not answer\.$"):
        away()
    assert away.learner.seen == list(range(50))
    assert Run(root, ScriptedSource(steps))().digest == whole(root, steps).digest


def test_a_stream_that_is_unfit_is_left_behind(root: Path) -> None:
    steps: list[Step] = [batch(0, 6), batch(6, 40, broken=range(6, 40)), batch(40, 50)]
    with pytest.raises(DataError, match="of the last"):
        Run(root, ScriptedSource(steps), max_rate=0.2)()
    resumed = Run(root, ScriptedSource(steps), max_rate=0.2)()
    assert resumed.learner.seen == [*range(6), *range(40, 50)]
    assert resumed.keeper.progress.rejected == {"unknown_label": 34}


def test_records_none_of_which_trains_are_moved_past(root: Path) -> None:
    run = Run(root, ScriptedSource([batch(0, 12_000, broken=range(12_000)), batch(12_000, 12_004)]))()
    assert run.learner.seen == [12_000, 12_001, 12_002, 12_003]
    assert run.keeper.progress.positions == {"p": 12_004}
    assert run.keeper.progress.records == 12_004


def test_other_records_than_those_journaled_are_refused(root: Path) -> None:
    with pytest.raises(Died):
        Run(root, ScriptedSource([batch(0, 30)]), dies_at=25, every=1000)()
    with pytest.raises(SourceError, match="no longer those that the journal says"):
        Run(root, ScriptedSource([batch(0, 30, broken=[3])]))()


def test_a_note_that_is_needed_no_more_is_not_kept(root: Path) -> None:
    lasting, passing = {"file": "a"}, [{"until": {"p": first + 10}} for first in range(0, 40, 10)]
    steps = [replace(batch(10 * n, 10 * n + 10), note=note) for n, note in enumerate(passing)]
    first = replace(batch(0, 1), partition="q", note=lasting)
    run = Run(root, ScriptedSource([first, *steps]))()
    assert run.keeper.progress.positions == {"q": 1, "p": 40}
    assert run.keeper.progress.notes[0] == lasting
    assert len(run.keeper.progress.notes) < 4
    assert run.keeper.progress.notes[-1] == passing[-1]


class TruncatedSource(ScriptedSource):
    """One that has lost what the journal needs from offset 24 on."""

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        if end > 24:
            raise LostError(f"{start} to {end} are gone")
        return super().read_range(partition, start, end)


LOST = replace(batch(16, 17), ends=np.array([22]), values=[b""], defects={0: Defect("lost", "gone")})
RETAINED = (ScriptedSource, [LOST, batch(22, 50)], [*range(16), *range(22, 50)])
OTHERS = (ScriptedSource, [batch(0, 24), batch(24, 49, broken=[25])], [*range(25), *range(26, 49)])
CUT_OFF = (TruncatedSource, [batch(0, 24), batch(24, 48)], list(range(48)))


@pytest.mark.parametrize(("make", "steps", "seen"), [RETAINED, OTHERS, CUT_OFF], ids=["retained", "others", "cut off"])
def test_calls_whose_records_are_gone_are_given_up_on_request_and_however_often_it_dies_then(
    root: Path, make: type[ScriptedSource], steps: list[Step], seen: list[int]
) -> None:
    Run(root, ScriptedSource([batch(0, 16)]))()
    with pytest.raises(Died):
        Run(root, ScriptedSource([batch(0, 45)]), dies_at=35, every=1000)()
    with pytest.raises(LostError):
        Run(root, make(steps), every=1000)()
    copy = shutil.copytree(root, root.with_name("copy"))
    whole = Run(copy, make(steps), every=1000, gives_up_lost=True)()
    assert whole.learner.seen == seen
    for dies_at in (32, 39, 45):
        with pytest.raises(Died):
            Run(root, make(steps), every=1000, gives_up_lost=True, dies_at=dies_at)()
    resumed = Run(root, make(steps), every=1000, gives_up_lost=make is TruncatedSource)()
    assert resumed.learner.seen == seen
    assert resumed.digest == whole.digest
    letters = (root / "dead-letters.jsonl").read_text()
    assert letters == (copy / "dead-letters.jsonl").read_text()
    assert letters.count('"lost"') == (make is ScriptedSource and LOST in steps)


def test_an_operators_command_among_calls_that_are_given_up_is_asked_for_again(root: Path) -> None:
    run = Run(root, ScriptedSource([batch(0, 16)]))()
    asked = Command("an id", "checkpoint", at="now")
    entries = [JournalEntry(4, (), 2, BATCH, ()), JournalEntry(5, (), 2, BATCH, (), (asked,))]
    run.loop.give_up(entries[:1], LostError("gone"))
    assert run.inbox.waiting() == ()
    run.loop.give_up(entries, LostError("gone"))
    assert run.inbox.waiting() == (asked,)


class AwaySource(ScriptedSource):
    """One that cannot be reached when the journal is to be repeated."""

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:  # noqa: ARG002
        while True:
            yield None


def test_waiting_for_what_the_journal_needs_ends_with_a_stop(root: Path) -> None:
    with pytest.raises(Died):
        Run(root, ScriptedSource([batch(0, 30)]), dies_at=25, every=1000)()
    asked = iter([False, False, False, True])
    away = Run(root, AwaySource([]))
    away.stop = lambda: next(asked)
    with pytest.raises(StoppedError, match="while repeating the journal"):
        away()
    assert Run(root, ScriptedSource([batch(0, 30)]))().digest == whole(root, [batch(0, 30)]).digest


def test_no_checkpoint_of_another_daemon_is_overwritten(root: Path) -> None:
    Run(root, ScriptedSource([batch(0, 30)]))()
    for path in (root / "checkpoints").glob("[0-9]*/arrays.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(StoreError, match="no checkpoint verifies"):
        Run(root, ScriptedSource([batch(0, 30)]))()


def lacking(first: int, last: int) -> RecordBatch:
    """Return records without the label that the settings name."""
    values = [json.dumps({"id": i, "yy": i % 2}).encode() for i in range(first, last)]
    return RecordBatch("p", first, np.arange(first + 1, last + 1), values)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "steps",
    [[lacking(0, 40)], [lacking(0, 5), Moment.PAUSE, lacking(5, 60), batch(60, 70)]],
    ids=["at the end", "over the limit"],
)
def test_a_field_that_no_record_has_is_a_mistake_of_the_settings_and_passes_over_none(
    root: Path, steps: list[Step], live: bool
) -> None:
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"samples\.label: .* no field 'y': did you mean 'yy'\?") as caught:
            Run(root, ScriptedSource(steps, live=live), max_rate=0.2)()
    assert "None of the first" in str(caught.value)
    mended = Run(root, ScriptedSource([batch(0, 40)]), max_rate=0.2)()
    assert mended.learner.seen == list(range(40))
    assert mended.keeper.progress.rejected == {}


def test_records_that_lack_a_field_are_passed_over_once_others_have_it(root: Path) -> None:
    steps: list[Step] = [lacking(0, 9), Moment.PAUSE, batch(9, 45)]
    run = Run(root, ScriptedSource(steps), max_rate=0.2)()
    assert run.learner.seen == list(range(9, 45))
    assert run.keeper.progress.rejected == {"missing": 9}
    with pytest.raises(DataError, match=r"did not train.*--state"):
        Run(root, ScriptedSource([batch(0, 45), lacking(45, 99)]), max_rate=0.2)()


def test_a_rate_of_one_passes_over_records_that_lack_a_field(root: Path) -> None:
    run = Run(root, ScriptedSource([lacking(0, 90), batch(90, 94)]))()
    assert run.learner.seen == [90, 91, 92, 93]


def test_columns_that_the_first_header_lacks_are_a_mistake_of_the_settings(root: Path) -> None:
    def rows(first: int, last: int, columns: tuple[str, ...]) -> RecordBatch:
        values = [f'{{"id": {i}, "y": 1}}'.encode() for i in range(first, last)]
        return RecordBatch("p", first, np.arange(first + 1, last + 1), values, columns=columns)

    with pytest.raises(SettingsError, match=r"samples\.label: .* no column 'y'; there are id, label"):
        Run(root, ScriptedSource([rows(0, 40, ("id", "label"))]))()
    steps: list[Step] = [rows(0, 30, ("id", "y")), rows(30, 40, ("id", "label"))]
    run = Run(root, ScriptedSource(steps))()
    assert run.learner.seen == list(range(40))  # later headers are for the decoder


def test_a_live_stream_of_nothing_but_bad_records_is_unfit_however_soon_they_were_passed_over(root: Path) -> None:
    steps: list[Step] = [batch(0, 3, broken=range(3)), *[Moment.PAUSE] * 3, batch(3, 5, broken=range(3, 5))]
    with pytest.raises(DataError, match="5 of the last 5"):
        Run(root, ScriptedSource(steps, live=True), max_rate=0.2)()


def commanded(root: Path, action: str, **arguments: Any) -> Command:
    """Leave a command in the state directory."""
    path = Inbox(root).put(Command("", action, arguments, by="me", why="to see"))
    return Command(**json.loads(path.read_text()))


def told(root: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (root / "scores.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def until(run: Run, happened: Callable[[], bool]) -> Run:
    """Let a run stop once something has happened."""
    run.stop = happened
    return run


def test_a_command_acts_ahead_of_the_next_records_and_once_however_often_its_file_comes_back(root: Path) -> None:
    command = commanded(root, "learning_rate", times=3.0, over=100)
    steps = [batch(0, 20)]
    run = Run(root, ScriptedSource(steps))()
    assert run.learner.done == [["boost", 0, 3.0, 100]]
    assert run.inbox.waiting() == ()
    (line,) = told(root, "command")
    assert (line["samples"], line["id"], line["outcome"], line["by"]) == (0, command.id, "done", "me")
    Inbox(root).put(command)
    again = Run(root, ScriptedSource([*steps, batch(20, 40)]))()
    assert again.learner.done == run.learner.done
    assert again.inbox.waiting() == ()
    assert len(told(root, "command")) == 1
    assert again.learner.seen == list(range(40))


def test_commands_act_while_no_records_come(root: Path) -> None:
    commanded(root, "reset_moments")
    run = Run(root, ScriptedSource([], live=True, endless=True))
    until(run, lambda: bool(run.learner.done))()
    assert run.learner.done == [["reset_moments", 0]]
    assert (run.keeper.progress.calls, run.keeper.progress.samples) == (1, 0)


def test_commands_act_at_the_end_of_a_stream(root: Path) -> None:
    Run(root, ScriptedSource([batch(0, 20)]))()
    commanded(root, "reset_moments")
    run = Run(root, ScriptedSource([batch(0, 20)]))()
    assert run.learner.done == [["reset_moments", 20]]
    assert run.inbox.waiting() == ()


def test_a_pause_outlives_a_restart_and_ends_with_resume(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[Step] = [batch(0, 20)]
    commanded(root, "pause")
    paused = Run(root, ScriptedSource(steps))
    turns = iter([False] * 4 + [True] * 9)
    until(paused, lambda: next(turns))()
    assert paused.control.paused == "command at 0 samples by me: to see"
    at = len(paused.learner.seen)
    assert at <= 2 * BATCH, "what was taken with the command trains, and nothing behind it"
    assert not any("resumed" in line for line in capsys.readouterr().out.splitlines()), "a stop is no end of a pause"

    still = Run(root, ScriptedSource(steps))
    turns = iter([False] * 3 + [True] * 9)
    until(still, lambda: next(turns))()
    assert still.control.paused is not None
    assert len(still.learner.seen) == at
    commanded(root, "resume")
    resumed = Run(root, ScriptedSource(steps))()
    assert resumed.learner.seen == list(range(20))
    assert [line["action"] for line in told(root, "command")] == ["pause", "resume"]
    assert "resumed" in capsys.readouterr().out


def test_a_source_that_fails_during_a_pause_is_told(root: Path) -> None:
    steps: list[Step] = [batch(0, 20), SourceError("the file is gone")]
    commanded(root, "pause")
    with pytest.raises(SourceError, match="gone"):
        Run(root, ScriptedSource(steps))()
    with pytest.raises(SourceError, match="gone"):
        Run(root, ScriptedSource(steps))()
    resumed = Run(root, ScriptedSource([batch(0, 20)]))
    commanded(root, "resume")
    assert resumed().learner.seen == list(range(20))


@pytest.mark.parametrize("dies_at", [0, 7, 12])
def test_a_command_is_repeated_from_the_journal_at_the_same_record(root: Path, dies_at: int) -> None:
    steps: list[Step] = [batch(0, 20)]
    command = commanded(root, "learning_rate", times=2.0)
    with pytest.raises(Died):
        Run(root, ScriptedSource(steps), dies_at=dies_at, every=1000)()
    assert Inbox(root).waiting() == (), "it is in the journal"
    Inbox(root).put(command)  # as if it had been killed before it removed the file
    resumed = Run(root, ScriptedSource(steps), every=1000)()
    assert resumed.learner.done == [["boost", 0, 2.0, 2000]]
    assert resumed.inbox.waiting() == ()
    commanded(root.with_name("whole"), "learning_rate", times=2.0)
    assert resumed.digest == whole(root, steps, every=1000).digest


def test_a_command_that_was_never_journaled_acts_at_the_next_start(root: Path) -> None:
    command = commanded(root, "next_phase")
    run = Run(root, ScriptedSource([batch(0, 8)]), ends=["command"])
    until(run, lambda: True)()
    assert run.learner.phase == 0
    assert Inbox(root).waiting() == (command,)
    again = Run(root, ScriptedSource([batch(0, 8)]), ends=["command"])()
    assert again.learner.phase == 1
    assert [(line["samples"], line["cause"]) for line in told(root, "phase")] == [(0, "command")]


def test_a_pinned_checkpoint_that_fails_is_tried_again_after_a_while_and_not_at_each_turn(root: Path) -> None:
    commanded(root, "checkpoint")
    run, refusing = Run(root, ScriptedSource([], live=True, endless=True)), Refusing(StoreError("no answer."), 1)
    run.keeper.outputs.by_name["topic"] = refusing
    turns = iter([False] * 8 + [True] * 9)
    with pytest.raises(StoreError, match="the last checkpoint could not be written"):
        until(run, lambda: next(turns))()
    assert refusing.asked == 3, "the first checkpoint, one that fails, and the last one"
    assert run.keeper.saving.pin
