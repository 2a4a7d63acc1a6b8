"""Measurements: `python -m benchmarks.NAME` of the modules whose first lines show it."""
