"""The papers' figures, drawn from trained runs."""
