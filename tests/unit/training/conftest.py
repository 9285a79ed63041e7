"""One thread a TensorFlow operation, as the daemon has it: the number is fixed by whoever runs the first operation."""

import gc
import sys
from pathlib import Path

from daemon.training.runtime import configure

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

configure(threads=1, seed=7)
gc.freeze()  # Keras collects garbage for each new model: a quarter of a second, most of it over TensorFlow's modules
