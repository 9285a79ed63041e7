"""Reactions: what the daemon does on its own when the stream or the training changes."""
