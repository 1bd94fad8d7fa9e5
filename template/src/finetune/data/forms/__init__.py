"""Forms of known tools, such as labelling tools, and how their objects become those of a task."""
