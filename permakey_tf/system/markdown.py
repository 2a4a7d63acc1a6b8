"""Rows of Markdown tables."""

from collections.abc import Iterable


def row(cells: Iterable[str]) -> str:
    """One line; a name with a | in it shifts no column."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
