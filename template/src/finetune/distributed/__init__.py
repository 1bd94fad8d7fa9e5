"""Several processes: rank and world size, DDP, FSDP2."""
