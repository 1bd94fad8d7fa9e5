"""Serving: a run's best model behind HTTP, in the conventions that existing clients speak."""
