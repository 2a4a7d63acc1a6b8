"""Frames with ground truth, from a frame store or a rollout file, and which of them are scored."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.categories import GAMES
from permakey_tf.objects.visibility import FRAME_SHAPE, VisibilityTest
from permakey_tf.quality.scoring import select_frames
from permakey_tf.system.npz import NpzFile

_ROLLOUT = {"box_frame": "iu", "box_cat": "iu", "box_xywh": "iu", "categories": "U"}


class Footage(NamedTuple):
    """Frames with boxes.

    path: where they are from.
    game: canonical name.
    frames: uint8 [N, H, W, C], all of them.
    episodes: int [N], number of the episode of every frame.
    objects: the boxes of all frames.
    fit: rows that serve what has to be fitted: constants and the probe.
    score: rows that are scored.
    content_hash: SHA-256 of a frame store; "" for a rollout file.
    notes: what a reader must know.
    """

    path: Path
    game: str
    frames: np.ndarray
    episodes: np.ndarray
    objects: Objects
    fit: range
    score: range
    content_hash: str
    notes: tuple[str, ...] = ()

    def boxes(self, rows: range) -> Objects:
        """The boxes of some rows, whose first is frame 0 in the result."""
        return select_frames(self.objects, rows)

    def prepared(self, rows: range, frame_format: FrameFormat) -> np.ndarray:
        """uint8 [len(rows), S, S, C]: the frames as a model sees them, without bars."""
        return np.asarray(frame_format.prepare(self.frames[rows.start : rows.stop]))


def open_footage(path: str | Path, game: str | None = None, visible_only: bool = True) -> Footage:
    """Opens a frame store (a folder) or a rollout file (.npz).

    Of a store the test split is scored and the training split fits; of a rollout file the second
    half is scored and the first half fits.

    Args:
      path: folder or file.
      game: the rollout file's game; by default the file's name without its suffix.
      visible_only: boxes that are not drawn in the frame do not count. A store says which are; for
        a rollout file it is decided here, from its frames.

    Raises:
      UserError: nothing there, no boxes, or damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _open_store(path, game, visible_only)
    if path.suffix == ".npz":
        return _open_rollout(path, game, visible_only)
    raise UserError(f"--data={path}: no frame store (folder) and no rollout file (.npz)")


def _open_store(path: Path, game: str | None, visible_only: bool) -> Footage:
    store = FrameStore.open(path)
    held = store.game
    if game and canonical_game(game) != held:
        raise UserError(f"--game={game}: {path} holds frames of {held}")
    objects = store.objects()
    make = f"python -m run.data --game={held} --objects --seed=1000 --out=OTHER_FOLDER"
    if objects is None:
        raise UserError(f"{path} has no ground-truth boxes; make a store that has: {make}")
    if visible_only and objects.visible is None:
        raise UserError(
            f"{path} does not say which objects are drawn; make it anew with {make}, or count all "
            "with --novisible_only"
        )
    if not visible_only:
        objects = objects._replace(visible=None)
    fit, score = store.split_range("train"), store.split_range("test")
    return Footage(
        path, held, store.frames, store.episodes, objects, fit, score, store.content_hash
    )


def _open_rollout(path: Path, game: str | None, visible_only: bool) -> Footage:
    with NpzFile(path) as file:
        frames = file.read("frames")
        boxes = {name: file.read(name) for name in _ROLLOUT}
        starts = file.read("episode_start") if "episode_start" in file.arrays else None
    length = len(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or length < 2:
        raise UserError(
            f"{path}: 'frames' must be uint8 [N, H, W, 3] with N >= 2, not {frames.dtype} "
            f"{list(frames.shape)}"
        )
    notes = ()
    if starts is None:
        starts = np.zeros(length, bool)
        notes = (f"{path} has no 'episode_start': all its frames count as one episode",)
    if starts.dtype != bool or starts.shape != (length,):
        raise UserError(f"{path}: 'episode_start' must be bool [{length}]")
    episodes = np.cumsum(starts | (np.arange(length) == 0)) - 1
    objects = _rollout_boxes(path, boxes, length)
    name = canonical_game(game or path.stem)
    if game and name not in GAMES:
        raise UserError(f"--game={game}: ground truth is known for {', '.join(GAMES)}")
    if visible_only:
        if frames.shape[1:3] != FRAME_SHAPE:
            raise UserError(
                f"{path}: which objects are drawn can only be told from frames of 210x160 pixels, "
                f"not {frames.shape[1]}x{frames.shape[2]}; count all with --novisible_only"
            )
        objects = objects._replace(visible=VisibilityTest(name)(frames, objects))
    half = length // 2
    fit, score = range(half), range(half, length)
    return Footage(path, name, frames, episodes, objects, fit, score, "", notes)


def _rollout_boxes(path: Path, boxes: dict[str, np.ndarray], length: int) -> Objects:
    count = len(boxes["box_frame"])
    shapes = {"box_frame": (count,), "box_cat": (count,), "box_xywh": (count, 4)}
    for name, kinds in _ROLLOUT.items():
        array = boxes[name]
        if array.dtype.kind not in kinds or array.shape != shapes.get(name, array.shape[:1]):
            raise UserError(
                f"{path}: array {name!r} has type {array.dtype} and shape {list(array.shape)}, "
                "which is not that of boxes (docs/quality.md)"
            )
    frame, category, names = boxes["box_frame"], boxes["box_cat"], boxes["categories"]
    in_range = not count or (
        frame.min() >= 0
        and frame.max() < length
        and (np.diff(frame.astype(np.int64)) >= 0).all()
        and category.min() >= 0
        and category.max() < min(len(names), 256)
        and np.abs(boxes["box_xywh"]).max() < 2**15
    )
    if not in_range:
        raise UserError(
            f"{path}: box_frame is not ascending, or it, box_cat or box_xywh is out of range"
        )
    return Objects(
        frame.astype(np.int32),
        category.astype(np.uint8),
        boxes["box_xywh"].astype(np.int16),
        tuple(map(str, names)),
    )
