"""Keypoints drawn on frames, and contact sheets of images, as plain arrays."""

import contextlib
from collections.abc import Iterator, Sequence

import cv2
import matplotlib
import numpy as np

from permakey_tf.types import Keypoints, View
from permakey_tf.viz.colors import PALETTE

NUM_COLORS = len(PALETTE)
RING_RADIUS = 0.04  # of a ring, in frame sides
_FAINTEST = 0.25  # opacity of what belongs to a keypoint of confidence 0: it can still be seen
_MAGNIFY = 3  # of contact sheets: frames of 84 pixels are small on a screen


def keypoint_colors(num_keypoints: int) -> np.ndarray:
    """uint8 [K, 3], one colour per keypoint; the palette's seven repeat."""
    hues = [matplotlib.colors.to_rgb(PALETTE[k % NUM_COLORS]) for k in range(num_keypoints)]
    return np.round(np.array(hues) * 255).astype(np.uint8)


def to_rgb(images: np.ndarray) -> np.ndarray:
    """float [..., C] in [0, 1] with C = 3 or 1 -> uint8 [..., 3]."""
    images = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def heat(maps: np.ndarray) -> np.ndarray:
    """float [...] in [0, 1] -> uint8 [..., 3], the colour map magma."""
    return np.round(matplotlib.colormaps["magma"](np.asarray(maps))[..., :3] * 255).astype(np.uint8)


def to_pixels(centers_yx: np.ndarray, height: int, width: int) -> np.ndarray:
    """(y, x) in [-1, 1] -> pixel (y, x): -1 is the centre of the first pixel, 1 of the last."""
    return (np.asarray(centers_yx) + 1) / 2 * (np.array([height, width]) - 1)


def opacities(centers_yx: np.ndarray, confidence: np.ndarray | None) -> np.ndarray:
    """How opaque the marks of keypoints are, float [B, K].

    0.25 + 0.75 * sqrt(2 * confidence), and 1 from a confidence of 1/2 on: of pursuit's keypoints
    that is a place a little brighter than it usually is, of PointNet's one where the window takes
    as much off eq. 3 as it adds. Of keypoints at the very same place, as there are where nothing is
    left to be found, only the surest is seen: the faint ones would add up to one that looks sure.

    Args:
      centers_yx: float [B, K, 2].
      confidence: float [B, K] in [0, 1]; None makes all opaque.
    """
    if confidence is None:
        return np.ones(centers_yx.shape[:2])
    opacity = _FAINTEST + (1 - _FAINTEST) * np.sqrt(np.minimum(2 * np.float64(confidence), 1))
    same = (centers_yx[:, :, None] == centers_yx[:, None]).all(axis=-1)  # [B, K, K]
    later = np.triu(np.ones(same.shape[1:], bool), 1)
    one, other = opacity[:, :, None], opacity[:, None]
    hidden = (same & ((other > one) | ((other == one) & later))).any(axis=-1)
    return np.where(hidden, 0.0, opacity)


@contextlib.contextmanager
def translucent(canvas: np.ndarray, opacity: float) -> Iterator[np.ndarray]:
    """What is drawn on the array that it yields comes onto the canvas with an opacity.

    Args:
      canvas: uint8 [H, W, 3]; written to.
      opacity: of all that is drawn, as one: what covers what is settled before.
    """
    if opacity == 1:
        yield canvas
        return
    drawn = canvas.copy()
    yield drawn
    canvas[:] = cv2.addWeighted(drawn, opacity, canvas, 1 - opacity, 0)


