"""Publication figures from plain arrays: grids of panels.

What a figure shows is data, a `PanelGrid` or `Charts`; `draw` makes a matplotlib Figure of it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from permakey_tf.types import Keypoints, View
from permakey_tf.viz import curves, overlay, page
from permakey_tf.viz.curves import Charts

_MAX_CELL = 1.2  # side of a panel; this and all lengths below: inches
_GAP = 0.03
_NUMBER_SIZE = 7.0  # points
_TITLE_LINE = 1.35 * page.TITLE_SIZE / 72
_SCALE_LINE = 0.17  # height of the line with the scale of maps
SCALE = "scale of maps"  # label of its axes


class Panel(NamedTuple):
    """One picture of a grid.

    image: uint8 [H, W, 3], or a map, float [H, W] in [0, 1].
    points_yx: float [K, 2], pixels; a ring is drawn around each.
    colors: float [K, 3] in [0, 1], of the rings.
    opacity: float [K] in [0, 1], of the rings and their numbers.
    numbers: of the rings, written beside them; () for none.
    windows: float [H, W] in [0, 1], outlined where it crosses one half; None for no outline.
    """

    image: np.ndarray
    points_yx: np.ndarray = np.zeros([0, 2])
    colors: np.ndarray = np.zeros([0, 3])
    opacity: np.ndarray = np.zeros(0)
    numbers: Sequence[int] = ()
    windows: np.ndarray | None = None


class PanelGrid(NamedTuple):
    """Rows of square panels.

    title: above all.
    rows: {label: places}, equally many in each; a place holds a panel, words or nothing.
    columns: labels above the first row; () for none.
    legend: {label: colour, float [3] in [0, 1]} of rings.
    ring: diameter of the rings, in panel sides.
    caption: which frames are shown, for the words under the figure; not drawn.
    """

    title: str
    rows: dict[str, Sequence[Panel | str | None]]
    columns: Sequence[str] = ()
    legend: dict[str, np.ndarray] = {}  # noqa: RUF012, never written to
    ring: float = 0.085
    caption: str = ""


# --------------------------------------------------------------------------------------- panels


def image_panels(images: np.ndarray) -> list[Panel]:
    """Panels of frames (uint8 [B, H, W, C], C = 3 or 1) or of maps (float [B, H, W] in [0, 1])."""
    if images.ndim == 4 and images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    return [Panel(image) for image in images]


def keypoint_panels(frames: np.ndarray, keypoints: Keypoints, colors=None) -> list[Panel]:
    """Panels of frames with a ring around every keypoint, numbered where their colours repeat.

    Args:
      frames: uint8 [B, H, W, C], C = 3 or 1.
      keypoints: of these frames, NumPy arrays; with confidence they are as opaque as
        `overlay.opacities` says.
      colors: float [K, 3] in [0, 1]; None gives every keypoint its own.
    """
    number = keypoints.centers_yx.shape[1]
    numbers = range(number) if colors is None and number > overlay.NUM_COLORS else ()
    colors = overlay.keypoint_colors(number) / 255 if colors is None else colors
    points = overlay.to_pixels(keypoints.centers_yx, *frames.shape[1:3])
    opacity = overlay.opacities(*keypoints)
    panels = image_panels(frames)
    return [
        panel._replace(points_yx=yx, colors=colors, opacity=opaque, numbers=numbers)
        for panel, yx, opaque in zip(panels, points, opacity, strict=True)
    ]


def view_grid(view: View, title: str) -> PanelGrid:
    """Frames, keypoints and all panels of what a model shows, one column per frame."""
    frames = overlay.to_rgb(np.asarray(view.images))
    rows = {
        "frame": image_panels(frames),
        "keypoints": keypoint_panels(frames, Keypoints(*map(np.asarray, view.keypoints))),
    }
    for name, panel in view.panels.items():
        panel = np.asarray(panel)
        name = name.replace("error map ", "error map, layer ")
        rows[name] = image_panels(panel if panel.ndim == 3 else overlay.to_rgb(panel))
    return PanelGrid(title, rows)


# -------------------------------------------------------------------------------------- drawing


def draw(picture: PanelGrid | Charts) -> Figure:
    """A Figure of its own rather than pyplot's: no display, no global state."""
    return _draw_grid(picture) if isinstance(picture, PanelGrid) else curves.draw(picture)


