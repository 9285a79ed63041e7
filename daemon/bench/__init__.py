"""Several ways to learn one recording, side by side: what `learnd bench` does."""
