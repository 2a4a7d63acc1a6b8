"""Keypoints scored against ground-truth boxes: all measures of docs/quality.md.

  from permakey_tf.quality.scoring import evaluate_keypoints

  scores = evaluate_keypoints(centers, objects, episodes, game="mspacman")
  scores["characters"]["recall"][4]      # at 4 pixels
  scores["Ghost"]["tracking_recall"][25]  # over windows of 25 frames

Needs numpy and scipy only, so that anyone's keypoints can be scored without TensorFlow.
"""

from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from permakey_tf.configs.frames import canonical_game, did_you_mean
from permakey_tf.configs.quality import QualityConfig
from permakey_tf.errors import UserError, expect
from permakey_tf.objects.boxes import Objects
from permakey_tf.objects.categories import GAMES, GameObjects
from permakey_tf.objects.tracks import link_boxes
from permakey_tf.quality import measures
from permakey_tf.system.arrays import as_array, as_episodes
from permakey_tf.types import Keypoints

# {group: {measure: value, or {distance, window, threshold ...: value}}}; NaN: not defined. Which of
# the two a measure is depends on its name, which a type cannot say.
Measures = dict[str, dict[str, Any]]

_Distances = tuple[np.ndarray, np.ndarray]  # of `measures.box_distances`

LEVELS = tuple(np.linspace(0, 1, 21).round(2).tolist())  # of confidence, and of recall
_FARTHEST = 2.0  # of a coordinate: models may point beyond the frame, but pixels are far larger


class Probing(NamedTuple):
    """What the probe and the threshold of confidence are fitted on; where the probe is scored.

    centers: float [F, K, 2]; objects: the boxes of these F frames.
    held_out: bool [N], scored frames of episodes that `centers` has no frame of.
    confidence: float [F, K], of the centres; None where they have none.
    """

    centers: np.ndarray
    objects: Objects
    held_out: np.ndarray
    confidence: np.ndarray | None = None


def evaluate_keypoints(
    centers: ArrayLike,
    objects: Objects,
    episodes: ArrayLike,
    game: str | None = None,
    probing: Probing | None = None,
    config: QualityConfig | None = None,
    confidence: ArrayLike | None = None,
) -> Measures:
    """Scores keypoints against boxes; builds the objects' tracks itself.

    Args:
      centers: float [N, K, 2], (y, x) in [-1, 1], -1 at the top row and the left column.
      objects: boxes of the N frames. Those whose `visible` is False are not counted; where it is
        None, all are.
      episodes: int [N], episode of every frame; frames of an episode follow one another.
      game: for the named sets of its objects, which leave out categories that it does not know;
        without it there is one set, "all".
      probing: for the probe and the best threshold; without it there are none.
      config: distances, windows and so on.
      confidence: float [N, K] in [0, 1]; None: the same for all keypoints, 1.

    Returns:
      {group: {measure: value}}; the groups are the sets, the categories, and the regions of the
      game. Measures over distances or windows are dicts.

    Raises:
      UserError: the arrays do not fit each other, an argument is of another type, or the game is a
        known one's name misspelled.
    """
    expect((str, NoneType), game, "game", "such as 'mspacman', or None for other games")
    expect((QualityConfig, NoneType), config, "config", "QualityConfig.make() gives one")
    near = did_you_mean(game or "", GAMES, cutoff=0.8)
    if near and canonical_game(game or "") not in GAMES:
        line = f"game={game!r} has no named sets; {near} None is for other games"
        raise UserError(line, ["game"])
    expect(
        Objects, objects, "objects", "a store has them where `python -m run.data --objects` made it"
    )
    centers, episodes = _of_same_frames(centers, episodes)
    if (objects.drawn().xywh[:, 2:] < 0).any():
        raise UserError("objects: a box that is drawn has a negative width or height")
    ground_truth = GroundTruth(objects, episodes, game, config or QualityConfig())
    return ground_truth.measure(centers, probing, confidence)


