"""Models of texts: ids are those of Keras, padding counts for nothing, and an export takes ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from hypothesis import given, settings
from hypothesis import strategies as st
from learners import bits, learner

from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.tokens import TokenReader, listed
from learnd.daemon.stream.features.text import TextForm
from learnd.daemon.training.network import refused
from learnd.daemon.training.runtime import keras
from learnd.daemon.values import (
    FEATURES,
    LABEL,
    Call,
    Column,
    ColumnKind,
    InputSpec,
    Samples,
    SampleSpec,
    TargetSpec,
    Task,
)

WORDS = ["the", "cat", "sat", "ärger", "über", "Ärger", "don", "t", "猫", "x\u00a0y", "\x1c"]
PIECES = st.sampled_from(
    [*WORDS, "CAT", "Don't", " ", "\t", "\n", "\x0b", "\u3000", "\u2028", "\x85", "\0", "...", "ẞ"]
)
rng = np.random.default_rng(1)
LENGTH, SIZE = 6, 30
TEXT = InputSpec("t", (LENGTH,), "int32", vocabulary_size=SIZE)
TARGET = TargetSpec(LABEL, Task("binary", 1, 1))
BESIDE = SampleSpec((InputSpec.of_columns(FEATURES, [Column("a", ColumnKind.NUMBER)]), TEXT), (TARGET,))
ALONE = SampleSpec((InputSpec(FEATURES, (LENGTH,), "int32", vocabulary_size=SIZE),), (TARGET,))


@settings(max_examples=40)
@given(st.lists(st.lists(PIECES | st.text(max_size=3)).map("".join), min_size=1), st.integers(1, 6))
def test_ids_are_those_of_text_vectorization(texts: list[str], length: int) -> None:
    layer = keras.layers.TextVectorization(vocabulary=WORDS, output_sequence_length=length)
    reader = TokenReader(length, listed(WORDS), Texts(), "")
    ids, defects = reader.read_input("t", texts)
    assert not defects
    np.testing.assert_array_equal(ids, np.asarray(layer(np.array(texts, object))).reshape(ids.shape))


def test_a_vocabulary_that_keras_has_found_gives_its_ids() -> None:
    texts = ["The cat's mat.", "the MAT, the x\u00a0Y!", "Ärger ärger \x1c", "Don't sit"]
    layer = keras.layers.TextVectorization(max_tokens=8, output_sequence_length=5)
    layer.adapt(texts)
    form = TextForm(length=5, vocabulary=layer.get_vocabulary())
    ids, _ = TokenReader(5, listed(form.vocabulary or ()), Texts(), None).read_input("t", texts)
    np.testing.assert_array_equal(ids, np.asarray(layer(np.array(texts, object))))


def calls(spec: SampleSpec, updates: int, rows: int = 4) -> Call:
    """Return texts of 1 to 6 words; the label is whether word 7 is among them."""
    count = updates * rows
    ids = rng.integers(1, SIZE, (count, LENGTH))
    ids[np.arange(LENGTH) >= rng.integers(1, LENGTH + 1, count)[:, None]] = 0
    ids[::2, 0] = 7
    inputs = {part.name: ids.astype(np.int32) for part in spec.inputs if part.vocabulary_size}
    inputs |= {part.name: rng.normal(size=(count, 1)).astype(np.float32) for part in spec.inputs if part.columns}
    targets = {LABEL: (ids == 7).any(axis=1, keepdims=True).astype(np.float32)}
    samples = Samples(inputs, targets, np.ones(count, np.float32))
    return Call((), samples.in_batches(updates, rows), samples[:0], partial=False, records=count, first=0)


@pytest.mark.parametrize(("preset", "spec"), [("mlp", BESIDE), ("auto", ALONE), ("linear", ALONE)])
def test_a_preset_learns_words_and_leaves_as_plain_keras(preset: str, spec: SampleSpec, tmp_path: Path) -> None:
    one = learner(spec, {"preset": preset}, batch_size=4, max_updates_per_call=256)
    one.update(calls(spec, 256))
    later = calls(spec, 16).batches.in_a_row()
    predicted = one.predict(later.inputs)[LABEL]
    assert np.mean((predicted > 0.5) == later.targets[LABEL]) > 0.9
    empty = {name: np.concatenate([array[:3], np.zeros_like(array[:1])]) for name, array in later.inputs.items()}
    assert one.export(tmp_path / "m.keras") == []
    given = empty if len(empty) > 1 else empty[FEATURES]
    exported = keras.saving.load_model(tmp_path / "m.keras").predict(given, verbose=0)
    np.testing.assert_allclose(exported, one.predict(empty)[LABEL], atol=1e-5)
    assert np.isfinite(exported).all()


def recurrent(spec: SampleSpec) -> Any:
    return embedded(spec, keras.layers.LSTM(3), mask_zero=True)


def convolved(spec: SampleSpec) -> Any:
    return embedded(spec, keras.layers.Conv1D(3, 2), keras.layers.GlobalMaxPooling1D())


def embedded(spec: SampleSpec, *inside: Any, **options: Any) -> Any:
    (part,) = spec.inputs
    head = [keras.Input(part.shape, dtype=part.dtype), keras.layers.Embedding(part.vocabulary_size, 4, **options)]
    return keras.Sequential([*head, *inside, keras.layers.Dense(1, activation="sigmoid")])


def attentive(spec: SampleSpec) -> Any:
    ids = keras.Input((LENGTH,), dtype="int32")
    embedded = keras.layers.Embedding(spec.inputs[0].vocabulary_size, 4, mask_zero=True)(ids)
    mixed = keras.layers.GlobalAveragePooling1D()(keras.layers.MultiHeadAttention(2, 2)(embedded, embedded))
    return keras.Model(ids, keras.layers.Dense(1, activation="sigmoid")(mixed))


@pytest.mark.parametrize("builder", [recurrent, convolved, attentive])
def test_a_build_function_gets_the_ids(builder: Callable[[SampleSpec], Any]) -> None:
    more: dict[str, Any] = {"memory": {"size": 20, "per_update": 2}} if builder is recurrent else {}
    one = learner_of(builder, ALONE, batch_size=4, loss="binary_crossentropy", **more)
    report = one.update(calls(ALONE, 8))
    assert np.isfinite(report.loss).all()
    before = bits(one)
    one.update(calls(ALONE, 3))
    one.undo()
    assert bits(one) == before


def test_another_vocabulary_does_not_resume() -> None:
    def state_of(*words: str) -> Any:
        part = InputSpec(FEATURES, (LENGTH,), "int32", vocabulary_size=4, vocabulary=words)
        return learner(SampleSpec((part,), (TARGET,)), {"preset": "linear"})

    one, other = state_of("a", "b"), state_of("b", "a")
    with pytest.raises(type(refused([])), match="their vocabularies or their order differ"):
        other.restore(one.state())
