"""The machine: hardware and installed programs, child processes, signals."""
