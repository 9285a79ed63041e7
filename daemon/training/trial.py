"""Whether losses on trial are lower than those without it."""

from __future__ import annotations

import numpy as np

from learnd.daemon.values import Float64

_CLEARLY, _SURE = 0.1, 2  # by what share of the loss, and by how many standard errors, it must be lower


def clearly_lower(new: Float64, old: Float64) -> bool:
    """Whether the mean of new losses (m,) is far below that of the old ones, and not by chance."""
    known = np.isfinite(old)
    if not np.isfinite(new).all() or known.sum() < 2:
        return False
    gain = (old - new)[known]
    chance = _SURE * gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(gain.mean() > max(chance, _CLEARLY * abs(old[known].mean())))
