"""Centres of keypoint runs, which are opened and checked before the first of them is computed."""

from collections.abc import Iterable
from pathlib import Path

from permakey_tf.errors import UserError
from permakey_tf.quality import controls
from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.quality.footage import Footage
from permakey_tf.runs.families import family_key, group, same_seeds


def open_runs(paths: Iterable[Path], footage: Footage) -> list:
    """The runs' `runs.keypoints.KeypointFolder`s, with all checks that need no model.

    Raises:
      UserError: no run folder, nothing trained in it, of another game, or a copy of an earlier
        run.
    """
    # Who scores files only needs none of what training needs.
    from permakey_tf.runs.keypoints import KeypointFolder

    folders = []
    for path in paths:
        folder = KeypointFolder.open(path)
        _check_fit(folder, footage)
        folder.require_best()
        folders.append(folder)
    # A copy is no second seed: it would agree with the first perfectly.
    if same := same_seeds(group(folders)):
        raise UserError(f"{same}: leave one out")
    return folders


def _check_fit(folder, footage: Footage) -> None:
    if footage.game not in folder.frames.games:
        raise UserError(
            f"{folder.path} was trained on {folder.frames.game}, {footage.path} has frames of "
            f"{footage.game}: choose other runs or data (or say which game)",
            ["runs", "data", "game"],
        )
    if folder.frames.keep_aspect:
        raise UserError(
            f"{folder.path} was trained on padded frames (keep_aspect), and boxes are scored on "
            "squeezed ones: train another run without it",
            ["keep_aspect"],
        )
    if footage.frames.shape[3] < folder.frames.channels:
        raise UserError(f"{folder.path} needs colour, {footage.path} has grey frames")
    side = min(footage.frames.shape[1:3])
    if side < folder.frames.image_size:
        raise UserError(
            f"{folder.path} sees {folder.frames.image_size} pixels a side, {footage.path} has "
            f"{side}: make a store with image_size={folder.frames.image_size} or more",
            ["image_size"],
        )


def from_run(folder, name: str, seen: SeenFrames) -> list[Candidate]:
    """A run's keypoints, then the peaks of its error maps where its method has such maps.

    Args:
      folder: of `open_runs`.
      name: what the run is called.
    """
    from permakey_tf.detector import KeypointDetector  # loads TensorFlow, which takes seconds

    detector, frame_format = KeypointDetector.load(folder.path), folder.format
    scored, fitting = (
        seen.frames(frame_format, rows) for rows in (seen.scored_rows, seen.fitting_rows)
    )
    found, found_in_fitting = detector.keypoints(scored), detector.keypoints(fitting)
    run = Candidate(
        name=name,
        variant="",
        kind="run",
        family=family_key(folder.settings),
        format=frame_format,
        bars=seen.bars(frame_format, seen.scored_rows),
        scored_centers=found.centers_yx,
        fitting_centers=found_in_fitting.centers_yx,
        about=_describe(folder),
        scored_confidence=found.confidence,
        fitting_confidence=found_in_fitting.confidence,
    )
    if not detector.error_map_layers:
        return [run]
    radius = seen.config.peak_radius
    peaks = run._replace(
        kind="control",
        variant="peaks of the error maps",
        about={"run": str(folder.path)},
    ).with_keypoints(
        *(controls.error_map_peaks(detector, frames, radius) for frames in (scored, fitting))
    )
    return [run, peaks]


def _describe(folder) -> dict:
    from permakey_tf.runs.progress import read_progress

    progress = read_progress(folder)
    return {
        "run": str(folder.path),
        "step": progress and progress.step,
        "best_step": progress and progress.best_step,
        "finished": progress and progress.finished,
        "settings": folder.config.to_dict(),
        "frames": vars(folder.frames),
    }
