"""Hyperparameter search: a sweep trains the same config with many settings, and chooses one on the validation data."""
