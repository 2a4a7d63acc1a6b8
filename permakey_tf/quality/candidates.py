"""Centres to be scored on a footage: of runs, of anyone's model, of controls and baselines."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from permakey_tf.configs.quality import QualityConfig
from permakey_tf.data.noise import Bars, bar_positions, draw_bars_at
from permakey_tf.data.preparation import FrameFormat
from permakey_tf.errors import UserError
from permakey_tf.quality import baselines
from permakey_tf.quality.footage import Footage
from permakey_tf.quality.scoring import check_centers, groups_of
from permakey_tf.runs.families import family_key
from permakey_tf.system.npz import NpzFile
from permakey_tf.system.seeds import Stream, stream

# Names of the baselines, in the order of the tables.
BASELINES = ("random", "grid", "best constants", "frame difference")
_CHUNK = 256  # frames whose maps are in memory together
_COLOURS = {1: "grey", 3: "colour"}  # by number of channels


class Candidate(NamedTuple):
    """Centres, and whose they are.

    name: of the run, file or baseline.
    variant: "" for the centres themselves, otherwise which control they are.
    kind: "run", "keypoints" (a file), "control" or "baseline".
    family: the same for runs of equal settings on equal frames, which differ in their training
      seed; "" for all that is no run's.
    spec: how their maker saw the frames.
    score: float [N, K, 2], centres in the scored frames.
    fit: float [F, K, 2], centres in the probe's frames; None where there are none.
    about: JSON-compatible description.
    """

    name: str
    variant: str
    kind: str
    family: str
    spec: FrameFormat
    score: np.ndarray
    fit: np.ndarray | None
    about: dict[str, Any]

    @property
    def num_keypoints(self) -> int:
        """K."""
        return self.score.shape[1]


class CandidateMaker:
    """Makes candidates for one footage.

    Attributes:
      score: rows that are scored.
      fit: rows that the probe is fitted on.
    """

    def __init__(self, footage: Footage, config: QualityConfig):
        self._footage, self._config = footage, config
        self.score, self.fit = footage.score, footage.fit[: config.probe_frames]
        self._prepared: dict[tuple, np.ndarray] = {}
        self._trained: dict[tuple[str, int], Path] = {}  # by settings and seed

    def from_file(self, path: Path, name: str) -> Candidate:
        """Centres of anyone's model: `centers` float [N, K, 2] in an .npz file.

        N are all frames of the footage, or the scored ones (without the probe then).

        Raises:
          UserError: the file holds no such array.
        """
        with NpzFile(path) as npz:
            centers = npz.read("centers")
        everything, scored = len(self._footage.frames), len(self.score)
        if len(centers) not in (everything, scored):
            raise UserError(
                f"{path}: 'centers' has {len(centers)} frames; {self._footage.path} has "
                f"{everything}, of which {scored} are scored (rows {self.score.start} to "
                f"{self.score.stop - 1}): give centres for all of them or for the scored ones"
            )
        try:
            centers = check_centers(centers, len(centers))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        score, fit = centers, None
        if len(centers) == everything:
            score, fit = (centers[rows.start : rows.stop] for rows in (self.score, self.fit))
        spec = self._spec_of_anyone()
        return Candidate(name, "", "keypoints", "", spec, score, fit, {"file": str(path)})

    def _spec_of_anyone(self) -> FrameFormat:
        """For the baselines beside centres from a file: the store's frames, or 84x84 in colour."""
        height, width, channels = self._footage.frames.shape[1:]
        return FrameFormat(height, channels) if height == width else FrameFormat()

    def open_run(self, path: Path):
        """A run's `training.runs.RunFolder`, with all checks that need no model.

        Raises:
          UserError: no run folder, nothing trained in it, of another game, or a copy of an
            earlier run.
        """
        # Who scores files only needs none of what training needs.
        from permakey_tf.runs.keypoints import RunFolder

        folder = RunFolder.open(path)
        self._check_game(folder)
        folder.require_best()
        seed = folder.config.training.seed
        # A copy is no second seed: it would agree with the first perfectly.
        if (first := self._trained.setdefault((family_key(folder.settings), seed), path)) != path:
            raise UserError(f"{first} and {path} are the same training (seed {seed})")
        return folder

    def from_run(self, folder, name: str) -> list[Candidate]:
        """A run's centres, then the peaks of its error maps where its method has such maps.

        Args:
          folder: of `open_run`.
          name: what the run is called.
        """
        from permakey_tf.detector import KeypointDetector  # loads TensorFlow, which takes seconds
        from permakey_tf.runs.progress import read_progress

        path, config, spec = folder.path, folder.config, folder.format
        progress = read_progress(folder)
        detector = KeypointDetector.load(path)
        score, fit = self._frames(spec, self.score), self._frames(spec, self.fit)
        shared = {"name": name, "family": family_key(folder.settings), "spec": spec}
        run = Candidate(
            **shared,
            kind="run",
            variant="",
            score=detector.detect(score),
            fit=detector.detect(fit),
            about={
                "run": str(path),
                "step": progress and progress.step,
                "best_step": progress and progress.best_step,
                "finished": progress and progress.finished,
                "settings": config.to_dict(),
                "frames": vars(folder.frames),
            },
        )
        if not detector.error_map_layers:
            return [run]
        peaks = Candidate(
            **shared,
            kind="control",
            variant="peaks of the error maps",
            score=self._map_peaks(detector, score),
            fit=self._map_peaks(detector, fit),
            about={"run": str(path)},
        )
        return [run, peaks]

    def _check_game(self, folder) -> None:
        footage = self._footage
        if folder.frames.game != footage.game:
            raise UserError(
                f"{folder.path} was trained on {folder.frames.game}, {footage.path} has frames of "
                f"{footage.game}: choose other --runs or --data (or say --game)"
            )
        if folder.frames.keep_aspect:
            raise UserError(
                f"{folder.path} was trained on padded frames (--keep_aspect), and boxes are scored "
                "on squeezed ones: train another run without it"
            )
        if footage.frames.shape[3] < folder.frames.channels:
            raise UserError(f"{folder.path} needs colour, {footage.path} has grey frames")
        side = min(footage.frames.shape[1:3])
        if side < folder.frames.image_size:
            raise UserError(
                f"{folder.path} sees {folder.frames.image_size} pixels a side, {footage.path} has "
                f"{side}: make a store with --image_size={folder.frames.image_size} or more"
            )

    def _map_peaks(self, detector, frames: np.ndarray) -> np.ndarray:
        """Peaks of the mean over a run's error maps, each of which is scaled to [0, 1]."""

        def maps(start):
            return detector.error_maps(frames[start : start + _CHUNK]).mean(-1)

        return self._peaks(maps, len(frames), detector.num_keypoints)

    def _peaks(self, maps, length: int, number: int) -> np.ndarray:
        """float [length, number, 2]; maps: from a first row to the maps of a chunk of rows."""
        radius = self._config.peak_radius
        points = [
            baselines.strongest_peaks(maps(start), number, radius)
            for start in range(0, length, _CHUNK)
        ]
        return np.concatenate([np.zeros((0, number, 2)), *points])

    def shuffled(self, candidate: Candidate) -> Candidate:
        """The control: the candidate's own centres, each in the place of another frame's."""
        return candidate._replace(
            kind="control",
            variant="shuffled",
            score=self._rng(Stream.SHUFFLED_FRAMES).permutation(candidate.score),
            about={},
        )

    def baselines(self, candidates: list[Candidate]) -> Iterator[Candidate]:
        """One of each kind for every number of keypoints and spec of the candidates."""
        wanted = list(dict.fromkeys((c.num_keypoints, c.spec) for c in candidates))
        described = [
            (f"K={number}", f"{s.size} pixels", _COLOURS[s.channels], f"noise {s.noise}")
            for number, s in wanted
        ]
        differ = [len(set(column)) > 1 for column in zip(*described, strict=True)]
        for (number, spec), words in zip(wanted, described, strict=True):
            notes = ", ".join(itertools.compress(words, differ))
            suffix = f" ({notes})" if notes else ""
            for name, score, fit in self._points(number, spec):
                yield Candidate(name + suffix, "", "baseline", "", spec, score, fit, {})

    def _points(self, number: int, spec: FrameFormat):
        """Yields (name, centres in the scored frames, centres in the probe's frames)."""
        lengths = len(self.score), len(self.fit)
        rng = self._rng(Stream.RANDOM_POINTS)
        fixed = baselines.grid_points(number), self._constants(number)
        points = [
            [baselines.random_points(n, number, rng) for n in lengths],
            *([np.broadcast_to(same, (n, number, 2)) for n in lengths] for same in fixed),
            [self._difference_peaks(number, spec, rows) for rows in (self.score, self.fit)],
        ]
        for name, (score, fit) in zip(BASELINES, points, strict=True):
            yield name, score, fit

    def _constants(self, number: int) -> np.ndarray:
        """The best constant points for the first set that has boxes, on all frames that fit."""
        boxes = self._footage.boxes(self._footage.fit).drawn()
        groups = groups_of(boxes, self._footage.game).values()
        first_set = next((group for group in groups if group.any()), slice(0))
        chosen = boxes.where(first_set)
        return baselines.best_constants(number, chosen, self._config.epsilon)

    def _difference_peaks(self, number: int, spec: FrameFormat, rows: range) -> np.ndarray:
        episodes = self._footage.episodes[rows.start : rows.stop]
        differences = baselines.frame_differences(self._frames(spec, rows), episodes)
        return self._peaks(lambda start: differences[start : start + _CHUNK], len(rows), number)

    # ----------------------------------------------------------------------------------- frames

    def _frames(self, spec: FrameFormat, rows: range) -> np.ndarray:
        """uint8 [len(rows), S, S, C], with bars where the spec has noise."""
        key = (rows, spec.shape)
        if key not in self._prepared:
            self._prepared[key] = self._footage.prepared(rows, spec)
        return draw_bars_at(self._prepared[key], self.bars(spec, rows))

    def bars(self, spec: FrameFormat, rows: range) -> Bars:
        """The same for all runs that see the frames like this, so that seeds can be compared."""
        rng = self._rng(Stream.SCORED_BARS if rows == self.score else Stream.FITTED_BARS)
        return bar_positions(len(rows), spec.size, spec.size, spec.noise, rng)

    def _rng(self, purpose: Stream) -> np.random.Generator:
        return stream(self._config.quality_seed, purpose)
