"""Several ways to learn one recording, side by side: what `learnd bench` does."""

LEAST_SAMPLES = 10
"""With fewer, nobody has learnt anything yet."""
