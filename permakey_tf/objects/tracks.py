"""Tracks of objects: which box of a frame is the same object as which box of the frame before."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from permakey_tf.objects.boxes import Objects
from permakey_tf.system.arrays import rank_among_equals, starts_of

_TIE = 1e-7  # weight of squares, in pixels: decides between equal sums only


class Tracks(NamedTuple):
    """Links between boxes.

    track: int64 [M], number of the box's track.
    previous: int64 [M], index of the box of the same object in the frame before; -1 where a track
      begins.
    """

    track: np.ndarray
    previous: np.ndarray


def link_boxes(objects: Objects, episodes: np.ndarray, max_distance: float) -> Tracks:
    """Links boxes of one category in consecutive frames of an episode.

    Of all one-to-one links the ones with the smallest sum of displacements are taken, where a box
    without a link counts as a displacement of `max_distance`; so no link is longer than that. Of
    equal sums the one with the smaller squares is taken: two objects that walk in line both move,
    rather than that one leaps over the other. A displacement is the distance between the middles of
    two boxes. Whether a box is drawn makes no difference: an object that flickers keeps its track.

    Args:
      objects: boxes, ordered by frame.
      episodes: int [N], episode of every frame; consecutive frames of the same number belong
        together.
      max_distance: pixels.
    """
    # Twice the middles, so that they are whole numbers.
    middles = 2 * objects.xywh[:, :2].astype(np.int64) + objects.xywh[:, 2:]
    previous = _link_still(objects, middles)
    starts = starts_of(episodes)
    previous[np.isin(objects.frame, starts)] = -1
    _link_moving(objects, middles / 2, previous, set(starts.tolist()), max_distance)
    return Tracks(_numbers(previous), previous)


def _link_still(objects: Objects, middles: np.ndarray) -> np.ndarray:
    """Links boxes to those in the same place in the frame before; int64 [M], -1: there is none.

    By the triangle inequality, no sum of displacements is smaller than the one that begins with
    the zeros. Several boxes in one place are linked in their order.
    """
    low, high = middles.min(0, initial=0), middles.max(0, initial=0)
    width, height = high - low + 1
    places = (objects.category * width + middles[:, 0] - low[0]) * height + middles[:, 1] - low[1]
    places, place = np.unique(places, return_inverse=True)
    keys = objects.frame.astype(np.int64) * len(places) + place
    rank = rank_among_equals(keys)
    depth = rank.max(initial=0) + 1
    keys, before = keys * depth + rank, (keys - len(places)) * depth + rank
    order = np.argsort(keys)
    found = np.minimum(np.searchsorted(keys[order], before), len(order) - 1)
    return np.where(keys[order][found] == before, order[found], -1) if len(order) else found


def _link_moving(
    objects: Objects,
    middles: np.ndarray,
    previous: np.ndarray,
    starts: set[int],
    max_distance: float,
) -> None:
    """Links anew where a frame and the one before both have boxes of a category without a link."""
    continued = np.zeros(len(previous), bool)
    continued[previous[previous >= 0]] = True
    for category in np.unique(objects.category):
        boxes = np.flatnonzero(objects.category == category)
        frames = objects.frame[boxes]
        appearing, left = frames[previous[boxes] < 0], frames[~continued[boxes]]
        for frame in np.intersect1d(appearing, left + 1):
            if frame in starts:
                continue
            old, new = (
                boxes[slice(*np.searchsorted(frames, (at, at + 1)))] for at in (frame - 1, frame)
            )
            distance = np.linalg.norm(middles[old][:, None] - middles[new], axis=-1)
            cost = np.minimum(distance, max_distance)
            rows, columns = linear_sum_assignment(cost + _TIE * cost**2)
            near = distance[rows, columns] <= max_distance
            previous[new] = -1
            previous[new[columns[near]]] = old[rows[near]]


def _numbers(previous: np.ndarray) -> np.ndarray:
    """Numbers the tracks 0, 1, ... by their first boxes."""
    own = np.arange(len(previous))
    root = np.where(previous >= 0, previous, own)
    while True:  # each round doubles the distance that a box looks back
        further = root[root]
        if (further == root).all():
            return np.unique(root, return_inverse=True)[1]
        root = further
