"""Noisy Atari: coloured bars at fresh random positions (ICLR section 5.2, app. A.1)."""

from typing import NamedTuple

import numpy as np

BAR_WIDTH = 5  # pixels, on the frame that the model sees
BAR_COLOR = (128, 0, 255)  # RGB


class Bars(NamedTuple):
    """Where the bars of a batch of frames are.

    left: int [B], first column of the vertical bar; None where there is none.
    top: int [B], first row of the horizontal bar; None where there is none.
    """

    left: np.ndarray | None
    top: np.ndarray | None


def bar_positions(
    batch: int, height: int, width: int, noise: str, rng: np.random.Generator
) -> Bars:
    """Draws positions, uniform over those where the whole bar lies inside the frame.

    Args:
      batch, height, width: size of the batch and of its frames, pixels.
      noise: one of `configs.keypoints.NOISES`.
      rng: source of the positions; the same state gives the same bars.
    """
    left = top = None
    if noise in ("vertical", "both"):
        left = rng.integers(0, width - BAR_WIDTH + 1, batch)
    if noise in ("horizontal", "both"):
        top = rng.integers(0, height - BAR_WIDTH + 1, batch)
    return Bars(left, top)


def draw_bars_at(frames: np.ndarray, bars: Bars) -> np.ndarray:
    """Frames with bars at given positions.

    Args:
      frames: uint8 [B, S, S, C], RGB or greyscale; not changed.
      bars: positions for each of them.

    Returns:
      uint8 [B, S, S, C]; `frames` itself where there is no bar at all.
    """
    if bars.left is None and bars.top is None:
        return frames
    frames = frames.copy()
    color = np.array(BAR_COLOR, np.uint8)
    if frames.shape[3] == 1:  # ITU-R 601 luma, as the greyscale frames themselves
        color = np.array([round(np.dot(BAR_COLOR, (0.299, 0.587, 0.114)))], np.uint8)
    if bars.left is not None:
        for frame, left in zip(frames, bars.left, strict=True):
            frame[:, left : left + BAR_WIDTH] = color
    if bars.top is not None:
        for frame, top in zip(frames, bars.top, strict=True):
            frame[top : top + BAR_WIDTH] = color
    return frames


def draw_bars(frames: np.ndarray, noise: str, rng: np.random.Generator) -> np.ndarray:
    """Draws bars on frames, a fresh position for every frame: `bar_positions`, `draw_bars_at`.

    Args:
      frames: uint8 [B, S, S, C], RGB or greyscale; not changed.
      noise: one of `configs.keypoints.NOISES`; "none" returns `frames` itself.
      rng: source of the positions; the same state gives the same bars.

    Returns:
      uint8 [B, S, S, C].
    """
    batch, height, width, _ = frames.shape
    return draw_bars_at(frames, bar_positions(batch, height, width, noise, rng))
