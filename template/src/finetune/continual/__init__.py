"""Continual learning: train a finished run further, in stages, without forgetting."""
