"""What the parts expect of each other. A contract also says what an implementation must never do."""

from learnd.daemon.contracts.callbacks import Callbacks
from learnd.daemon.contracts.decoder import Decoder
from learnd.daemon.contracts.learner import Adaptable, Change, Contender, Contested, Learner, Stateful
from learnd.daemon.contracts.monitor import Monitor
from learnd.daemon.contracts.outputs import DeadLetters, Events, Output, Predictions
from learnd.daemon.contracts.source import Source

__all__ = [
    "Adaptable",
    "Callbacks",
    "Change",
    "Contender",
    "Contested",
    "DeadLetters",
    "Decoder",
    "Events",
    "Learner",
    "Monitor",
    "Output",
    "Predictions",
    "Source",
    "Stateful",
]
