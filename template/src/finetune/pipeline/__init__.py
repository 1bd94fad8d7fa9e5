"""A pipeline of customer service: find passages, rank them, answer by quoting; its stages are ordinary runs."""
