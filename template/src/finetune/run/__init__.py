"""The run folder: files by name, saved model, log, history."""
