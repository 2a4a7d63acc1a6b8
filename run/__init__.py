"""Entry points: `python -m run.NAME --help`."""
