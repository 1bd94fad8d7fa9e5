"""Monitoring of a stream of texts: predictions as they come, shares of labels over sliding windows, alarms."""
