"""Plots of keypoint quality, told apart by colour, line and marker: readable without colours."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from permakey_tf.viz.colors import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

# Those that show on white, for models; what is no model is grey.
_COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_GREYS = ("#000000", "#8a8a8a", "#555555", "#b0b0b0")  # neighbours differ most
_MODEL_MARKERS = "osD^vP"
_CONTROLS = (((0, (5, 2)), "<"), ((0, (1, 1)), ">"), ((0, (5, 1, 1, 1)), "p"))  # line, marker
_BASELINE_LINES = ("dotted", "dashed", "dashdot")
_BASELINE_MARKERS = "xh*d+X1|"  # one each: in a plot of dots nothing else tells greys apart


class Series(NamedTuple):
    """One line of a plot.

    label: for the legend; "" leaves it out.
    kind: "model", "member" (one of the seeds that a model's line is the mean of), "control" or
      "baseline".
    number: of the model that it is, or belongs to; of baselines, of the baseline.
    variant: number of the kind of control.
    values: one per place on the axis; NaN where there is none.
    low, high: a range around the values; empty where there is none.
    """

    label: str
    kind: str
    number: int
    variant: int
    values: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def curves(
    panels: dict[str, list[Series]], places: Sequence[float], title: str, x_label: str
) -> Figure:
    """Lines over numbers, one panel per measure, one legend below.

    Args:
      panels: {name of the measure: its lines}.
      places: the numbers, evenly spaced on the axis.
    """
    figure = Figure(figsize=(max(7.5, 4.5 * len(panels)), 5.0), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    every = range(len(places))
    for axis, (name, lines) in zip(axes, panels.items(), strict=True):
        for line in lines:
            axis.plot(every, line.values, label=line.label or None, **_style(line))
        last = len(places) - 1
        axis.set(xlabel=x_label, ylabel=name, ylim=(0, 1), xlim=(-0.3, last + 0.3))
        shown = every[:: _tick_distance(last)]
        axis.set_xticks(shown, [str(places[index]) for index in shown])
        axis.grid(alpha=0.3)
    return _finish(figure, axes[0], title)


def _tick_distance(last: int) -> int:
    """Of nine labels at the most between 0 and `last`, both of which have one where that can be."""
    least = last // 9 + 1
    return next((step for step in range(least, 2 * least) if last % step == 0), least)


def dots(lines: list[Series], names: Sequence[str], title: str, x_label: str) -> Figure:
    """One row of dots per name, with ranges where there are some."""
    shown = [line for line in lines if line.kind != "member"]
    height = 1.6 + (0.25 + 0.09 * len(shown)) * len(names) + 0.1 * len(shown)
    figure = Figure(figsize=(7.5, height), layout="constrained")
    axis = figure.subplots()
    for number, line in enumerate(shown):
        offset = 0.8 * ((number + 0.5) / len(shown) - 0.5)
        rows = [index + offset for index in range(len(names))]
        style = _style(line) | {"linestyle": "none", "markersize": 6}
        axis.plot(line.values, rows, label=line.label, **style)
        if line.low:
            axis.hlines(rows, line.low, line.high, color=style["color"], lw=1.2)
    for edge in range(1, len(names)):
        axis.axhline(edge - 0.5, color="#dddddd", lw=0.8)
    axis.set(xlabel=x_label, xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    axis.set_yticks(range(len(names)), names)
    axis.grid(axis="x", alpha=0.3)
    return _finish(figure, axis, title)


def _finish(figure: Figure, axis, title: str) -> Figure:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def _style(line: Series) -> dict:
    colors = _GREYS if line.kind == "baseline" else _COLORS
    style = {"color": colors[line.number % len(colors)], "linewidth": 1.3, "markersize": 5}
    if line.kind == "model":
        # With every round of the colours the markers move on by one.
        shift = line.number // len(_COLORS)
        marker = _MODEL_MARKERS[(line.number + shift) % len(_MODEL_MARKERS)]
        return style | {"linewidth": 2.2, "marker": marker}
    if line.kind == "member":
        return style | {"linewidth": 0.7, "alpha": 0.6}
    if line.kind == "control":
        dashes, marker = _CONTROLS[line.variant % len(_CONTROLS)]
        return style | {"linestyle": dashes, "marker": marker, "markerfacecolor": "white"}
    marker = _BASELINE_MARKERS[line.number % len(_BASELINE_MARKERS)]
    dashes = _BASELINE_LINES[line.number % len(_BASELINE_LINES)]
    # With every round of the markers, as of clean and of noisy frames, the greys move on by one.
    grey = _GREYS[(line.number + line.number // len(_BASELINE_MARKERS)) % len(_GREYS)]
    return style | {"color": grey, "linestyle": dashes, "marker": marker}
