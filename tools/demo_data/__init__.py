"""Writes the demo data of the template: ``python -m tools.demo_data``."""
