"""The digest of a state: equal for equal streams, whatever happened in between."""

from __future__ import annotations

import hashlib

import numpy as np

from learnd.daemon.foundation.files import canonical_json
from learnd.daemon.values import Arrays, Facts


def digest(variables: Arrays, stream_facts: Facts) -> str:
    """Return a SHA-256 over each variable's name, shape, dtype and bytes, in order of names, and over `stream_facts`:
    the positions, and the counters that depend on the stream alone.
    """
    sha = hashlib.sha256()
    for name in sorted(variables):
        array = np.ascontiguousarray(variables[name])
        sha.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        sha.update(array.data if array.ndim else array.tobytes())
    sha.update(canonical_json(stream_facts))
    return sha.hexdigest()
