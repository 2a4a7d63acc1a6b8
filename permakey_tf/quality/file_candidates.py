"""Centres of anyone's model, from a file."""

from pathlib import Path

import numpy as np

from permakey_tf.data.preparation import FrameFormat
from permakey_tf.errors import UserError
from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.quality.footage import Footage
from permakey_tf.quality.scoring import check_centers, check_confidence
from permakey_tf.system.npz import NpzFile


def from_file(path: Path, name: str, seen: SeenFrames, noise: str = "none") -> Candidate:
    """Centres of anyone's model: `centers` float [N, K, 2] in an .npz file.

    N are all frames of the footage, or the scored ones (without the probe and a threshold then).
    The file may have a `confidence` float [N, K] in [0, 1]. `noise`: bars on the frames that they
    were found in, those of `frames_for_anyone`.

    Raises:
      UserError: the file holds no such arrays.
    """
    centers, confidence = _read(path, seen)
    scored_rows, fitting_rows = seen.scored_rows, seen.fitting_rows
    scored, fitting = (slice(rows.start, rows.stop) for rows in (scored_rows, fitting_rows))
    if len(centers) != len(seen.footage.frames):
        scored, fitting = slice(None), None
    frame_format = _format_of_anyone(seen.footage, noise)
    return Candidate(
        name=name,
        variant="",
        kind="keypoints",
        family="",
        format=frame_format,
        bars=seen.bars(frame_format, scored_rows),
        scored_centers=centers[scored],
        fitting_centers=None if fitting is None else centers[fitting],
        about={"file": str(path)},
        scored_confidence=None if confidence is None else confidence[scored],
        fitting_confidence=None if fitting is None or confidence is None else confidence[fitting],
    )


def _read(path: Path, seen: SeenFrames) -> tuple[np.ndarray, np.ndarray | None]:
    """Checked centres [n, K, 2] and confidence [n, K] (or None), n as the frames or the scored."""
    with NpzFile(path) as npz:
        centers = npz.read("centers")
        confidence = npz.read("confidence") if "confidence" in npz.arrays else None
    rows, everything = seen.scored_rows, len(seen.footage.frames)
    number = len(centers) if centers.ndim else 0
    if number not in (everything, len(rows)):
        raise UserError(
            f"{path}: 'centers' has {number} frames; {seen.footage.path} has "
            f"{everything}, of which {len(rows)} are scored (rows {rows.start} to "
            f"{rows.stop - 1}): give centres for all of them or for the scored ones"
        )
    try:
        centers = check_centers(centers, number)
        return centers, None if confidence is None else check_confidence(confidence, centers)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _format_of_anyone(footage: Footage, noise: str) -> FrameFormat:
    """For the baselines beside centres from a file: the store's frames, or 84x84 in colour."""
    height, width, channels = footage.frames.shape[1:]
    square = FrameFormat(height, channels) if height == width else FrameFormat()
    return square._replace(noise=noise)


def frames_for_anyone(seen: SeenFrames, noise: str = "none") -> np.ndarray:
    """The frames that centres from a file are to be found in: uint8 [N, S, S, C].

    N are all frames of the footage. With `noise`, bars are on those that are scored or fitted on;
    of the others nothing is asked.
    """
    frame_format = _format_of_anyone(seen.footage, noise)
    frames = np.array(seen.footage.prepared(range(len(seen.footage.frames)), frame_format))
    if noise != "none":
        for rows in (seen.fitting_rows, seen.scored_rows):
            frames[rows.start : rows.stop] = seen.frames(frame_format, rows)
    return frames
