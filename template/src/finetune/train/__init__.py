"""Training: the loop, what it is built from, optimizer, checkpoints."""
