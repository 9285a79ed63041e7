"""What a task means: one module a kind, behind one contract."""
