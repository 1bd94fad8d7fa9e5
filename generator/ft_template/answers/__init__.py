"""The answers to the questions of a template."""
