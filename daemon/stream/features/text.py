"""A text: its words, one after the other, as ids."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from learnd.daemon.foundation.section import Section
from learnd.daemon.stream.decoding.columns import InputReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.tokens import TokenReader, hashed, listed, words_of
from learnd.daemon.stream.features.contract import Default, FeatureSettings, InputKind
from learnd.daemon.values import InputSpec

_OF_KERAS = ["", "[UNK]"]  # what `TextVectorization.get_vocabulary` begins with


class TextForm(Section):
    """What a text becomes."""

    length: Annotated[int, Field(ge=1, le=65_536)]
    """How many words the model gets: the first ones of a longer text, and zeros behind those of a shorter one."""

    hash: Annotated[int, Field(ge=2, le=2**24)] | None = None
    """A word gets an id from 1 to this number by its hash: the same in every process. 0 is behind the last word."""

    vocabulary: Annotated[list[str] | None, Field(min_length=1, json_schema_extra={"format": "lines"})] = None
    """In place of `hash`, the words that have ids of their own, from 2 on, in this order; 1 is any other word, and 0 is
    behind the last one. `vocabulary_file` names a file with one word a line, which is read when a run begins. It may
    begin with the two lines that Keras' `get_vocabulary` has for 0 and 1."""

    @field_validator("vocabulary", mode="after")
    @classmethod
    def _words_that_can_come(cls, given: list[str] | None) -> list[str] | None:
        if given is None:
            return None
        words = given[len(_OF_KERAS) :] if given[: len(_OF_KERAS)] == _OF_KERAS else given
        for word in words:
            if (found := words_of(word.encode())) != [word.encode()]:
                instead = f"write {b' '.join(found).decode()!r}" if len(found) == 1 else "leave it out"
                raise ValueError(
                    f"{word!r} is never found, since texts are split at blanks, in small letters and without "
                    f"punctuation; {instead}"
                )
        if len(set(words)) < len(words):
            (twice, _), *_ = Counter(words).most_common(1)
            raise ValueError(f"{twice!r} is listed twice; list each word once")
        return words

    @model_validator(mode="after")
    def _hash_or_vocabulary(self) -> Self:
        if (self.hash is None) == (self.vocabulary is None):
            raise ValueError("hash: say which ids words have: by `hash`, or by a `vocabulary`")
        return self


class TextSettings(FeatureSettings):
    """The keys of a text."""

    text: TextForm | None = None
    """Words separated by blanks, in small letters and without punctuation, as Keras' `TextVectorization` has them. It
    is an input of its own, of shape [length], with the ids of the words."""


class TextFeature(InputKind[TextSettings]):
    """Its words as ids."""

    key = "text"
    settings = TextSettings

    def alone(self, name: str, feature: TextSettings) -> InputSpec:
        form = _form(feature)
        words = tuple(form.vocabulary or ())
        size = 1 + form.hash if form.hash is not None else 2 + len(words)
        return InputSpec(name, (form.length,), "int32", vocabulary_size=size, vocabulary=words)

    def reader(self, feature: TextSettings, texts: Texts) -> InputReader:
        form, default = _form(feature), feature.default
        id_of = hashed(form.hash) if form.hash is not None else listed(form.vocabulary or ())
        return TokenReader(form.length, id_of, texts, default if isinstance(default, str) else None)

    def takes(self, default: Default, feature: TextSettings) -> bool:  # noqa: ARG002
        return isinstance(default, str)


def _form(feature: TextSettings) -> TextForm:
    assert feature.text is not None, "its key chose this kind"
    return feature.text


KIND = TextFeature()
