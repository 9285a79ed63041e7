"""TensorFlow and Keras, set up before their first import. Every module of this package takes them from here.

Measured with the benchmark of the learner at one sample an update: XLA's scheduler for concurrency and a
second thread inside an operation make small models slower, since handing a kernel of a microsecond to
another thread takes longer than running it. One thread also makes the bits independent of the machine's cores.

XLA calls each kernel of a loop by itself, which for a small model takes as long as what the kernels do. Loops that
move few bytes it compiles as one kernel; with the threshold out of the way that is any loop, and updates by one sample
are 1.4 to 5 times as fast. Products of matrices become slower, by as much: larger batches go without.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from learnd.daemon.errors import SettingsError

_NOT_CONCURRENT = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
_ONE_KERNEL = f"--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold={1 << 40}"


def _set_xla_flag(flag: str, *, wanted: bool) -> None:
    """XLA reads them when it first compiles. What a user has set stays."""
    flags = [other for other in os.environ.get("XLA_FLAGS", "").split() if other != flag]
    if wanted and not any(other.startswith(flag.partition("=")[0]) for other in flags):
        flags.append(flag)
    os.environ["XLA_FLAGS"] = " ".join(flags)


_set_xla_flag(_NOT_CONCURRENT, wanted=True)
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


def loops_are_kernels() -> bool:
    """Whether XLA was asked for it: a user's XLA_FLAGS may hold other options in its place."""
    return _ONE_KERNEL in os.environ["XLA_FLAGS"].split()


def configure(threads: int, seed: int, *, loops_as_kernels: bool) -> None:
    """Fix the number of threads, make operations deterministic, and forget every model built before.

    `loops_as_kernels` is fixed by the first compilation with XLA in the process.

    Layer names count up through the life of a process; starting over keeps the paths of variables the same
    in each one.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise SettingsError(["train.threads: it cannot change inside a running process; start anew"]) from error
    _set_xla_flag(_ONE_KERNEL, wanted=loops_as_kernels)
    tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
