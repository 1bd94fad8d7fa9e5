"""Calibration: whether predicted probabilities are as often right as they say."""
