"""One thread a TensorFlow operation, and loops as one kernel, as the daemon has them.

Whoever runs the first operation, or compiles the first program with XLA, fixes them for the whole process. That must
not be a test that happens to be first.
"""

from learnd.daemon.training.runtime import configure, tf

configure(threads=1, seed=7, loops_as_kernels=True)
tf.function(lambda: tf.constant(1) + 1, jit_compile=True)()
