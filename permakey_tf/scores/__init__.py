"""Agents scored on unseen seeds, and tables beside the papers'."""
