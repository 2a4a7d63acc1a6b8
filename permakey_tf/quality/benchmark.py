"""The benchmark: runs and anyone's keypoints scored on one footage, beside controls and baselines.

Rows, in this order:
  run, keypoints  a run, or a file of centres
  control         a run's own centres in shuffled order (what is left is not tracking); the peaks of
                  its error maps, without PointNet
  baseline        points that no model made: random, a grid, best constants, frame differences
Behind each of them, but for controls that shuffle and baselines whose order never changes, stands a
row with the same keypoints in the order that a tracker gives them ("tracked").
Wherever runs differ in their training seed only, a row of kind "seeds" follows theirs: their mean,
with ranges.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from permakey_tf.configs.keypoints import NOISES
from permakey_tf.configs.quality import QualityConfig
from permakey_tf.errors import UserError
from permakey_tf.objects.categories import GAMES, reliability_warning
from permakey_tf.quality import baseline_candidates, controls, measures, seeds
from permakey_tf.quality.candidates import Candidate, SeenFrames
from permakey_tf.quality.file_candidates import from_file
from permakey_tf.quality.footage import Footage
from permakey_tf.quality.run_candidates import from_run, open_runs
from permakey_tf.quality.scoring import GroundTruth, Measures, Probing
from permakey_tf.quality.tracked import TRACKED, tracked
from permakey_tf.runs.keypoints import FrameSpec
from permakey_tf.system.seeds import Stream, stream


class Row(NamedTuple):
    """One line of the tables.

    name, variant, kind, family: as in `Candidate`; kind can also be "seeds".
    num_keypoints: K.
    measures: as `evaluate_keypoints` gives them; also "bars" (`share`, `chance`) where the frames
      were noisy, and "stability" of several seeds.
    range: like `measures`, with (lowest, highest) of the seeds' values; None but for kind "seeds".
    about: JSON-compatible description.
    """

    name: str
    variant: str
    kind: str
    family: str
    num_keypoints: int
    measures: Measures
    range: dict | None
    about: dict[str, Any]

    @property
    def label(self) -> str:
        """What a table calls it."""
        return f"{self.name}, {self.variant}" if self.variant else self.name

    @property
    def tracked(self) -> bool:
        """Whether its keypoints have the order of a tracker."""
        return self.variant.endswith(TRACKED)

    @property
    def untracked_variant(self) -> str:
        """Of the row with the same keypoints in the detector's order."""
        return self.variant.removesuffix(TRACKED).removesuffix(", ")


class Result(NamedTuple):
    """What `run_benchmark` found.

    data: what was scored: path, game, counts of frames and boxes.
    config: with which settings.
    sets: names of the groups that are sets; groups: names of all that have a box.
    rows: in the order of the tables.
    notes: what a reader must know.
    """

    data: dict[str, Any]
    config: QualityConfig
    sets: tuple[str, ...]
    groups: tuple[str, ...]
    rows: list[Row]
    notes: list[str]


def run_benchmark(
    footage: Footage,
    runs: Iterable[str | Path] = (),
    keypoint_files: Iterable[str | Path] = (),
    config: QualityConfig | None = None,
    progress: bool = False,
    baselines: bool = True,
    keypoints_noise: str = "none",
) -> Result:
    """Scores runs and files of centres on the footage, with controls and baselines.

    Args:
      footage: frames and boxes.
      runs: run folders.
      keypoint_files: .npz files with `centers`, see `file_candidates.from_file`.
      progress: show a progress bar on stderr.
      baselines: score them as well.
      keypoints_noise: bars on the frames that files of centres were made from, see
        `file_candidates.frames_for_anyone`.

    Raises:
      UserError: a run or file that does not fit the footage, one given twice, or none at all; no
        object is drawn in the scored frames; another noise than there is.
    """
    config = config or QualityConfig()
    if keypoints_noise not in NOISES:
        raise UserError(
            f"keypoints_noise={keypoints_noise}: choose one of {', '.join(NOISES)}",
            ["keypoints_noise"],
        )
    files, folders = ([Path(path) for path in paths] for paths in (keypoint_files, runs))
    names = _names(files + folders)
    seen, judge = SeenFrames(footage, config), _Judge(footage, config)
    candidates = [from_file(path, names[path], seen, keypoints_noise) for path in files]
    opened = open_runs(folders, footage)  # all mistakes before the first minute
    for folder in tqdm(opened, desc="runs", unit=" runs", disable=not progress or not opened):
        candidates += from_run(folder, names[folder.path], seen)
    models = [candidate for candidate in candidates if not candidate.variant]
    candidates = [made for c in candidates for made in (c, tracked(c, seen))]
    candidates += [controls.shuffled(model, seen) for model in models]
    rows = []
    for variant in dict.fromkeys(candidate.variant for candidate in candidates):
        part = [candidate for candidate in candidates if candidate.variant == variant]
        rows += judge.with_means([(c, judge.row(c)) for c in part])
    if baselines:
        rows += [judge.row(baseline) for baseline in baseline_candidates.beside(models, seen)]
    counts = judge.truth.num_boxes
    groups = tuple(name for name in counts if counts[name])
    sets = tuple(name for name in judge.truth.sets if name in groups)
    return Result(judge.describe(), config, sets, groups, rows, judge.notes(models))


