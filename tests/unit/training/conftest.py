"""One thread a TensorFlow operation, as the daemon has it: the number is fixed by whoever runs the first operation."""

import gc

from learnd.daemon.training.runtime import configure

configure(threads=1, seed=7, loops_as_kernels=True)
gc.freeze()  # Keras collects garbage for each new model: a quarter of a second, most of it over TensorFlow's modules
