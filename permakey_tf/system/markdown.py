"""Rows of Markdown tables."""

import re
from collections.abc import Iterable


def row(cells: Iterable[str]) -> str:
    """One line; a name with a | in it shifts no column, one with a < begins no tag."""
    return "| " + " | ".join(re.sub(r"[|<]", r"\\\g<0>", cell) for cell in cells) + " |"
