"""The machine: files, archives, signals, cores and devices."""
