"""Charts of curves over training steps, as figures of a publication."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import median_filter

from permakey_tf.viz import overlay, page

_CHART_HEIGHT = 1.75  # inches
_DASHES = ("-", "--", ":", "-.")
MAX_LOOKS = overlay.NUM_COLORS * len(_DASHES)


class Look(NamedTuple):
    """What tells a line from others. `color`: float [3] in [0, 1]; `dash`: matplotlib's style."""

    color: np.ndarray
    dash: str


class Curve(NamedTuple):
    """A line with its range.

    steps: int [N]; middle, low, high: float [N].
    validation: drawn bold, with dots; else it is of training batches, and thin.
    """

    steps: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    look: Look
    validation: bool


class Charts(NamedTuple):
    """Curves over training steps, one chart per title.

    title: above all.
    charts: {title: curves}.
    legend: {label: how its lines look}.
    caption: what charts leave out, for the words under the figure; not drawn.
    """

    title: str
    charts: dict[str, Sequence[Curve]]
    legend: dict[str, Look]
    caption: str = ""


def looks(number: int) -> list[Look]:
    """`number` different ones, at most MAX_LOOKS: all colours, then all with the next dash."""
    colors = overlay.keypoint_colors(number) / 255
    return [Look(color, _DASHES[i // overlay.NUM_COLORS]) for i, color in enumerate(colors)]


def draw(picture: Charts) -> Figure:
    """A Figure of its own rather than pyplot's: no display, no global state."""
    columns = 1 if len(picture.charts) == 1 else 2
    rows = math.ceil(len(picture.charts) / columns)
    legend = {
        label: Line2D([], [], color=look.color, ls=look.dash, lw=1.2)
        for label, look in picture.legend.items()
    }
    legend_columns = page.legend_columns(legend, page.WIDTH)
    extra = 0.3 + 1.2 * page.LINE * math.ceil(len(legend) / legend_columns)
    figure = Figure(
        figsize=(page.WIDTH, rows * _CHART_HEIGHT + extra), dpi=page.DPI, layout="constrained"
    )
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (title, curves) in zip(axes, picture.charts.items(), strict=False):
        _draw_chart(axis, title, curves)
        if limits := limits_without_spikes(curves):
            axis.set_ylim(limits)
    for axis in axes[len(picture.charts) :]:
        axis.remove()
    key = "thin: training batches; bold, with dots: validation"
    figure.suptitle(f"{picture.title} ({key})", fontsize=page.TITLE_SIZE)
    page.add_legend(figure, legend, legend_columns)
    return figure


def _is_log(curves) -> bool:
    """Losses fall by orders of magnitude; the negative ELBO alone goes below zero."""
    return min(curve.low.min() for curve in curves) > 0


def limits_without_spikes(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """Limits of the y axis where spikes take more than half of it; None where all is shown.

    A spike is one or two values that a median of five removes. First values are none: losses fall
    steeply at the start.
    """
    scale, back = (np.log, np.exp) if _is_log(curves) else (np.asarray, np.asarray)
    shown = [scale(part) for curve in curves for part in (curve.low, curve.middle, curve.high)]
    calm = np.concatenate([median_filter(part, 5, mode="nearest") for part in shown])
    everything = np.concatenate(shown)
    margin = 0.05 * np.ptp(calm)
    if np.ptp(everything) <= 2 * (np.ptp(calm) + margin):
        return None
    return float(back(calm.min() - margin)), float(back(calm.max() + margin))


def _draw_chart(axes: Axes, title: str, curves: Sequence[Curve]) -> None:
    for curve in curves:
        # Dots at every one of many validations would hide the dashes.
        dots = {"lw": 1.4, "marker": "o", "ms": 2.5, "markevery": 1 + len(curve.steps) // 10}
        style = dots if curve.validation else {"lw": 0.6}
        color = curve.look.color
        axes.plot(curve.steps, curve.middle, color=color, ls=curve.look.dash, **style)
        if np.any(curve.high > curve.low):
            axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.2, lw=0)
    if _is_log(curves):
        axes.set_yscale("log")
    axes.set_title(title, fontsize=page.LABEL_SIZE)
    axes.set_xlabel("training step", fontsize=page.LABEL_SIZE)
    axes.tick_params(labelsize=7, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", lw=0.5)
