"""Actions by name: what rules do by themselves, and what operators ask for."""

from __future__ import annotations

from collections.abc import Mapping

from learnd.daemon.actions.checkpoint import SaveCheckpoint
from learnd.daemon.actions.contract import Action
from learnd.daemon.actions.learning_rate import ScaleLearningRate
from learnd.daemon.actions.log import Log
from learnd.daemon.actions.next_phase import BeginNextPhase
from learnd.daemon.actions.pause import PauseTraining, ResumeTraining
from learnd.daemon.actions.refit_standardization import RefitStandardization
from learnd.daemon.actions.reset_moments import ResetMoments
from learnd.daemon.actions.roll_back import RollBack

ACTIONS: Mapping[str, type[Action]] = {
    "log": Log,
    "checkpoint": SaveCheckpoint,
    "learning_rate": ScaleLearningRate,
    "reset_moments": ResetMoments,
    "next_phase": BeginNextPhase,
    "refit_standardization": RefitStandardization,
    "roll_back": RollBack,
    "pause": PauseTraining,
    "resume": ResumeTraining,
}
