"""What all figures of publications share: the page's measures, its letters, and legends.

A figure is at most as wide as the text of an ICLR paper and no text in it is smaller than 7 pt, so
that it can be put into a column as it is.
"""

from collections.abc import Collection

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

WIDTH = 5.5  # of the text of an ICLR paper; this and all lengths below: inches
LABEL_SIZE, TITLE_SIZE = 7.5, 9.0  # points
LINE = 1.3 * LABEL_SIZE / 72  # height of a line of a label
_MARK = 0.4  # of a legend, with the space beside it
DPI = 300


def _text_width(text: str, size: float) -> float:
    """Width of a line at `size` points, inches."""
    font = FontProperties(size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def wrap(text: str, width: float, size: float) -> list[str]:
    """Lines of `text` that fit into `width` inches at `size` points, as far as words do."""
    lines = []
    for word in text.split():
        if lines and _text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def legend_columns(labels: Collection[str], width: float) -> int:
    """How many entries of a legend fit side by side into `width` inches."""
    widest = max((_text_width(label, LABEL_SIZE) for label in labels), default=0)
    return min(max(int(width / (widest + _MARK)), 1), max(len(labels), 1))


def add_legend(figure: Figure, handles: dict, columns: int) -> None:
    """Below all, {label: what stands for it}, in `columns` columns; see `legend_columns`."""
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center" if figure.get_layout_engine() else "lower center",
        ncols=columns,
        fontsize=LABEL_SIZE,
        frameon=False,
        borderaxespad=0,
        borderpad=0.2,
        handletextpad=0.4,
        columnspacing=1.2,
        labelspacing=0.3,
    )
