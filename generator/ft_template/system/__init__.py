"""The machine: its hardware and programs, processes and signals."""
