"""Samples of several inputs and several targets: what settings cannot say yet, and the values can."""

import numpy as np

from learnd.daemon.values import InputSpec, Samples, SampleSpec, TargetSpec, Task

SEVERAL = SampleSpec(
    inputs=(
        InputSpec("image", (4, 3, 1), "uint8"),
        InputSpec("tokens", (5,), "int32"),
        InputSpec("numbers", (2,)),
    ),
    targets=(TargetSpec("clicked", Task("binary", 1, 1)), TargetSpec("price", Task("regression", 2, 2))),
)


def numbered(count: int, first: int = 0) -> Samples:
    """Return samples that tell their number, from `first` on, in each of their tensors and in their weight."""
    numbers = np.arange(first, first + count)
    inputs = {spec.name: _filled(numbers, spec.shape, spec.dtype) for spec in SEVERAL.inputs}
    targets = {spec.name: _filled(numbers, (spec.task.label_columns,), "float32") for spec in SEVERAL.targets}
    return Samples(inputs, targets, (numbers + 0.25).astype(np.float32))


def _filled(numbers: np.ndarray, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return an element for each number and each place in the shape; no two of a sample are the same."""
    places = np.arange(np.prod(shape)).reshape(shape)
    return (numbers.reshape(-1, *[1] * len(shape)) * 7 + places).astype(dtype)


def assert_same(one: Samples, other: Samples) -> None:
    """Assert that names, their order, shapes, dtypes and values are the same."""
    assert list(one.named()) == list(other.named())
    for name, array in one.named().items():
        assert array.dtype == other.named()[name].dtype, name
        np.testing.assert_array_equal(array, other.named()[name], err_msg=name, strict=True)