class GroundTruth:
    """Boxes prepared for scoring any number of keypoint arrays.

    Attributes:
      groups: {name: bool [M]}, which of the counted boxes are in which group; sets come first.
      sets: names of the groups that are sets of categories.
      num_boxes: {group: number of boxes that count}.
    """

    def __init__(
        self, objects: Objects, episodes: ArrayLike, game: str | None, config: QualityConfig
    ):
        """Links the tracks, over all boxes; then drops those that are not drawn.

        Raises:
          UserError: `episodes` is no such array, or does not fit the boxes.
        """
        self._config, self._game = config, game
        self._episodes = as_episodes(episodes)
        _check_names(objects.categories, game)
        objects.check_frames(len(self._episodes))
        self._epsilons = np.arange(config.max_epsilon + 1)
        tracks = link_boxes(objects, self._episodes, config.link_distance)
        drawn = np.ones(len(objects.frame), bool) if objects.visible is None else objects.visible
        number = np.where(drawn, np.cumsum(drawn) - 1, -1)  # of a box among those that are drawn
        self._track = tracks.track[drawn]
        previous = tracks.previous[drawn]
        self._previous = np.where(previous >= 0, number[previous], -1)
        self._objects = objects.where(drawn)
        self.groups = groups_of(self._objects, game)
        self.sets = tuple(set_categories(self._objects, game))
        self.num_boxes = {name: int(mask.sum()) for name, mask in self.groups.items()}
        self._windowed: dict[tuple[str, int], measures.WindowedTracks] = {}

    @property
    def num_frames(self) -> int:
        """N."""
        return len(self._episodes)

    def measure(
        self,
        centers: ArrayLike,
        probing: Probing | None = None,
        confidence: ArrayLike | None = None,
    ) -> Measures:
        """All measures of centres [N, K, 2] with confidence [N, K] (None: 1 for all).

        Raises:
          UserError: they do not fit the frames, or each other.
        """
        centers = check_centers(centers, self.num_frames)
        boxes = measures.box_distances(centers, self._objects.frame, self._objects.xywh)
        result = {}
        for name, mask in self.groups.items():
            result[name] = self._group(name, *(distances[:, mask] for distances in boxes))
        if probing is not None:
            probing = _checked_probing(probing, centers)
            if (confidence is None) != (probing.confidence is None):
                raise UserError(
                    "confidence is needed of the probe's centres and the scored, or none"
                )
            for name, of_probe in self._probe(centers, probing).items():
                result[name] |= of_probe
        by_confidence = self._by_confidence(boxes, check_confidence(confidence, centers), probing)
        return {name: result[name] | by_confidence[name] for name in result}

    def _group(self, name: str, distances: np.ndarray, to_middle: np.ndarray) -> dict:
        config, mask = self._config, self.groups[name]
        frame, epsilon = self._objects.frame[mask], config.epsilon
        nearest = measures.nearest_box(distances, frame, self.num_frames)
        to_keypoint = distances.min(0)
        recall = measures.share_within(to_keypoint, self._epsilons)
        precision = measures.share_within(nearest, self._epsilons)
        keypoint = np.full(len(mask), -1)
        keypoint[mask] = measures.keypoint_of_box(distances, to_middle, epsilon)
        # Links between two boxes that both are in the group.
        previous = np.where(mask & mask[self._previous], self._previous, -1)
        same, same_of_found = measures.consistency(keypoint, previous)
        over_windows = {
            length: measures.tracking(self._windows(name, length), distances, epsilon)
            for length in config.windows
        }
        curves = {
            "recall": recall,
            "precision": precision,
            "f1": measures.harmonic_mean(precision, recall),
        }
        epsilons = self._epsilons.tolist()
        return {
            "boxes": self.num_boxes[name],
            **{key: dict(zip(epsilons, c.tolist(), strict=True)) for key, c in curves.items()},
            "tracking_precision": {length: pair[0] for length, pair in over_windows.items()},
            "tracking_recall": {length: pair[1] for length, pair in over_windows.items()},
            "consistency": same,
            "consistency_of_found": same_of_found,
            "unassigned": measures.unassigned(nearest, epsilon),
            "redundancy": measures.redundancy(to_keypoint, nearest, frame, epsilon),
        }

    def _windows(self, name: str, length: int) -> measures.WindowedTracks:
        """The group's tracks in windows, made once for all keypoints that are scored."""
        if (name, length) not in self._windowed:
            mask = self.groups[name]
            frame, track = self._objects.frame[mask], self._track[mask]
            parts = measures.WindowedTracks(frame, track, self._episodes, length)
            self._windowed[name, length] = parts
        return self._windowed[name, length]

    def _by_confidence(
        self, boxes: _Distances, confidence: np.ndarray, probing: Probing | None
    ) -> Measures:
        """What depends on confidence, of every group; `boxes` are from `box_distances`."""
        result: Measures = {}
        hits = _hits(boxes, self._objects.frame, self.groups, confidence, self._config.epsilon)
        thresholds = None if probing is None else self._best_thresholds(probing)
        for name, hit in hits.items():
            found: tuple[np.ndarray, np.ndarray, int] = confidence, hit, self.num_boxes[name]
            precision, recall = measures.precision_and_recall_above(*found, np.array(LEVELS))
            curves = {
                "precision_at_confidence": precision,
                "recall_at_confidence": recall,
                "precision_at_recall": measures.precision_at_recall(*found, np.array(LEVELS)),
            }
            result[name] = {
                **{key: dict(zip(LEVELS, c.tolist(), strict=True)) for key, c in curves.items()},
                "average_precision": measures.average_precision(*found),
            }
            if thresholds is not None:
                result[name] |= _at_best(*found, thresholds.get(name, float("nan")))
        return result

    def _best_thresholds(self, probing: Probing) -> dict[str, float]:
        """{group: the threshold that is best on the fitting frames}, of those that occur there."""
        objects = probing.objects.drawn()
        boxes = measures.box_distances(probing.centers, objects.frame, objects.xywh)
        confidence = check_confidence(probing.confidence, probing.centers)
        groups = groups_of(objects, self._game)
        hits = _hits(boxes, objects.frame, groups, confidence, self._config.epsilon)
        return {
            name: measures.best_threshold(confidence, hit, int(groups[name].sum()))
            for name, hit in hits.items()
        }

    def _probe(self, centers: np.ndarray, probing: Probing) -> Measures:
        """The probe's measures for every category with at most one drawn object in every frame."""
        fitting_objects = probing.objects.drawn()
        result: Measures = {}
        for name in self._objects.categories:
            fitting_frame, fitting_targets = _positions(fitting_objects, name)
            frame, targets = _positions(self._objects, name)
            unique = all((np.diff(f) > 0).all() for f in (fitting_frame, frame))
            held_out = probing.held_out[frame]
            if name in self.groups and unique and len(fitting_frame) and held_out.any():
                r2, error = measures.probe(
                    probing.centers[fitting_frame],
                    fitting_targets,
                    centers[frame[held_out]],
                    targets[held_out],
                    self._config.ridge,
                )
                result[name] = {"probe_r2": r2, "probe_error": error}
        return result


