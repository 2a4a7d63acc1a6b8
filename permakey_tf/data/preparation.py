"""Frames as a model sees them."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from permakey_tf.data.noise import draw_bars
from permakey_tf.errors import UserError


def remedy(frames: np.ndarray) -> str:
    """How to make uint8 frames, with channels last, of an array that has no such; "" if unknown."""
    if frames.shape == (0,):  # of an empty list, of which NumPy makes floats
        return ": it is empty"
    if frames.dtype.kind == "f" and frames.size and frames.max() > 1:
        return "; frames.astype(np.uint8) makes it of [0, 255]"
    if frames.dtype.kind == "f":
        return "; (frames * 255).astype(np.uint8) makes it of [0, 1]"
    if frames.dtype != np.uint8 and frames.dtype.kind in "iu":
        return "; frames.astype(np.uint8) makes it of whole numbers from 0 to 255"
    if frames.ndim in (3, 4) and frames.shape[-3] in (1, 3):
        return "; channels come last: np.moveaxis(frames, -3, -1)"
    if frames.ndim in (2, 3) and frames.shape[-1] > 4:
        return "; grey frames have one channel: frames[..., None]"
    return ""


def prepare_frame(
    frame: np.ndarray, image_size: int, channels: int, keep_aspect: bool = False
) -> np.ndarray:
    """Brings a frame to the model's size and number of channels.

    Grey is ITU-R 601 luma, taken at full resolution; sizes change by area averaging. A
    frame that already has the size and channels is returned as it is.

    Args:
      frame: uint8 [H, W, 3] (RGB), [H, W, 1] or [H, W].
      image_size: side S of the square result, in pixels.
      channels: 3 for RGB, 1 for grey.
      keep_aspect: pad the shorter side with black, half at each end, before the size changes;
        otherwise the frame is squeezed into the square.

    Returns:
      uint8 [S, S, channels].

    Raises:
      UserError: `frame` is no such array.
    """
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
        raise UserError(f"a frame must be uint8 [H, W, 3], not {frame.dtype} {list(frame.shape)}")
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.shape[2] not in (1, 3):
        raise UserError(f"a frame must have 3 channels or 1, not {frame.shape[2]}")
    if frame.shape[2] != channels:
        code = cv2.COLOR_RGB2GRAY if channels == 1 else cv2.COLOR_GRAY2RGB
        frame = cv2.cvtColor(np.ascontiguousarray(frame), code)
    if keep_aspect:
        spare = [max(frame.shape[:2]) - side for side in frame.shape[:2]]
        margins = [(total // 2, total - total // 2) for total in spare]
        frame = np.pad(frame, margins + [(0, 0)] * (frame.ndim - 2)) if any(spare) else frame
    # OpenCV averages areas only where no side grows: sides shrink first, and grow after that.
    shrunk = tuple(min(side, image_size) for side in frame.shape[:2])
    for height, width in (shrunk, (image_size, image_size)):
        if frame.shape[:2] != (height, width):
            frame = np.ascontiguousarray(frame)
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return frame.reshape(image_size, image_size, channels)


class FrameFormat(NamedTuple):
    """How a model sees frames.

    size: side S, pixels. channels: 3, or 1 for grey. noise: bars on every frame, see data/noise.py.
    keep_aspect: padded to a square instead of squeezed, see `prepare_frame`.
    """

    size: int = 84
    channels: int = 3
    noise: str = "none"
    keep_aspect: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(S, S, C)."""
        return self.size, self.size, self.channels

    def prepare(self, frames: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, 3] -> uint8 [N, S, S, C], without bars. Errors as `prepare_frame`'s."""
        if isinstance(frames, np.ndarray) and frames.shape[1:] == self.shape:
            return frames
        settings = self.size, self.channels, self.keep_aspect
        prepared = [prepare_frame(np.asarray(frame), *settings) for frame in frames]
        return np.stack(prepared) if prepared else np.zeros((0, *self.shape), np.uint8)

    def with_bars(self, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, 3] -> uint8 [S, S, C], with new bars where the format has noise."""
        return draw_bars(self.prepare([frame]), self.noise, rng)[0]