class _Layout(NamedTuple):
    """Measures of a grid in inches, and its labels wrapped to fit."""

    cell: float
    left: float
    top: float
    size: tuple[float, float]
    title: list[str]
    rows: list[list[str]]
    columns: list[list[str]]
    legend_columns: int
    scale_y: float


def _lay_out(grid: PanelGrid) -> _Layout:
    number = len(next(iter(grid.rows.values())))

    def cell_beside(left):
        return min((page.WIDTH - left - _GAP * number) / number, _MAX_CELL)

    # Labels of rows are wrapped to the height of a cell, which depends on the room they take.
    cell = cell_beside(page.LINE)
    for _ in range(2):
        labels = [page.wrap(label, cell, page.LABEL_SIZE) for label in grid.rows]
        left = page.LINE * max(map(len, labels)) + 0.04
        cell = cell_beside(left)
    width = left + number * (cell + _GAP)
    title = page.wrap(grid.title, width - left - 0.05, page.TITLE_SIZE)
    columns = [page.wrap(label, cell, page.LABEL_SIZE) for label in grid.columns]
    top = len(title) * _TITLE_LINE + 0.08
    top += page.LINE * max(map(len, columns), default=0)
    legend_columns = page.legend_columns(grid.legend, width)
    bottom = 0.08 + page.LINE * 1.2 * math.ceil(len(grid.legend) / legend_columns)
    bottom += _SCALE_LINE * _has_maps(grid)
    height = top + len(labels) * (cell + _GAP) - _GAP + bottom
    scale_y = bottom - _SCALE_LINE + 0.02
    size = (width, height)
    return _Layout(cell, left, top, size, title, labels, columns, legend_columns, scale_y)


def _draw_grid(grid: PanelGrid) -> Figure:
    layout = _lay_out(grid)
    figure = Figure(figsize=layout.size, dpi=page.DPI)
    width, height = layout.size
    pitch = layout.cell + _GAP
    for i, places in enumerate(grid.rows.values()):
        y = 1 - (layout.top + i * pitch + layout.cell) / height
        text_y = y + layout.cell / 2 / height
        label = "\n".join(layout.rows[i])
        _text(figure, (layout.left - 0.04) / width, text_y, label, "right", "center", rotation=90)
        for j, place in enumerate(places):
            x = (layout.left + j * pitch) / width
            center = x + layout.cell / 2 / width
            if isinstance(place, Panel):
                axes = figure.add_axes((x, y, layout.cell / width, layout.cell / height))
                _draw_panel(axes, place, layout.cell, grid.ring)
            elif place:
                words = "\n".join(page.wrap(place, layout.cell, page.LABEL_SIZE))
                _text(figure, center, y + 0.02 / height, words, "center", "bottom")
            if i == 0 and layout.columns:
                top = y + (layout.cell + 0.03) / height
                _text(figure, center, top, "\n".join(layout.columns[j]), "center", "bottom")
    middle = (width + layout.left) / 2 / width
    title = "\n".join(layout.title)
    _text(figure, middle, 1 - 0.04 / height, title, "center", "top", size=page.TITLE_SIZE)
    if _has_maps(grid):
        _draw_scale(figure, middle, layout.scale_y)
    if grid.legend:
        page.add_legend(figure, _ring_handles(grid.legend), layout.legend_columns)
    return figure


def _is_map(place) -> bool:
    return isinstance(place, Panel) and place.image.ndim == 2


def _has_maps(grid) -> bool:
    return any(_is_map(place) for places in grid.rows.values() for place in places)


def _draw_scale(figure, middle, y) -> None:
    """The colours of maps from 0 to 1, centred at `middle`; `y` from below, inches."""
    width, height = figure.get_size_inches()
    half = 0.5
    place = (middle - half / width, y / height, 2 * half / width, 0.07 / height)
    axes = figure.add_axes(place, label=SCALE)
    axes.imshow(np.linspace(0, 1, 256)[None], cmap="magma", aspect="auto")
    axes.set(xticks=[], yticks=[])
    text_y = (y + 0.035) / height
    _text(figure, middle - (half + 0.05) / width, text_y, "maps: 0", "right", "center")
    _text(figure, middle + (half + 0.05) / width, text_y, "1", "left", "center")


