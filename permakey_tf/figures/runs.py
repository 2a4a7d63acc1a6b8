"""What the papers' figures show: trained runs, held-out frames of their games, and which runs may
stand side by side."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from permakey_tf.configs.keypoints import METHODS
from permakey_tf.data.store import FrameStore
from permakey_tf.errors import UserError
from permakey_tf.runs.families import effective, game_name, show
from permakey_tf.runs.keypoints import KeypointFolder

_PAIRS_SEED = 0


class FrameChoice(NamedTuple):
    """Which frames of the test split are shown.

    positions: in the split, counted from 0; None spreads them evenly.
    seed: draws them at random where it is given and `positions` are not; also draws the bars.
    columns: frames of one game; None leaves it to the figure.
    episode: for an animation, which of the test split's episodes, counted from 0.
    fps: of an animation, frames a second.
    """

    positions: tuple[int, ...] | None = None
    seed: int | None = None
    columns: int | None = None
    episode: int = 0
    fps: float = 15.0

    def pick(self, store: FrameStore, number: int) -> np.ndarray:
        """int [N], positions in the test split of `store`; N is `number` where none are given.

        Evenly means the middles of `number` equal parts. Raises UserError where the split has no
        such frames.
        """
        available = len(store.split_range("test"))
        if self.positions is not None:
            for position in self.positions:
                if not 0 <= position < available:
                    raise UserError(
                        f"frames={position}: the test split of {store.path} has frames 0 to "
                        f"{available - 1}",
                        ["frames"],
                    )
            return np.array(self.positions)
        if number > available:
            raise UserError(
                f"{number} frames are asked for, the test split of {store.path} has {available}: "
                "lower columns",
                ["columns"],
            )
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
            return np.sort(rng.choice(available, number, replace=False))
        return ((np.arange(number) + 0.5) * available / number).astype(int)


class ShownRun:
    """A trained run and the frames of its game.

    Args:
      folder: the run.
      store: frames of its game; None for figures without frames.

    Attributes:
      path: its folder.
      game: that is shown, one spelling per game, see `configs.frames.canonical_game`. Of a run of
        several games: the store's; without a store, all.
      settings: see `KeypointFolder.settings`.
    """

    def __init__(self, folder: KeypointFolder, store: FrameStore | None):
        self.folder, self.path, self._store = folder, folder.path, store
        self.config = folder.config
        self.game = store.game if store else folder.frames.game
        self.method = folder.config.method
        self.settings = folder.settings

    def __str__(self):
        return str(self.folder.path)

    @property
    def method_title(self) -> str:
        """The method in the papers' spelling."""
        return METHODS[self.method].title

    @property
    def title(self) -> str:
        """Game and method in the papers' spelling."""
        return f"{game_name(self.game)}, {self.method_title}"

    @property
    def store(self) -> FrameStore:
        """The frames. Raises UserError where no store of the game was given."""
        if self._store is None:
            raise UserError(
                f"{self} was trained on {self.game}, of which data names no frame store: add one "
                f"(python -m run.data --game={self.game} makes data/{self.game})",
                ["data"],
            )
        return self._store

    @property
    def seen_other_frames(self) -> bool:
        """Whether the run was trained on another store than its frames are taken from."""
        return bool(self._store) and not self.folder.frames.include(self._store.content_hash)

    @functools.cached_property
    def model(self):
        """The model with its best weights. Raises UserError where there are none."""
        return self.folder.load_model()

    @functools.cached_property
    def detector(self):
        """The KeypointDetector of the model."""
        from permakey_tf.detector import KeypointDetector

        return KeypointDetector(self.model, self.folder.frames.keep_aspect)

    def frames(self, rows: np.ndarray, choice: FrameChoice) -> np.ndarray:
        """Frames of any rows of the store, with bars where the run was trained with noise.

        A frame's bars depend on its row and the choice's seed alone: every run sees the same.

        Returns:
          uint8 [*rows.shape, S, S, C].
        """
        noisy = [
            self.folder.format.with_bars(
                self.store.frames[row], np.random.default_rng([choice.seed or 0, row])
            )
            for row in np.ravel(rows)
        ]
        return np.stack(noisy).reshape(*np.shape(rows), *self.store.frames.shape[1:])

    def test_frames(self, positions: np.ndarray, choice: FrameChoice) -> np.ndarray:
        """`frames` of the test split: uint8 [N, S, S, C]."""
        return self.frames(self.store.split_range("test").start + positions, choice)

    def test_pairs(self, number: int, choice: FrameChoice) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of the test split, the same for every run with this width of window.

        Returns:
          int [N, 2], positions in the split, and uint8 [N, 2, S, S, C].
        """
        from permakey_tf.data.pipeline import FramePairs

        # The run's own seed would show every run other pairs: they could not be compared.
        training = dataclasses.replace(self.config.training, seed=_PAIRS_SEED)
        config = dataclasses.replace(self.config, training=training)
        rows = FramePairs(self.store, config).held_out("test")
        rows = rows[choice.pick(self.store, number)]
        return rows - self.store.split_range("test").start, self.frames(rows, choice)

    def test_episode(self, number: int) -> np.ndarray:
        """int [T], rows of an episode of the test split. Raises UserError where there is none."""
        rows = self.store.split_range("test")
        episodes = self.store.episodes[rows.start : rows.stop]
        count = episodes[-1] - episodes[0] + 1
        if number >= count:
            raise UserError(
                f"episode={number}: the test split of {self.store.path} has episodes 0 to "
                f"{count - 1}",
                ["episode"],
            )
        return rows.start + np.flatnonzero(episodes == episodes[0] + number)


def open_shown_runs(run_folders: list[str], store_folders: list[str]) -> list[ShownRun]:
    """Opens runs and finds each the frame store of its game.

    Raises:
      UserError: no run folder, no frame store, two of one game, or one of another frame size.
    """
    stores = {}
    for path in store_folders:
        store = FrameStore.open(path)
        game = store.game
        if game in stores:
            raise UserError(
                f"data: {stores[game].path} and {path} both hold {game}: name one", ["data"]
            )
        stores[game] = store
    shown = []
    for path in run_folders:
        if any(run.folder.path.resolve() == Path(path).resolve() for run in shown):
            raise UserError(f"runs names {Path(path)} twice", ["runs"])
        folder = KeypointFolder.open(path)
        store = _store_of(folder, stores)
        if store:
            _check_fits(folder, store)
        shown.append(ShownRun(folder, store))
    return shown


def _store_of(folder: KeypointFolder, stores: dict[str, FrameStore]) -> FrameStore | None:
    fitting = [stores[game] for game in folder.frames.games if game in stores]
    if len(fitting) > 1:
        raise UserError(
            f"{folder.path} was trained on several games, and data names frames of more than one "
            f"of them ({', '.join(str(store.path) for store in fitting)}): name one",
            ["data"],
        )
    return fitting[0] if fitting else None


def _check_fits(folder, store):
    if folder.frames.keep_aspect != store.keep_aspect:
        raise UserError(
            f"{folder.path} was trained on frames with keep_aspect={folder.frames.keep_aspect}, "
            f"those of {store.path} have {store.keep_aspect}: name the store it was trained on"
        )
    wanted = (folder.frames.image_size, folder.frames.channels)
    if wanted != (store.image_size, store.channels):
        size, channels = wanted
        found = f"{store.image_size}x{store.image_size}x{store.channels}"
        raise UserError(
            f"{folder.path} was trained on frames of {size}x{size}x{channels}, those of "
            f"{store.path} are {found}: name the store it was trained on, or make one with "
            f"image_size={size}, channels={channels}",
            ["image_size", "channels"],
        )


# ------------------------------------------------------------------------------- what may differ


def require_alike(runs: list[ShownRun], but: tuple[str, ...] = (), only: tuple[str, ...] = ()):
    """Raises UserError naming the settings that differ among the runs.

    Args:
      runs: to compare.
      but: settings that may differ.
      only: compares these settings alone; () compares all.
    """
    first = runs[0]
    for other in runs[1:]:
        matter = effective(first.settings) | effective(other.settings)
        different = [
            f"{name} is {show(first.settings[name])} and {show(other.settings[name])}"
            for name in matter
            if first.settings[name] != other.settings[name]
            and name not in but
            and (not only or name in only)
        ]
        if different:
            more = f", and {len(different) - 3} more" if len(different) > 3 else ""
            raise UserError(
                f"{first} and {other} cannot be compared: {', '.join(different[:3])}{more}"
            )


def require_distinct(runs: list[ShownRun], *names: str) -> None:
    """Raises UserError unless there are two runs or more and each has values of its own for the
    settings `names` together."""
    what = " or ".join(names)
    if len(runs) < 2:
        raise UserError(f"{runs[0]} alone is not enough: give runs that differ in {what}")
    seen = {}
    for run in runs:
        values = tuple(run.settings[name] for name in names)
        if values in seen:
            shown = ", ".join(f"{n}={show(v)}" for n, v in zip(names, values, strict=True))
            raise UserError(
                f"{seen[values]} and {run} both have {shown}: give runs that differ in {what}"
            )
        seen[values] = run


def require_method(runs: list[ShownRun], method: str) -> None:
    """Raises UserError naming a run of another method."""
    for run in runs:
        if run.method != method:
            raise UserError(f"{run} is a {run.method} run; this figure shows {method} runs")
