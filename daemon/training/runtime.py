"""TensorFlow and Keras, set up before their first import. Every module of this package takes them from here.

Measured with the benchmark of the learner at one sample an update: XLA's scheduler for concurrency and a
second thread inside an operation make small models slower, since handing a kernel of a microsecond to
another thread takes longer than running it. One thread also makes the bits independent of the machine's cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from daemon.errors import SettingsError

_XLA_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
if _XLA_FLAG.partition("=")[0] not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAG}".strip()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["KERAS_BACKEND"] = "tensorflow"


@contextmanager
def _native_output_hidden() -> Iterator[None]:
    """TensorFlow's libraries print on standard error while they load, whatever the log level says."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


with _native_output_hidden():
    import keras as _keras
    import tensorflow as _tf

    _tf.config.list_physical_devices()

keras: Any = _keras  # neither ships types
tf: Any = _tf


@contextmanager
def memory_error() -> Iterator[None]:
    """Turn TensorFlow's error of memory into Python's."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(str(error).strip().partition("\n")[0]) from error


def configure(threads: int, seed: int) -> None:
    """Fix the number of threads, make operations deterministic, and forget every model built before.

    Layer names count up through the life of a process; starting over keeps the paths of variables the same
    in each one.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise SettingsError(["train.threads: it cannot change inside a running process; start anew"]) from error
    tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
