"""Public checkpoints by id, and their download."""
