"""Why a record is rejected: the values of the metric label `reason`, and how messages show a bad value."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from learnd.daemon.values import Defect

_MOST_SHOWN = 60  # characters of a bad value
_ADDRESS = re.compile("<[^<>]* at 0x[0-9a-f]+>")


class Reason(StrEnum):
    """What decoding finds wrong. Sources add reasons of their own, such as a line over the limit."""

    BAD_ENCODING = "bad_encoding"  # not UTF-8
    BAD_JSON = "bad_json"  # not JSON, cut off, followed by something, or nested too deep
    BAD_CSV = "bad_csv"  # a quote that is not closed
    BAD_AVRO = "bad_avro"  # not a value of its schema
    BAD_EXAMPLE = "bad_example"  # not a tf.train.Example
    UNKNOWN_SCHEMA = "unknown_schema"  # the registry has no Avro schema with that number
    SCHEMA_MISMATCH = "schema_mismatch"  # the writer's schema does not resolve to the reader's
    NOT_AN_OBJECT = "not_an_object"  # JSON, but a list or a bare value
    WRONG_COLUMN_COUNT = "wrong_column_count"  # a CSV row with more or fewer cells than the header
    MISSING = "missing"  # a needed field is not there, is empty in CSV, or holds a word that stands for no value
    NULL = "null"  # the field is there, but null
    EXTRA = "extra"  # a field that the settings do not name
    WRONG_TYPE = "wrong_type"  # text for a number, a fraction for a whole number, ...
    WRONG_LENGTH = "wrong_length"  # a vector of another length
    NOT_FINITE = "not_finite"  # NaN or infinite
    OVERFLOW = "overflow"  # finite, but not as float32
    OUT_OF_RANGE = "out_of_range"  # a negative weight, a time outside the years 1 to 9999
    UNKNOWN_VALUE = "unknown_value"  # a category that is not listed, if only listed ones are allowed
    UNKNOWN_LABEL = "unknown_label"  # not one of the labels of the task
    NOT_AN_IMAGE = "not_an_image"  # bytes of another kind than JPEG, PNG or WebP
    BAD_IMAGE = "bad_image"  # an image that is cut off or damaged
    TOO_MANY_PIXELS = "too_many_pixels"  # an image that is larger than the settings allow


def defect(reason: Reason, detail: str) -> Defect:
    return Defect(str(reason), detail)


def missing_text(name: str, value: Any) -> Defect:
    return defect(Reason.MISSING, f"{name}: missing, since {shown(value)} stands for no value")


def told(error: Exception) -> str:
    """Return what a library says of bytes that it cannot read, without addresses: they differ between processes."""
    return f"{type(error).__name__}: {_ADDRESS.sub('the value', str(error))}"


def shown(value: Any) -> str:
    """Return a bad value in a form that fits a log line. Never raises."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"
