"""Experiment trackers: send the metrics of a run to MLflow, Weights & Biases, Trackio or SwanLab.

A process of its own follows metrics.jsonl, so that no tracker can slow or end a training.
"""
