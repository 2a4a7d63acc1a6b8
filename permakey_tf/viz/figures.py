"""Publication figures, drawn from trained models on held-out frames."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from permakey_tf.types import View
from permakey_tf.viz import overlay

_CELL = 1.2  # inches


def keypoint_grid(view: View, title: str, path: Path) -> None:
    """Frames, keypoints and all panels of a view, one column per frame.

    Args:
      view: what a model shows of some examples.
      title: of the figure.
      path: of the PNG file.
    """
    frames = overlay.to_rgb(np.asarray(view.images))
    rows = {"frame": frames, "keypoints": frames}
    rows |= {name: np.asarray(panel) for name, panel in view.panels.items()}
    points = overlay.to_pixels(view.keypoints.centers_yx, *frames.shape[1:3])  # [B, K, 2]
    colors = overlay.keypoint_colors(points.shape[1]) / 255
    # A Figure of its own rather than pyplot's: no display, no global state.
    size = (_CELL * (len(frames) + 0.3), _CELL * len(rows) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(frames), squeeze=False)
    for row, (name, cells) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(name.replace("error map ", "error map,\nlayer "), fontsize=9)
        for axis, cell in zip(row, cells, strict=True):
            grey = cell.ndim == 2 or cell.shape[-1] == 1
            axis.imshow(cell, cmap=_color_map(cell, grey), vmin=0, vmax=1 if grey else None)
            axis.set(xticks=[], yticks=[])
    for axis, centers in zip(axes[1], points, strict=True):
        # Open rings, on white ones to stand out: what they are on stays visible.
        for color, width in (("white", 2.6), (colors, 1.4)):
            axis.scatter(*centers.T[::-1], s=42, facecolors="none", edgecolors=color, lw=width)
    figure.suptitle(title, fontsize=10)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _color_map(cell, grey):
    if not grey:
        return None
    return matplotlib.colormaps["magma" if cell.ndim == 2 else "gray"]
