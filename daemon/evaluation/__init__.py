"""Scores of the learner: prequential, on held-out samples and on an anchor set, each next to its baselines."""