def _draw_windows(axes, windows) -> None:
    """What is outside is dark, and so can be what is inside: a line tells the two apart."""
    if not windows.min() < 0.5 < windows.max():
        return
    for color, width in (("black", 1.2), ("white", 0.6)):
        axes.contour(windows, levels=[0.5], colors=color, linewidths=width)


def _write_numbers(axes, panel: Panel, cell: float, ring: float) -> None:
    """Beside each ring, on the side where least is in the way."""
    rings = (panel.points_yx + 0.5) * 72 * cell / panel.image.shape[1]  # points, from the corner
    places = _free_places(rings, ring * cell * 72, panel.numbers, cell * 72)
    for number, ring_yx, yx, opacity in zip(
        panel.numbers, panel.points_yx, places - rings, panel.opacity, strict=True
    ):
        axes.annotate(
            *(str(number), ring_yx[::-1], (yx[1], -yx[0])),
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            fontsize=_NUMBER_SIZE,
            color="white",
            alpha=opacity,
            path_effects=[withStroke(linewidth=1.2, foreground="black")],
        )


def _free_places(rings, diameter: float, numbers: Sequence[int], cell: float) -> np.ndarray:
    """Middles of the numbers, one beside each ring: float [K, 2].

    Each in turn takes the side, of eight, where its box covers least of other rings, of numbers
    before it and of what is outside of the panel.

    Args:
      rings: float [K, 2], middles; diameter: of them; cell: side of the panel. All in points.
      numbers: that are written.
    """
    boxes = np.column_stack([rings, np.full_like(rings, diameter)])  # middle, height and width
    sides = [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1)]
    places = []
    for own, number in zip(rings, numbers, strict=True):
        size = np.array([1.0, 0.6 * len(str(number))]) * _NUMBER_SIZE
        options = own + np.array(sides) * (diameter + size) / 2
        outside = np.clip(np.abs(options - cell / 2) + size / 2 - cell / 2, 0, None)
        near = (boxes[None, :, 2:] + size) / 2 - np.abs(options[:, None] - boxes[None, :, :2])
        covered = np.clip(near, 0, None).prod(-1).sum(-1)
        best = np.argmin(covered + size.prod() * outside.sum(-1))
        places.append(options[best])
        boxes = np.vstack([boxes, [*options[best], *size]])
    return np.array(places)


def _draw_panel(axes: Axes, panel: Panel, cell: float, ring: float) -> None:
    is_map = _is_map(panel)
    axes.imshow(
        panel.image,
        cmap="magma" if is_map else None,
        vmin=0 if is_map else None,
        vmax=1 if is_map else None,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)
    if panel.windows is not None:
        _draw_windows(axes, panel.windows)
    if not len(panel.points_yx):
        return
    # Open rings, on white ones to stand out: what they are on stays visible. The white ones fade
    # faster, by the square: they would shine through the others and bleach them.
    line = max(0.9 * cell, 0.6)
    white = np.column_stack([np.ones_like(panel.colors), panel.opacity**2])
    own = np.column_stack([panel.colors, panel.opacity])
    for colors, line_width in ((white, 2.2 * line), (own, line)):
        axes.scatter(
            panel.points_yx[:, 1],
            panel.points_yx[:, 0],
            s=(ring * cell * 72) ** 2,
            facecolors="none",
            edgecolors=colors,
            linewidths=line_width,
        )
    if len(panel.numbers):
        _write_numbers(axes, panel, cell, ring)


def _text(figure, x, y, text, horizontal, vertical, size=page.LABEL_SIZE, **options):
    figure.text(x, y, text, ha=horizontal, va=vertical, fontsize=size, **options)


def _ring_handles(legend):
    style = {"marker": "o", "linestyle": "none", "markerfacecolor": "none", "markersize": 5}
    return {
        label: Line2D([], [], color=color, markeredgewidth=1.3, **style)
        for label, color in legend.items()
    }
