"""Noisy Atari: coloured bars at fresh random positions (ICLR section 5.2, app. A.1)."""

import numpy as np

BAR_WIDTH = 5  # pixels, on the frame that the model sees
BAR_COLOR = (128, 0, 255)  # RGB


def draw_bars(frames: np.ndarray, noise: str, rng: np.random.Generator) -> np.ndarray:
    """Draws bars on frames, a fresh position for every frame.

    Positions are uniform over those where the whole bar lies inside the frame.

    Args:
      frames: uint8 [B, S, S, C], RGB or greyscale; not changed.
      noise: "vertical", "horizontal", "both", or "none", which returns `frames` itself.
      rng: source of the positions; the same state gives the same bars.

    Returns:
      uint8 [B, S, S, C].
    """
    if noise == "none":
        return frames
    frames = frames.copy()
    batch, height, width, channels = frames.shape
    color = np.array(BAR_COLOR, np.uint8)
    if channels == 1:  # ITU-R 601 luma, as the greyscale frames themselves
        color = np.array([round(np.dot(BAR_COLOR, (0.299, 0.587, 0.114)))], np.uint8)
    if noise in ("vertical", "both"):
        for frame, left in zip(frames, rng.integers(0, width - BAR_WIDTH + 1, batch), strict=True):
            frame[:, left : left + BAR_WIDTH] = color
    if noise in ("horizontal", "both"):
        for frame, top in zip(frames, rng.integers(0, height - BAR_WIDTH + 1, batch), strict=True):
            frame[top : top + BAR_WIDTH] = color
    return frames