# --------------------------------------------------------------------------------- boxes and groups


def _known(game: str | None) -> GameObjects | None:
    return GAMES.get(canonical_game(game)) if game else None


def set_categories(objects: Objects, game: str | None) -> dict[str, tuple[str, ...]]:
    """{set: categories} of a game; without a game, or where none is known of it, "all" alone."""
    known = _known(game)
    return known.sets if known else {"all": objects.categories}


def groups_of(objects: Objects, game: str | None) -> dict[str, np.ndarray]:
    """{group: bool [M]}: sets, then regions and categories that occur.

    Categories whose boxes cannot be trusted are in no group.
    """
    sets = set_categories(objects, game)
    of_category = {
        name: objects.category == number for number, name in enumerate(objects.categories)
    }
    none = np.zeros(len(objects.frame), bool)
    groups = {
        name: np.logical_or.reduce([none, *(of_category.get(c, none) for c in categories)])
        for name, categories in sets.items()
    }
    known = _known(game)
    order = known.measured if known else objects.categories
    for name in order:
        if of_category.get(name, none).any():
            groups[name] = of_category[name]
        for region, (category, rectangle) in (known.regions if known else {}).items():
            if category == name and name in groups:
                groups[region] = of_category[name] & _outside(objects.xywh, rectangle)
    return groups


def _outside(xywh: np.ndarray, rectangle: tuple[int, int, int, int]) -> np.ndarray:
    """bool [M]: boxes whose middle is not in the rectangle (left, top, right, bottom)."""
    x, y = xywh[:, 0] + xywh[:, 2] / 2, xywh[:, 1] + xywh[:, 3] / 2
    left, top, right, bottom = rectangle
    return ~((left <= x) & (x <= right) & (top <= y) & (y <= bottom))


def _hits(
    boxes: _Distances,
    frame: np.ndarray,
    groups: dict[str, np.ndarray],
    confidence: np.ndarray,
    epsilon: float,
) -> dict[str, np.ndarray]:
    """{group: bool [N, K]}, keypoints that find an object of the group, from `one_to_one`."""
    distances, to_middle = boxes
    return {
        name: measures.one_to_one(
            distances[:, mask], to_middle[:, mask], frame[mask], confidence, epsilon
        )
        for name, mask in groups.items()
    }


def _at_best(
    confidence: np.ndarray, hit: np.ndarray, num_objects: int, threshold: float
) -> dict[str, float]:
    """What is left above a threshold; nothing is known where there is none (NaN)."""
    precision, recall = measures.precision_and_recall_above(
        confidence, hit, num_objects, np.array([threshold])
    )
    f1 = measures.harmonic_mean(np.nan_to_num(precision), recall)
    if np.isnan(threshold):
        precision = recall = f1 = np.full(1, np.nan)
    return {
        "best_threshold": threshold,
        "best_precision": float(precision[0]),
        "best_recall": float(recall[0]),
        "best_f1": float(f1[0]),
    }


