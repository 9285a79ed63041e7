"""One thread a TensorFlow operation, as the daemon has it: the number is fixed by whoever runs the first operation."""

from daemon.training.runtime import configure

configure(threads=1, seed=7)
