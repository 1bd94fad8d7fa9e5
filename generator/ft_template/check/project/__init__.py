"""A project as PyCharm reads it: module files, run configurations, path macros and argument strings."""
