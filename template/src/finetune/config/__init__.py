"""The config: its sections, YAML in, JSON Schema out."""
