"""Keypoints of an episode as an animation: rings with fading tails, methods side by side."""

import contextlib
import errno
import itertools
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image

from permakey_tf.errors import UserError
from permakey_tf.types import Keypoints
from permakey_tf.viz import overlay

FORMATS = ("mp4", "gif")
_GIF_MAX_FPS = 50  # viewers take delays below 0.02 s for 0.1 s
SIDE = 420  # of an enlarged frame, about, in pixels, as all lengths here
_HEADER = 26
_GAP = 6
TAIL = 12  # past positions that are shown, frames
_JUMP = 0.2  # frame sides between two frames: another object, to which no tail leads
_SHIFT = 4  # OpenCV draws at 1 / 2**_SHIFT pixels


class Video(NamedTuple):
    """An episode with one or more sets of keypoints, one panel each.

    frames: uint8 [T, S, S, C], C = 3 or 1.
    tracks: {label: keypoints of all frames, NumPy arrays; confidence None where there is none}.
    fps: frames a second.
    caption: which frames are shown; not drawn.
    """

    frames: np.ndarray
    tracks: dict[str, Keypoints]
    fps: float
    caption: str = ""


def render(film: Video) -> Iterator[np.ndarray]:
    """Yields the T pictures, uint8 [H, W, 3], H and W even.

    No two are equal, for they are numbered: GIF writers join equal ones.
    """
    size = film.frames.shape[1]
    magnify = max(round(SIDE / size), 1)
    paths = {label: to_canvas(track, size, magnify) for label, track in film.tracks.items()}
    for t, frame in enumerate(film.frames):
        frame = np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame
        frame = frame.repeat(magnify, axis=0).repeat(magnify, axis=1)
        panels = []
        for label, path in paths.items():
            canvas = draw_trails(frame, *(part[max(t - TAIL, 0) : t + 1] for part in path))
            header = header_line(label, f"{t + 1}/{len(film.frames)}", canvas.shape[1])
            panels += [np.concatenate([header, canvas]), np.zeros([1, _GAP, 3], np.uint8)]
        height = panels[0].shape[0]
        panels = [np.broadcast_to(p, (height, *p.shape[1:])) for p in panels[:-1]]
        yield even(np.concatenate(panels, axis=1))


def check_rate(format: str, fps: float) -> None:
    """Raises UserError for frames a second that a format of FORMATS cannot show."""
    if format == "gif" and fps > _GIF_MAX_FPS:
        raise UserError(
            f"fps={fps:g}: a GIF shows at most {_GIF_MAX_FPS} frames a second, viewers play a "
            "faster one at 10; lower fps, or take format=mp4",
            ["fps", "fps", "format"],
        )


def write(film: Video, path: Path, format: str) -> None:
    """Writes the animation to a file of any name in a format of FORMATS.

    An MP4 is written as it is drawn; a GIF needs 0.6 MB of memory a frame and panel.

    Raises:
      UserError: as `check_rate`.
      OSError: the file cannot be written.
    """
    check_rate(format, film.fps)
    {"mp4": write_mp4, "gif": _write_gif}[format](render(film), film.fps, path)


def _write_gif(pictures, fps, path):
    images = [Image.fromarray(picture) for picture in pictures]
    # GIF counts hundredths of a second: rounding the times, not the delays, keeps the mean rate.
    times = np.floor(100 * np.arange(len(images) + 1) / fps + 0.5).astype(int)
    delays = (10 * np.diff(times)).tolist()  # milliseconds
    first, *others = images
    with path.open("wb") as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=delays, loop=0)


