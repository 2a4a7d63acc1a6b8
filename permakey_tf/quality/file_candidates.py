"""Centres of anyone's model, from a file."""

from pathlib import Path

from permakey_tf.data.preparation import FrameFormat
from permakey_tf.errors import UserError
from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.quality.footage import Footage
from permakey_tf.quality.scoring import check_centers
from permakey_tf.system.npz import NpzFile


def from_file(path: Path, name: str, seen: SeenFrames) -> Candidate:
    """Centres of anyone's model: `centers` float [N, K, 2] in an .npz file.

    N are all frames of the footage, or the scored ones (without the probe then).

    Raises:
      UserError: the file holds no such array.
    """
    with NpzFile(path) as npz:
        centers = npz.read("centers")
    scored_rows, fitting_rows = seen.scored_rows, seen.fitting_rows
    everything, scored = len(seen.footage.frames), len(scored_rows)
    if len(centers) not in (everything, scored):
        raise UserError(
            f"{path}: 'centers' has {len(centers)} frames; {seen.footage.path} has "
            f"{everything}, of which {scored} are scored (rows {scored_rows.start} to "
            f"{scored_rows.stop - 1}): give centres for all of them or for the scored ones"
        )
    try:
        centers = check_centers(centers, len(centers))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    of_scored, of_fitting = centers, None
    if len(centers) == everything:
        parts = (centers[rows.start : rows.stop] for rows in (scored_rows, fitting_rows))
        of_scored, of_fitting = parts
    frame_format = _format_of_anyone(seen.footage)
    return Candidate(
        name=name,
        variant="",
        kind="keypoints",
        family="",
        format=frame_format,
        bars=seen.bars(frame_format, scored_rows),
        scored_centers=of_scored,
        fitting_centers=of_fitting,
        about={"file": str(path)},
    )


def _format_of_anyone(footage: Footage) -> FrameFormat:
    """For the baselines beside centres from a file: the store's frames, or 84x84 in colour."""
    height, width, channels = footage.frames.shape[1:]
    return FrameFormat(height, channels) if height == width else FrameFormat()
