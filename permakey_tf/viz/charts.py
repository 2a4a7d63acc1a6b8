"""Charts of scores: bars beside published ones, learning curves with intervals.

Colours are Okabe and Ito's, told apart with any colour vision; lines and bars also differ in dash
and hatch.
"""

import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from permakey_tf.viz.colors import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

# Who a bar is of -> how it looks.
_STYLES = {
    "paper": {"facecolor": "#BBBBBB", "hatch": "//"},
    "ours": {"facecolor": BLUE},
    "ours, less than the paper's test": {"facecolor": SKY, "hatch": ".."},
}
_LINES = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "#000000")
_DASHES = ("-", "--", "-.", ":")
_PANELS_A_ROW = 2
_LEGEND_WIDTH, _NAME_WIDTH = 60, 24  # characters in a line
_SMALL = 8  # points
_LINE_HEIGHT, _GAP = _SMALL * 1.25 / 72, _SMALL * 0.6 / 72  # inches, of a legend's lines, entries
_BELOW = 0.55  # inches from an axis to its legend, for its numbers and name
_CELL, _MIN_WIDTH, _BAR_PLACE = (5.2, 3.4), 7.2, 0.42  # inches


class BarGroup(NamedTuple):
    """One place of a bar chart: the published score and, below it, ours.

    label: to the left of it. published, ours: (value, standard deviation or None); None draws no
    bar but the words `unpublished` or "not run". garbled: an asterisk on the published bar. short:
    ours is of less than the paper's test.
    """

    label: str
    published: tuple[float, float | None] | None
    ours: tuple[float, float | None] | None
    garbled: bool = False
    short: bool = False
    unpublished: str = "N/A"


class Line(NamedTuple):
    """A learning curve.

    label: what it is of; the same label has the same colour in all panels. remark: follows it in
    the legend. steps, value, low, high: float [N]; NaN bounds draw no band. runs: (steps, values)
    of each run behind it, float [M] both.
    """

    label: str
    remark: str
    steps: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: Sequence[tuple[np.ndarray, np.ndarray]] = ()


class Level(NamedTuple):
    """A published score, named in the panel's title; a line across it where the data are near.

    games: of which it is, where that must be said, such as "of clean games".
    """

    label: str
    value: float
    games: str = ""


def bar_chart(panels: dict[str, tuple[list[BarGroup], list[Level]]], title: str) -> Figure:
    """One panel per game: published and own scores one above the other, as bars to the right.

    Standard deviations are whiskers. Names stand to the left, so that many and long ones do not
    meet, and a panel is as high as its places need.

    Args:
      panels: {panel's title: (places, reference lines)}.
    """
    names = [[_wrapped(place.label) for place in places] for places, _ in panels.values()]
    lines = [[max(2, name.count("\n") + 1) for name in of_panel] for of_panel in names]
    figure, axes = _panels([0.9 + _BAR_PLACE / 2 * sum(of_panel) for of_panel in lines])
    paper, ours, short = _STYLES
    for axis, (game, (places, levels)), of_panel in zip(axes, panels.items(), names, strict=True):
        for y, place in enumerate(places):
            mark = "*" if place.garbled else ""
            _bar(axis, y - 0.2, place.published, place.unpublished, paper, mark)
            _bar(axis, y + 0.2, place.ours, "not run", short if place.short else ours)
        axis.set_yticks(range(len(places)), of_panel, fontsize=_SMALL)
        axis.set(xlabel="score, ± std over policies", ylim=(len(places) - 0.4, -0.6))
        axis.set_xlim(left=min(0, axis.get_xlim()[0]))
        _name(axis, game, levels, axis.get_xlim()[1], axis.axvline)
    handles = [Patch(edgecolor="white", label=name, **style) for name, style in _STYLES.items()]
    where = {"loc": "outside lower center", "ncols": 3}
    figure.legend(handles=handles, frameon=False, fontsize=_SMALL, **where)
    figure.suptitle(title, fontsize=11)
    return figure


