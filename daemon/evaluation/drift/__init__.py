"""Drift: that the stream is no longer what it was, seen in errors, features, predictions and labels."""