def write_mp4(pictures, fps, path):
    """By ffmpeg itself, for imageio's writer takes no notice when it fails."""
    first = next(pictures)
    height, width, _ = first.shape
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps}"]
    target = ["-an", "-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", "-f", "mp4", str(path)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, "-i", "-", *target]
    with (
        tempfile.TemporaryFile() as messages,  # a pipe that nobody empties could fill
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages) as ffmpeg,
    ):
        with contextlib.suppress(BrokenPipeError), ffmpeg.stdin as stream:
            for picture in itertools.chain([first], pictures):
                stream.write(np.ascontiguousarray(picture))
        if ffmpeg.wait():
            messages.seek(0)
            said = messages.readline().decode(errors="replace").strip()
            said = re.sub(r"^(\[[^]]*\] *)+", "", said)  # addresses of its parts
            raise OSError(errno.EIO, f"ffmpeg: {said or f'exit code {ffmpeg.returncode}'}")


def to_canvas(track: Keypoints, size, magnify) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the enlarged frame, float [T, K, 2], and opacities, float [T, K]."""
    points = overlay.to_pixels(track.centers_yx, size, size) * magnify + (magnify - 1) / 2
    return points, overlay.opacities(*track)


def _fixed_point(yx, corner):
    """(x, y) as OpenCV takes a place; corner: (y, x) of the canvas in the frame."""
    (y, x), (top, left) = yx, corner
    return round(x * 2**_SHIFT) - left * 2**_SHIFT, round(y * 2**_SHIFT) - top * 2**_SHIFT


def draw_trails(frame, path, opacity):
    """Rings at the last positions of `path`, float [<= tail + 1, K, 2], lines behind them.

    A keypoint that jumps leaves its tail behind. `opacity`: float [<= tail + 1, K] in [0, 1], of
    rings, and of the lines to them.
    """
    canvas = frame.copy()
    colors = [tuple(map(int, color)) for color in overlay.keypoint_colors(path.shape[1])]
    for position in range(1, len(path)):
        age = len(path) - position
        steps = path[position - 1 : position + 1].swapaxes(0, 1)  # [K, 2, 2], from and to
        stays = np.hypot(*(steps[:, 1] - steps[:, 0]).T) <= _JUMP * len(canvas)
        lines = zip(steps.tolist(), colors, opacity[position].tolist(), strict=True)
        _draw_lines(canvas, list(itertools.compress(lines, stays)), 1 - (age - 1) / TAIL)
    for point, color, share in zip(path[-1].tolist(), colors, opacity[-1].tolist(), strict=True):
        _draw_ring(canvas, point, color, share)
    overlay.write_numbers(canvas, path[-1], opacity[-1])
    return canvas


def _draw_lines(canvas, lines, opacity: float) -> None:
    """Lines, each ([from, to] as (y, x), color, its own opacity); opacity: of all as one."""
    if not lines:
        return
    part, (top, left) = overlay.around(canvas, [yx for line, *_ in lines for yx in line], 4)
    with overlay.translucent(part, opacity) as together:
        for line, color, share in lines:
            line = [(y - top, x - left) for y, x in line]
            own, corner = overlay.around(together, line, 4)
            places = [_fixed_point(point, corner) for point in line]
            with overlay.translucent(own, share) as layer:
                cv2.line(layer, *places, color, thickness=2, lineType=cv2.LINE_AA, shift=_SHIFT)


def _draw_ring(canvas, point, color, opacity: float) -> None:
    radius = overlay.RING_RADIUS * len(canvas)
    part, corner = overlay.around(canvas, [point], radius + 6)
    place, radius = _fixed_point(point, corner), round(radius * 2**_SHIFT)
    with overlay.translucent(part, opacity) as layer:
        for ring_color, thickness in (((255, 255, 255), 5), (color, 3)):
            cv2.circle(layer, place, radius, ring_color, thickness, cv2.LINE_AA, _SHIFT)


def header_line(left, right, width):
    """uint8 [header, width, 3]: light words on dark ground."""
    header = np.full([_HEADER, width, 3], 24, np.uint8)
    font, scale, light = cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235)
    (right_width, _), _ = cv2.getTextSize(right, font, scale, 1)
    for text, x in ((left, 6), (right, width - right_width - 6)):
        cv2.putText(header, text, (x, _HEADER - 8), font, scale, light, 1, cv2.LINE_AA)
    return header


def even(picture):
    """H.264 halves the resolution of the colours: an odd side gets one more row or column."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)))
