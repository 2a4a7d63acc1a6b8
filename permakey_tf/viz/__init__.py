"""Drawings: pictures, charts and videos; nothing here opens a run."""
