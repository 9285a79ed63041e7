"""Models that give their inputs back, as autoencoders do: how far off they are says how unusual a sample is."""

from __future__ import annotations

import numpy as np

from learnd.daemon.tasks.scoring import errors
from learnd.daemon.values import Arrays, Float64, Said, SampleSpec


def errors_of_giving_back(spec: SampleSpec, outputs: Arrays, inputs: Arrays) -> dict[str, Said]:
    """Return what is written for each target that is an input, in place of what the model gave back: the mean absolute
    error (m, 1), given outputs and inputs (m, ...).
    """
    return {
        target.name: _said(errors(target.task, outputs[target.name], inputs[target.of_input])[:, None])
        for target in spec.targets
        if target.of_input is not None
    }


def _said(error: Float64) -> Said:
    return Said(error.astype(np.float32), (), np.isfinite(error[:, 0]), np.zeros(len(error), np.bool_))
