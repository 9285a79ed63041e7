"""TensorFlow and Keras, set up before their first import. Every module of this package imports them from here.

Measured with the benchmark of the learner at one sample per update: XLA's scheduler for concurrency and a second
thread inside an operation make small models slower, since handing a kernel of a microsecond to another thread takes
longer than running it. One thread also makes the bits independent of the machine's cores.

The models of a process share one pool of threads, in which XLA runs its loops too: with one thread in it, models that
are updated in threads of their own wait for each other. So the pool has one for each, and XLA is told that a product
takes only one. That costs larger batches a twentieth, so a model alone is spared it. It changes no bit.

XLA launches each kernel of a loop separately, which for a small model takes as long as the kernels themselves. It
compiles loops that move few bytes as one kernel. With that threshold raised, it does so for any loop, and updates of
one sample run 1.4 to 5 times as fast. Matrix products become slower by as much, so larger batches do not use it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.errors import SettingsError

_NOT_CONCURRENT = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
_ONE_THREAD_EACH = "--xla_cpu_multi_thread_eigen=false"
_ONE_KERNEL = f"--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold={1 << 40}"


def _set_xla_flag(flag: str, *, wanted: bool) -> None:
    """Set a flag, or remove it; XLA reads the flags when it first compiles. What the user has set stays."""
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
    """Silence TensorFlow's libraries, which print to standard error while they load, whatever the log level."""
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

gc.freeze()  # what was imported lives on: Keras asks for a full collection with each model, 0.2 s if it visits that

keras: Any = _keras  # neither comes with types
tf: Any = _tf


@contextmanager
def memory_error() -> Iterator[None]:
    """Turn TensorFlow's out-of-memory error into MemoryError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(str(error).strip().partition("\n")[0]) from error


def value_of(variable: Any) -> NDArray[Any]:
    """Return a copy of the value of a Keras variable. Keras' own way goes through four layers, four times as long."""
    held = variable.value
    return np.asarray(tf.raw_ops.ReadVariableOp(resource=held.handle, dtype=held.dtype).numpy())


def loops_are_kernels() -> bool:
    """Whether the flag for it is set: the user's XLA_FLAGS may hold other options instead."""
    return _flag_is_set(_ONE_KERNEL)


def _flag_is_set(flag: str) -> bool:
    return flag in os.environ["XLA_FLAGS"].split()


def configure(threads: int, seed: int, *, loops_as_kernels: bool, models: int = 1) -> None:
    """Set the number of threads, make operations deterministic, and forget every model built before.

    `models` is how many are updated at once. `loops_as_kernels` cannot change after the first compilation with XLA in
    the process.

    Keras numbers layer names through the life of a process. Starting over keeps the paths of variables the same in
    every process. Raises SettingsError if `threads` would have to change in a running process.
    """
    _set_threads(threads, models)
    _set_xla_flag(_ONE_KERNEL, wanted=loops_as_kernels)
    tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


def _set_threads(threads: int, models: int) -> None:
    """Set the threads inside an operation. In a running process, models keep waiting for each other if they did."""
    pool = models if threads == 1 else threads
    there = tf.config.threading.get_intra_op_parallelism_threads()
    if there == pool:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(pool)
    except RuntimeError as error:
        if threads != (1 if _flag_is_set(_ONE_THREAD_EACH) else there):
            raise SettingsError(["train.threads: it cannot change in a running process; restart learnd"]) from error
    else:
        _set_xla_flag(_ONE_THREAD_EACH, wanted=threads == 1 and models > 1)
