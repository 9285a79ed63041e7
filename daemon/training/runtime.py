"""TensorFlow and Keras, set up before their first import. Every module of this package takes them from here.

Measured with the benchmark of the learner at one sample an update: XLA's scheduler for concurrency and a
second thread inside an operation make small models slower, since handing a kernel of a microsecond to
another thread takes longer than running it. One thread also makes the bits independent of the machine's cores.
"""

from __future__ import annotations

import os
from typing import Any

_XLA_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
if _XLA_FLAG.partition("=")[0] not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_XLA_FLAG}".strip()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras as _keras  # noqa: E402  (the environment above must be set first)
import tensorflow as _tf  # noqa: E402

keras: Any = _keras  # neither ships types
tf: Any = _tf


def configure(threads: int, seed: int) -> None:
    """Fix the number of threads, make operations deterministic, and forget every model built before.

    Layer names count up through the life of a process; starting over keeps the paths of variables the same
    in each one.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError as error:
            raise RuntimeError("train.threads cannot change inside a running process") from error
    tf.config.experimental.enable_op_determinism()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
