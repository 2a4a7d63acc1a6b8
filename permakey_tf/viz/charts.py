"""Charts of scores: bars beside published ones, learning curves with intervals.

Colours are Okabe and Ito's, told apart with any colour vision; lines and bars also differ in dash
and hatch.
"""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

# Who a bar is of -> how it looks.
_STYLES = {
    "paper": {"facecolor": "#BBBBBB", "hatch": "//"},
    "ours": {"facecolor": "#0072B2"},
    "ours, less than the paper's test": {"facecolor": "#56B4E9", "hatch": ".."},
}
_LINES = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_PANELS_A_ROW = 2
_LEGEND_WIDTH = 60  # characters
_CELL, _MIN_WIDTH = (5.2, 3.4), 7.2  # inches


class BarGroup(NamedTuple):
    """One place on the x axis of a bar chart: the published score and ours.

    label: below it. published, ours: (value, standard deviation or None); None draws no bar but
    the words `unpublished` or "not run". garbled: an asterisk on the published bar. short: ours is
    of less than the paper's test.
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
    """A published score, named in the panel's title; a horizontal line where the data are near."""

    label: str
    value: float


def bar_chart(panels: dict[str, tuple[list[BarGroup], list[Level]]], title: str) -> Figure:
    """One panel per game: published and own scores side by side, standard deviations as whiskers.

    Args:
      panels: {panel's title: (places, reference lines)}.
    """
    figure, axes = _panels(len(panels))
    paper, ours, short = _STYLES
    for axis, (name, (places, levels)) in zip(axes, panels.items(), strict=True):
        for x, place in enumerate(places):
            _bar(
                axis,
                x - 0.2,
                place.published,
                place.unpublished,
                paper,
                "*" if place.garbled else "",
            )
            _bar(axis, x + 0.2, place.ours, "not run", short if place.short else ours)
        axis.set_xticks(range(len(places)), [place.label for place in places], fontsize=8)
        axis.set(ylabel="score, ± std over policies", xlim=(-0.6, len(places) - 0.4))
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        _name(axis, name, levels)
    handles = [Patch(edgecolor="white", label=name, **style) for name, style in _STYLES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


def learning_curves(
    panels: dict[str, tuple[list[Line], list[Level]]], title: str, ylabel: str
) -> Figure:
    """One panel per game: thick curves over agent steps with their interval as a band, and every
    run behind as a thin line.

    Args:
      panels: {panel's title: (lines, reference lines)}.
    """
    figure, axes = _panels(len(panels))
    labels = list(dict.fromkeys(line.label for lines, _ in panels.values() for line in lines))
    for axis, (game, (lines, levels)) in zip(axes, panels.items(), strict=True):
        for line in lines:
            number = labels.index(line.label)
            color, dash = _LINES[number % len(_LINES)], _DASHES[number % len(_DASHES)]
            name = textwrap.fill(f"{line.label} ({line.remark})", _LEGEND_WIDTH)
            for steps, values in line.runs:
                axis.plot(steps, values, dash, color=color, lw=0.7, alpha=0.6, zorder=1)
            axis.plot(line.steps, line.value, dash, color=color, lw=2.5, label=name, marker=".")
            axis.fill_between(line.steps, line.low, line.high, color=color, alpha=0.2, lw=0)
        axis.set(xlabel="agent steps", ylabel=ylabel)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        _name(axis, game, levels)
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def _panels(number: int):
    columns = min(number, _PANELS_A_ROW)
    rows = -(-number // columns)
    size = (max(_CELL[0] * columns, _MIN_WIDTH), _CELL[1] * rows + 0.7)
    # A Figure of its own rather than pyplot's: no display, no global state.
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def _bar(axis, x, score, words, style, mark=""):
    if score is None:
        style = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # over a level's line
        axis.text(x, 0, f" {words}", rotation=90, ha="center", va="bottom", fontsize=8, bbox=style)
        return
    value, std = score
    axis.bar(
        *(x, value, 0.38),
        yerr=std,
        edgecolor="white",
        capsize=3,
        ecolor="#444444",
        **_STYLES[style],
    )
    axis.text(x - 0.1, value, mark, ha="center")


def _name(axis, name: str, levels: list[Level]) -> None:
    """Title with the references; those within twice the axis's height are also drawn."""
    top, names = axis.get_ylim()[1], []
    for level, (dash, word) in zip(levels, ((":", "dotted"), ("--", "dashed")), strict=False):
        near = level.value <= 2 * top
        names.append(f"{level.label} {level.value:,g}" + (f" ({word})" if near else ""))
        if near:
            axis.axhline(level.value, ls=dash, color="#444444", lw=1)
    axis.set_title(name, loc="left", fontsize=10)
    if names:
        axis.set_title(f"published: {', '.join(names)}", loc="right", fontsize=7)