def learning_curves(
    panels: dict[str, tuple[list[Line], list[Level]]], title: str, ylabel: str
) -> Figure:
    """One panel per game: thick curves over agent steps with their interval as a band, and every
    run behind as a thin line. Below each its legend, for which the figure is as high as it needs.

    Args:
      panels: {panel's title: (lines, reference lines)}.
    """
    legends = [
        [textwrap.fill(f"{line.label} ({_joined(line.remark)})", _LEGEND_WIDTH) for line in lines]
        for lines, _ in panels.values()
    ]
    figure, axes = _panels([_CELL[1] + _legend_height(names) for names in legends])
    labels = list(dict.fromkeys(line.label for lines, _ in panels.values() for line in lines))
    for axis, (game, (lines, levels)), names in zip(axes, panels.items(), legends, strict=True):
        for line, name in zip(lines, names, strict=True):
            number = labels.index(line.label)
            color, dash = _LINES[number % len(_LINES)], _DASHES[number % len(_DASHES)]
            for steps, values in line.runs:
                axis.plot(steps, values, dash, color=color, lw=0.7, alpha=0.6, zorder=1)
            axis.plot(line.steps, line.value, dash, color=color, lw=2.5, label=name, marker=".")
            axis.fill_between(line.steps, line.low, line.high, color=color, alpha=0.2, lw=0)
        axis.set(xlabel="agent steps", ylabel=ylabel)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        _name(axis, game, levels, axis.get_ylim()[1], axis.axhline)
        # So many inches below the axis, whatever its height: the layout sets that last.
        below = axis.transAxes + ScaledTranslation(0, -_BELOW, figure.dpi_scale_trans)
        where = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below}
        axis.legend(fontsize=_SMALL, frameon=False, **where)
    figure.suptitle(title, fontsize=11)
    return figure


def _wrapped(label: str) -> str:
    """A name in lines of at most `_NAME_WIDTH`; a line that it has stays one."""
    return "\n".join(textwrap.fill(line, _NAME_WIDTH) for line in label.split("\n"))


def _joined(words: str) -> str:
    """Words that stay on one line."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _legend_height(names: list[str]) -> float:
    """Inches."""
    return sum((name.count("\n") + 1) * _LINE_HEIGHT + _GAP for name in names)


def _panels(heights: Sequence[float]):
    """A figure, and an axis for each panel, which needs so many inches with what belongs to it."""
    number = len(heights)
    columns = min(number, _PANELS_A_ROW)
    rows = [max(heights[start : start + columns]) for start in range(0, number, columns)]
    size = (max(_CELL[0] * columns, _MIN_WIDTH), sum(rows) + 0.7)
    # A Figure of its own rather than pyplot's: no display, no global state.
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=rows).ravel()
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def _bar(axis, y, score, words, style, mark=""):
    if score is None:
        if words:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # over a level's line
            place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(words, (0, y), fontsize=_SMALL, bbox=box, **place)
        return
    value, std = score
    axis.barh(
        *(y, value, 0.38),
        xerr=std,
        edgecolor="white",
        capsize=3,
        ecolor="#444444",
        **_STYLES[style],
    )
    axis.text(value + (std or 0), y, f" {mark}", ha="left", va="center")


def _name(axis, name: str, levels: list[Level], top: float, draw: Callable) -> None:
    """Title with the references; those within twice the scores' axis are also drawn.

    Args:
      top: of the scores' axis. draw: a line across it, at a value.
    """
    names = []
    for level, (dash, word) in zip(levels, ((":", "dotted"), ("--", "dashed")), strict=False):
        near = level.value <= 2 * top
        names.append(f"{level.label} {level.value:,g}" + (f" ({word})" if near else ""))
        if near:
            draw(level.value, ls=dash, color="#444444", lw=1)
    axis.set_title(f"{name}\n" if names else name, loc="left", fontsize=10)
    if names:
        published = ", ".join(["published", *{level.games for level in levels if level.games}])
        axis.set_title(f"{published}: {', '.join(names)}", loc="right", fontsize=7)
