"""Frames with ground truth, from a frame store or a rollout file, and which of them are scored."""

from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.frames import canonical_game
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.data.recordings import scan_rollout
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError, expect
from permakey_tf.objects.boxes import ROLLOUT_NAMES, Objects
from permakey_tf.objects.categories import GAMES
from permakey_tf.objects.visibility import FRAME_SHAPE, VisibilityTest
from permakey_tf.system.files import user_path
from permakey_tf.system.npz import NpzFile


class Footage(NamedTuple):
    """Frames with boxes.

    path: where they are from.
    game: canonical name.
    frames: uint8 [N, H, W, C], all of them.
    episodes: int [N], number of the episode of every frame.
    objects: the boxes of all frames.
    fitting_rows: that serve what has to be fitted: constants and the probe.
    scored_rows: that are scored.
    content_hash: SHA-256 of a frame store; "" for a rollout file.
    notes: what a reader must know.
    """

    path: Path
    game: str
    frames: np.ndarray
    episodes: np.ndarray
    objects: Objects
    fitting_rows: range
    scored_rows: range
    content_hash: str
    notes: tuple[str, ...] = ()

    def boxes(self, rows: range) -> Objects:
        """The boxes of some rows, whose first is frame 0 in the result.

        Raises:
          UserError: `rows` is no range of consecutive frames, or goes beyond the last.
        """
        expect(range, rows, "rows", "range(first, last + 1), such as scored_rows")
        last = len(self.frames)
        if not 0 <= rows.start <= rows.stop <= last or rows.step != 1:
            raise UserError(f"rows={rows}: consecutive rows of 0 to {last - 1} are needed")
        return self.objects.of_frames(rows)

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
    expect((str, PathLike), path, "path", "of a frame store, store.path")
    path = user_path(path)
    if path.is_dir():
        return _open_store(path, game, visible_only)
    if path.suffix == ".npz":
        return _open_rollout(path, game, visible_only)
    raise UserError(f"data={path}: no frame store (folder) and no rollout file (.npz)", ["data"])


def _open_store(path: Path, game: str | None, visible_only: bool) -> Footage:
    store = FrameStore.open(path)
    held = store.game
    if game and canonical_game(game) != held:
        raise UserError(f"game={game}: {path} holds frames of {held}", ["game"])
    objects = store.objects()
    make = f"python -m run.data --game={held} --objects --seed=1000 --out=OTHER_FOLDER"
    if objects is None:
        way = f"make a store that has: {make}"
        if held not in GAMES:
            way = "evaluate_keypoints(centers, Objects(...), episodes) takes boxes of your own"
        raise UserError(f"{path} has no ground-truth boxes; {way}")
    if visible_only and objects.visible is None:
        raise UserError(
            f"{path} does not say which objects are drawn; make it anew with {make}, or count all "
            "with visible_only=false",
            ["visible_only"],
        )
    if not visible_only:
        objects = objects.replace(visible=None)
    return Footage(
        path=path,
        game=held,
        frames=store.frames,
        episodes=store.episodes,
        objects=objects,
        fitting_rows=store.split_range("train"),
        scored_rows=store.split_range("test"),
        content_hash=store.content_hash,
    )


def _open_rollout(path: Path, game: str | None, visible_only: bool) -> Footage:
    with NpzFile(path) as file:
        rollout, info = scan_rollout(file, frozenset()), file.info("frames")
        if len(info.shape) != 4 or info.shape[3] != 3 or rollout.length < 2:
            raise UserError(
                f"{path}: 'frames' must be uint8 [N, H, W, 3] with N >= 2, not {info.dtype} "
                f"{list(info.shape)}"
            )
        objects = Objects.read(file, rollout.length, ROLLOUT_NAMES)
        frames = file.read("frames")
    notes: tuple[str, ...] = ()
    if not rollout.marked:
        notes = (f"{path} has no 'episode_start': all its frames count as one episode",)
    name = canonical_game(game or path.stem)
    if game and name not in GAMES:
        raise UserError(f"game={game}: ground truth is known for {', '.join(GAMES)}", ["game"])
    if visible_only:
        if frames.shape[1:3] != FRAME_SHAPE:
            raise UserError(
                f"{path}: which objects are drawn can only be told from frames of 210x160 pixels, "
                f"not {frames.shape[1]}x{frames.shape[2]}; count all with visible_only=false",
                ["visible_only"],
            )
        objects = objects.replace(visible=VisibilityTest(name)(frames, objects))
    half = rollout.length // 2
    return Footage(
        path=path,
        game=name,
        frames=frames,
        episodes=rollout.episodes,
        objects=objects,
        fitting_rows=range(half),
        scored_rows=range(half, rollout.length),
        content_hash="",
        notes=notes,
    )
