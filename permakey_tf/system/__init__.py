"""The machine: files and their forms, archives, users' arrays, signals, cores and devices."""
