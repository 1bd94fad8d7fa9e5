"""Answers to the questions of a template: read, complete, ask, suggest, describe."""
