"""Read a project as PyCharm does and report its faults."""