def _names(paths: list[Path]) -> dict[Path, str]:
    """What each run or file is called: its last name, or its path where a row has that name."""
    if not paths:
        raise UserError("nothing to score: give runs or keypoints_npz", ["runs", "keypoints_npz"])
    for path, other in itertools.combinations(paths, 2):
        if path.resolve() == other.resolve():
            raise UserError(f"{other} is given twice")
    short = [path.stem if path.suffix == ".npz" else path.resolve().name for path in paths]
    taken = [*short, *baseline_candidates.BASELINES]
    return {p: s if taken.count(s) == 1 else str(p) for p, s in zip(paths, short, strict=True)}


class _Judge:
    """Turns candidates into rows."""

    def __init__(self, footage: Footage, config: QualityConfig):
        fitting, scored = footage.fitting_rows, footage.scored_rows
        self._footage, self._config = footage, config
        self._episodes = footage.episodes[scored.start : scored.stop]
        self._fitting_boxes = footage.boxes(fitting[: config.probe_frames])
        self._held_out = ~np.isin(self._episodes, footage.episodes[fitting.start : fitting.stop])
        self.truth = GroundTruth(footage.boxes(scored), self._episodes, footage.game, config)
        if not any(self.truth.num_boxes.values()):
            raise UserError(f"{footage.path}: no object that counts is drawn in the scored frames")

    def row(self, candidate: Candidate) -> Row:
        probing, centers = None, candidate.scored_centers
        if candidate.fitting_centers is not None:
            of_fitting = candidate.fitting_centers, self._fitting_boxes, self._held_out
            probing = Probing(*of_fitting, candidate.fitting_confidence)
        found = self.truth.measure(centers, probing, candidate.scored_confidence)
        if candidate.format.noise != "none":
            share, chance = measures.on_bars(centers, candidate.bars, candidate.format.size)
            found["bars"] = {"share": share, "chance": chance}
        about = {"noise": candidate.format.noise} | candidate.about
        shared = (candidate.name, candidate.variant, candidate.kind, candidate.family)
        return Row(*shared, candidate.num_keypoints, found, None, about)

    def with_means(self, pairs: list[tuple[Candidate, Row]]) -> list[Row]:
        """The rows, each family's mean behind its last member."""
        rows = []
        for index, (_, row) in enumerate(pairs):
            rows.append(row)
            family = [pair for pair in pairs if row.family and pair[1].family == row.family]
            last = not any(later.family == row.family for _, later in pairs[index + 1 :])
            if last and len(family) > 1:
                # Shared with the shuffled rows: stability has always been drawn so.
                rng = stream(self._config.quality_seed, Stream.SHUFFLED_FRAMES)
                rows.append(_mean_row(family, rng))
        return rows

    def describe(self) -> dict[str, Any]:
        footage, known = self._footage, GAMES.get(self._footage.game)
        return {
            "path": str(footage.path),
            "game": footage.game,
            "content_hash": footage.content_hash,
            "reliability": known.reliability if known else "unknown",
            "visible_only": footage.objects.visible is not None,
            "first_row": footage.scored_rows.start,
            "frames": len(self._episodes),
            "episodes": len(np.unique(self._episodes)),
            "probe_held_out_frames": int(self._held_out.sum()),
            "boxes": self.truth.num_boxes,
        }

    def notes(self, models: list[Candidate]) -> list[str]:
        game, notes = self._footage.game, list(self._footage.notes)
        if game not in GAMES:
            notes.append(f"no sets of objects are known for {game!r}: all are one set")
        elif unknown := sorted(set(self._footage.objects.categories) - set(GAMES[game].categories)):
            notes.append(f"not scored, no category of {game} has the name: {', '.join(unknown)}")
        warning = reliability_warning(game)
        notes += [warning] if warning else []
        for model in models:
            if model.kind == "keypoints" and model.scored_centers.min() >= 0:
                notes.append(f"{model.name}: no centre is below 0; are they in [0, 1]?")
            if model.about.get("finished") is False:
                step = model.about["step"]
                notes.append(f"{model.name}: not trained to its end (it stands at step {step})")
            trained_on, scored = model.about.get("frames"), self._footage.content_hash
            if trained_on and scored and FrameSpec(**trained_on).include(scored):
                notes.append(
                    f"{model.name}: was trained on the training split of {self._footage.path}, on "
                    "which the probe is fitted; a store of another seed avoids that"
                )
        if not self._held_out.any():
            notes.append("no probe: every scored episode has frames that it would be fitted on")
        return notes


def _mean_row(family: list[tuple[Candidate, Row]], rng: np.random.Generator) -> Row:
    first = family[0][1]
    means, lowest_to_highest = seeds.summarise([row.measures for _, row in family])
    if not first.variant:
        centers = [candidate.scored_centers for candidate, _ in family]
        means["stability"] = seeds.stability(centers, rng)
    names = [row.name for _, row in family]
    about = {"noise": first.about["noise"], "members": names}
    return first._replace(
        name=seeds.common_name(names),
        kind="seeds",
        measures=means,
        range=lowest_to_highest,
        about=about,
    )