def around(
    frame: np.ndarray, points_yx: Sequence[Sequence[float]], margin: float
) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a frame around some points, at least one pixel, and (y, x) of its corner.

    Only this is to be drawn on: blending whole pictures takes most of the time.
    """
    spans = []
    for places, end in zip(zip(*points_yx, strict=True), frame.shape, strict=False):
        first = min(max(int(min(places) - margin), 0), end - 1)
        spans.append(slice(first, min(max(int(max(places) + margin) + 1, first + 1), end)))
    rows, columns = spans
    return frame[rows, columns], (rows.start, columns.start)


def write_numbers(frame: np.ndarray, points_yx: np.ndarray, opacity: np.ndarray) -> None:
    """Writes every keypoint's number beside its ring where the palette repeats; else nothing.

    Args:
      frame: uint8 [H, W, 3], at least 200 pixels wide; written to.
      points_yx: float [K, 2], pixels.
      opacity: float [K] in [0, 1].
    """
    if len(points_yx) <= NUM_COLORS:
        return
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(frame.shape[0] / 900, 0.35)
    for number, (y, x) in enumerate(points_yx):
        (width, height), _ = cv2.getTextSize(str(number), font, scale, 1)
        left = x + RING_RADIUS * frame.shape[1] + 2
        if left + width > frame.shape[1]:
            left = x - RING_RADIUS * frame.shape[1] - 2 - width
        base = int(np.clip(y + height / 2, height, frame.shape[0] - 1))
        start = round(left)
        part, corner = around(frame, [(base - height, start), (base, start + width)], 6)
        place = (start - corner[1], base - corner[0])
        with translucent(part, opacity[number]) as layer:
            for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(layer, str(number), place, font, scale, color, thickness, cv2.LINE_AA)


def draw_keypoints(
    frames: np.ndarray,
    centers_yx: np.ndarray,
    confidence: np.ndarray | None = None,
    magnify: int = _MAGNIFY,
) -> np.ndarray:
    """Draws a ring around every keypoint, one colour per keypoint, and numbers where they repeat.

    The less sure a keypoint is, the fainter are ring and number, see `opacities`.

    Args:
      frames: uint8 [B, H, W, 3].
      centers_yx: float [B, K, 2], (y, x) in [-1, 1].
      confidence: float [B, K] in [0, 1]; None draws all as those of confidence 1.
      magnify: frames are enlarged by this whole factor first.

    Returns:
      uint8 [B, magnify*H, magnify*W, 3].
    """
    frames = frames.repeat(magnify, axis=1).repeat(magnify, axis=2)
    _, height, width, _ = frames.shape
    rows, columns = np.mgrid[:height, :width]
    colors = keypoint_colors(centers_yx.shape[1])
    radius = RING_RADIUS * height
    opacity = opacities(centers_yx, confidence)
    points = to_pixels(centers_yx, height, width)
    for frame, of_frame, opaque in zip(frames, points, opacity, strict=True):
        for (y, x), color, share in zip(of_frame, colors, opaque, strict=True):
            distance = np.abs(np.hypot(rows - y, columns - x) - radius)
            with translucent(frame, share) as layer:
                layer[distance <= 2.0] = 255  # a white rim sets the ring off from any background
                layer[distance <= 1.2] = color
        write_numbers(frame, of_frame, opaque)
    return frames


def summary_images(view: View) -> dict[str, np.ndarray]:
    """Contact sheets for TensorBoard, one per kind of picture, the batch side by side, enlarged;
    maps over the scale of their colours.

    TensorBoard sorts by name: the keypoints come first.

    Returns:
      {name: uint8 [H, W, 3]}.
    """
    frames = to_rgb(np.asarray(view.images))
    drawn = draw_keypoints(frames, *map(np.asarray, view.keypoints))
    sheets = {"keypoints": np.concatenate(list(drawn), axis=1)}
    for title, panel in view.panels.items():
        panel = np.asarray(panel)
        is_map = panel.ndim == 3
        images = heat(panel) if is_map else to_rgb(panel)
        enlarged = images.repeat(_MAGNIFY, axis=1).repeat(_MAGNIFY, axis=2)
        sheet = np.concatenate(list(enlarged), axis=1)
        sheets[f"panels/{title.replace(' ', '_')}"] = _with_scale(sheet) if is_map else sheet
    return sheets


def _with_scale(sheet: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of `heat` -> [H + 20, W, 3]: below it the colours from 0 to 1."""
    width = sheet.shape[1]
    gap, bar = np.zeros([4, width, 3], np.uint8), heat(np.linspace(0, 1, width))
    bar = np.ascontiguousarray(np.broadcast_to(bar, [16, width, 3]))
    for text, left, color in (("0", 4, (255, 255, 255)), ("1", width - 13, (0, 0, 0))):
        cv2.putText(bar, text, (left, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1, cv2.LINE_AA)
    return np.concatenate([sheet, gap, bar])


def film_strip(frames: np.ndarray, keypoints: Keypoints, number: int = 8) -> np.ndarray:
    """Frames spread over an episode with their keypoints, side by side.

    Args:
      frames: uint8 [T, S, S, C].
      keypoints: of these frames, NumPy arrays.
      number: of frames, fewer where the episode is shorter.

    Returns:
      uint8 [H, W, 3].
    """
    chosen = np.linspace(0, len(frames) - 1, min(number, len(frames))).astype(int)
    rgb = frames[chosen] if frames.shape[-1] == 3 else frames[chosen].repeat(3, axis=-1)
    drawn = draw_keypoints(rgb, *(part[chosen] for part in keypoints))
    return np.concatenate(list(drawn), axis=1)
