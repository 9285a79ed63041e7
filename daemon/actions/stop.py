"""The action `stop`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class StopTraining(Action):
    """End the run, as early stopping does: with the model that scored best, and a checkpoint. It stays ended under the
    same rules, until `learnd ctl DIR resume`.
    """

    changes_model: ClassVar[bool] = True
    of_operators: ClassVar[bool] = False  # a signal stops the daemon, and `pause` the training

    restore_best: bool = True
    """Whether to return to the model that scored best. What was trained since then is set aside. False: the model stays
    as it is, and no copy of the best one is kept."""

    def do(self, hands: Hands, cause: Cause) -> str:
        hands.stop(cause, restore_best=self.restore_best)
        return DONE


ACTION = StopTraining
