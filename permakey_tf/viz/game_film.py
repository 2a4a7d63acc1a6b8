"""A game that an agent played, as pictures: frame, keypoints, and the value of every action."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from permakey_tf.types import Keypoints
from permakey_tf.viz import overlay, video

_CHART = 260  # width beside a frame; this and all lengths below: pixels
_ROW = 18  # height of an action below a frame of a strip
_MAX_ROW = 30  # and beside a frame
_STRIP_COLUMNS, _STRIP_ROWS = 4, 2  # frames
_STRIP_SIDE = 252  # of a frame in a strip, about
_GROUND, _LIGHT = 24, (235, 235, 235)
_CHOSEN, _OTHER = overlay.keypoint_colors(2).tolist()


class GameFilm(NamedTuple):
    """A played game of T steps.

    title: which game. frames: uint8 [T, S, S, C], as the agent saw them. keypoints: of the frames,
    NumPy arrays. q_values: float [T, A]. actions: int [T], taken after each frame. scores: float
    [T], true score before each action. action_names: A. final_score: after the last action.
    """

    title: str
    frames: np.ndarray
    keypoints: Keypoints
    q_values: np.ndarray
    actions: np.ndarray
    scores: np.ndarray
    action_names: tuple[str, ...]
    final_score: float


def render(film: GameFilm) -> Iterator[np.ndarray]:
    """Yields the T pictures, uint8 [H, W, 3], H and W even: the values beside the frame."""
    for t in range(len(film.frames)):
        frame = _frame(film, t, video.SIDE)
        chart = _chart(film, t, len(frame), _CHART)
        picture = np.concatenate([frame, chart], axis=1)
        right = f"score {film.scores[t]:g}  step {t + 1}/{len(film.frames)}"
        line = video.header_line(film.title, right, picture.shape[1])
        yield video.even(np.concatenate([line, picture]))


def strip(film: GameFilm) -> np.ndarray:
    """Frames spread over the game, the values below each; uint8 [H, W, 3].

    A game with fewer steps than places has fewer columns or rows.
    """
    number = min(_STRIP_COLUMNS * _STRIP_ROWS, len(film.frames))
    chosen = np.linspace(0, len(film.frames) - 1, number).astype(int)
    tiles = []
    for t in chosen:
        frame = _frame(film, t, _STRIP_SIDE)
        chart = _chart(film, t, _ROW * len(film.action_names), frame.shape[1])
        line = video.header_line(f"step {t + 1}", f"score {film.scores[t]:g}", frame.shape[1])
        tiles.append(np.pad(np.concatenate([line, frame, chart]), ((0, 6), (0, 6), (0, 0))))
    columns = min(_STRIP_COLUMNS, number)
    tiles += [np.zeros_like(tiles[0])] * (-number % columns)
    lines = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(lines)[:-6, :-6]


def _frame(film: GameFilm, t: int, side: int) -> np.ndarray:
    """The enlarged frame with its keypoints and their tails."""
    frame, size = film.frames[t], film.frames.shape[1]
    magnify = max(round(side / size), 1)
    recent = slice(max(t - video.TAIL, 0), t + 1)
    track = Keypoints(*(part[recent] for part in film.keypoints))
    frame = np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame
    frame = frame.repeat(magnify, axis=0).repeat(magnify, axis=1)
    return video.draw_trails(frame, *video.to_canvas(track, size, magnify))


def _chart(film: GameFilm, t: int, height: int, width: int) -> np.ndarray:
    """A bar for every action; from the lowest to the highest value of the whole game."""
    canvas = np.full([height, width, 3], _GROUND, np.uint8)
    low, high = float(film.q_values.min()), float(film.q_values.max())
    row = min(height / len(film.action_names), _MAX_ROW)
    scale, font = min(row / 42, 0.45), cv2.FONT_HERSHEY_SIMPLEX
    widths = [cv2.getTextSize(f"> {name}", font, scale, 1)[0][0] for name in film.action_names]
    left, right = max(round(0.42 * width), 4 + max(widths) + 6), width - 58  # of the bars
    for a, (name, value) in enumerate(zip(film.action_names, film.q_values[t], strict=True)):
        color = _CHOSEN if a == film.actions[t] else _OTHER
        share = (value - low) / (high - low) if high > low else 1.0
        top, bottom = round(a * row) + 2, round((a + 1) * row) - 2
        end = left + max(round(share * (right - left)), 1)
        cv2.rectangle(canvas, (left, top), (end, bottom), color, -1)
        words = f"> {name}" if a == film.actions[t] else f"  {name}"
        ink = _CHOSEN if a == film.actions[t] else _LIGHT
        baseline = round((a + 0.5) * row + 11 * scale)
        for text, x in ((words, 4), (f"{value:.2f}", right + 8)):
            cv2.putText(canvas, text, (x, baseline), font, scale, ink, 1, cv2.LINE_AA)
    return canvas
