"""Reactions: what the daemon does by itself when the stream or the training changes."""