def _positions(objects: Objects, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames and middles (y, x), in pixels, of the boxes of one category."""
    if name not in objects.categories:
        return np.zeros(0, int), np.zeros((0, 2))
    boxes = objects.where(objects.category == objects.categories.index(name))
    x, y, w, h = boxes.xywh.astype(float).T
    return boxes.frame, np.stack([y + h / 2, x + w / 2], -1)


def _of_same_frames(centers: ArrayLike, episodes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays. Raises UserError where they are of different numbers of frames."""
    _refuse_keypoints(centers)
    centers, episodes = as_array(centers, "centres"), as_episodes(episodes)
    if centers.shape[:1] != episodes.shape:
        raise UserError(
            f"centres must be [N, K, 2] of N = {len(episodes)} frames, as many as episodes has, "
            f"not {list(centers.shape)}"
        )
    return centers, episodes


def _refuse_keypoints(centers: ArrayLike) -> None:
    if isinstance(centers, Keypoints):
        raise UserError("centres must be an array [N, K, 2]; of keypoints, keypoints.centers_yx")


def check_centers(centers: ArrayLike, num_frames: int, name: str = "centres") -> np.ndarray:
    """`centers` as float64. Raises UserError, in which they have a name, where they are not float
    [num_frames, K, 2], finite, in (or not far beyond) [-1, 1]."""
    _refuse_keypoints(centers)
    centers = as_array(centers, name)
    if centers.dtype.kind != "f" or centers.ndim != 3 or centers.shape[2] != 2:
        raise UserError(
            f"{name} must be floating-point [N, K, 2], not {centers.dtype} {list(centers.shape)}"
        )
    if len(centers) != num_frames or not centers.shape[1]:
        raise UserError(
            f"{name} [N, K, 2] are needed for {num_frames} frames, not {list(centers.shape)}"
        )
    if not np.isfinite(centers).all():
        raise UserError(f"{name} must be finite numbers")
    if (farthest := np.abs(centers).max(initial=0)) > _FARTHEST:
        raise UserError(
            f"{name} must be (y, x) in [-1, 1], not up to {farthest:g}; were they pixels? Row r "
            f"of {measures.HEIGHT} and column c of {measures.WIDTH} are "
            f"(2 r / {measures.HEIGHT - 1} - 1, 2 c / {measures.WIDTH - 1} - 1)"
        )
    return centers.astype(np.float64)


def check_confidence(confidence: ArrayLike | None, centers: np.ndarray) -> np.ndarray:
    """Of `centers` [N, K, 2], as float64 [N, K]; 1 for all where it is None.

    Raises:
      UserError: it is not float [N, K], finite, in [0, 1].
    """
    if confidence is None:
        return np.ones(centers.shape[:2])
    confidence = as_array(confidence, "confidence")
    if confidence.dtype.kind != "f" or confidence.shape != centers.shape[:2]:
        raise UserError(
            f"confidence must be floating-point {list(centers.shape[:2])}, one for every centre, "
            f"not {confidence.dtype} {list(confidence.shape)}"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():  # NaN is neither
        raise UserError(
            f"confidence must be in [0, 1], not from {confidence.min():g} to {confidence.max():g}"
        )
    return confidence.astype(np.float64)


def _checked_probing(probing: Probing, centers: np.ndarray) -> Probing:
    expect(Probing, probing, "probing", "give a permakey_tf.Probing")
    fitting = as_array(probing.centers, "the probe's centres")
    held_out = as_array(probing.held_out, "the probe's held_out")
    if fitting.ndim != 3 or fitting.shape[1:] != centers.shape[1:]:
        raise UserError(
            f"the probe's centres must be [F, {centers.shape[1]}, 2], not {list(fitting.shape)}"
        )
    if held_out.dtype != bool or held_out.shape != (len(centers),):
        raise UserError(
            f"the probe's held_out must be bool [{len(centers)}], not {held_out.dtype} "
            f"{list(held_out.shape)}"
        )
    probing.objects.check_frames(len(fitting))
    fitting = check_centers(fitting, len(fitting), "the probe's centres")
    return probing._replace(centers=fitting, held_out=held_out)


def _check_names(names: tuple[str, ...], game: str | None) -> None:
    known = _known(game)
    if game and known and names and not set(names) & set(known.categories):
        raise UserError(
            f"none of the boxes' categories {', '.join(names)} is one of {canonical_game(game)}'s: "
            f"{', '.join(known.categories)}; name them so, or leave the game out"
        )
    if not known and "all" in names:
        raise UserError("a category must not be called 'all', which is the set of all")
