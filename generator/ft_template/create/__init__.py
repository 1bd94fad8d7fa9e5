"""Create a project from a template."""
