"""Data: rows of files, features, micro-batches."""
