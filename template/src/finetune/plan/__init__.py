"""Optional: memory per GPU and communication per step, computed before a training from the model's config alone."""
