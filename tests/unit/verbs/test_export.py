"""What `learnd checkpoints export --best` makes of checkpoints without a best model."""

from pathlib import Path

import pytest

from learnd.daemon.errors import StoreError
from learnd.daemon.reactions.kept_copy import KeptCopy
from learnd.daemon.state.store import Checkpoint
from learnd.daemon.values import State
from learnd.daemon.verbs.checkpoints import _best_of

WITH_NONE = State.joined({"early_stop": State.joined({"best": KeptCopy().state()})})


@pytest.mark.parametrize("reactions", [State(), WITH_NONE], ids=["of an older version", "without the rule"])
def test_a_checkpoint_without_a_best_model_is_told(reactions: State) -> None:
    checkpoint = Checkpoint(Path("1-1"), {"sequence": 1}, State.joined({"reactions": reactions}))
    with pytest.raises(StoreError, match="checkpoint 1 has no copy of the model that scored best"):
        _best_of(Path("state"), checkpoint)
