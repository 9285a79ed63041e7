"""The action `stop`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import COMMAND, DONE, Action, Cause, Hands, NothingToDoError


class StopTraining(Action):
    """End the run, as early stopping does: with the model that scored best, and a checkpoint. It stays ended under the
    same rules, until `learnd ctl DIR resume`.
    """

    changes_model: ClassVar[bool] = True

    restore_best: bool = True
    """Whether to return to the model that scored best. What was trained since then is set aside. False: the model stays
    as it is, and no copy of the best one is kept."""

    def do(self, hands: Hands, cause: Cause) -> str:
        if cause.word == COMMAND:
            raise NothingToDoError("only a rule ends a run; stop the daemon by SIGTERM, or pause it")
        hands.stop(cause, restore_best=self.restore_best)
        return DONE


ACTION = StopTraining
