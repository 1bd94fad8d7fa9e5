"""Start the run configurations of a project, as PyCharm does."""
