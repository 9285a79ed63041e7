"""How many threads the models of a process have, each in a process of its own: TensorFlow is told once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from learnd.daemon.errors import SettingsError
from learnd.daemon.training.runtime import configure

_TRAINED = """
import hashlib, json, sys
import numpy as np
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import tf
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import FEATURES, LABEL, Call, Column, ColumnKind, Samples, SampleSpec, Span, Task

rng = np.random.default_rng(5)
x = rng.normal(size=(3200, 60)).astype(np.float32)
y = (x @ rng.normal(size=60) > 0).astype(np.float32)[:, None]
spec = SampleSpec.of_columns([Column(f"x{i}", ColumnKind.NUMBER) for i in range(60)], Task("binary", 1, 1))
samples = Samples({FEATURES: x}, {LABEL: y}, np.ones(len(x), np.float32))
settings = TrainSettings(seed=7, batch_size=32)
learner = KerasLearner(ModelSettings(preset="mlp"), settings, spec, models=int(sys.argv[1]))
span = Span("file-0", 0, len(x))
learner.update(Call((span,), samples.in_batches(100, 32), samples[:0], partial=False, records=len(x), first=0))
arrays = learner.state().arrays
digest = hashlib.sha256(b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays)))
print(json.dumps([tf.config.threading.get_intra_op_parallelism_threads(), digest.hexdigest()]))
"""


def trained(models: int) -> tuple[int, str]:
    process = subprocess.run(
        [sys.executable, "-c", _TRAINED, str(models)], capture_output=True, text=True, check=False, timeout=600
    )
    assert process.returncode == 0, process.stderr
    threads, digest = json.loads(process.stdout.splitlines()[-1])
    return threads, digest


def test_each_model_has_a_thread_of_its_own_and_rounds_as_it_does_alone() -> None:
    (alone, digest), (beside_two, digest_beside) = trained(1), trained(3)
    assert (alone, beside_two) == (1, 3)
    assert digest_beside == digest


def test_the_threads_inside_an_operation_cannot_change_while_tensorflow_runs() -> None:
    configure(threads=1, seed=7, loops_as_kernels=True, models=3)  # changes no result: the models take turns
    with pytest.raises(SettingsError, match=r"train\.threads: it cannot change"):
        configure(threads=2, seed=7, loops_as_kernels=True)
