"""Error analysis: where a model is wrong, and which training rows may be mislabelled."""
