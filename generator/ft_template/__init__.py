"""The generator around the template."""
