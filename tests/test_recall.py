"""The recall of benchmarks.recall on boxes and points worked out by hand."""

import numpy as np
import pytest

from benchmarks import recall

BOX = np.array([[40, 100, 8, 12]], np.int16)  # columns 40..48, rows 100..112


def point(row, column):
    return np.array([[[row / 209 * 2 - 1, column / 159 * 2 - 1]]])


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (105, 44, True),  # inside
        (116, 44, True),  # 4 rows below
        (117, 44, False),
        (105, 36, True),  # 4 columns left
        (105, 35, False),
        (115, 50, True),  # 3 below, 2 right: 3.6
        (115, 51, False),  # 3 below, 3 right: 4.2
    ],
)
def test_near_is_four_pixels_from_the_box(row, column, expected):
    assert recall.near(point(row, column), BOX).tolist() == [[expected]]


def test_scores_by_hand():
    # Two frames, one player in each; the keypoint is on it in the second only.
    boxes = {"Player": np.concatenate([BOX, BOX])}
    frames = {"Player": np.array([0, 1])}
    centers = np.concatenate([point(0, 0), point(105, 44)])
    assert recall.scores(centers, frames, boxes) == {"Player": 0.5, "precision": 1.0}


def test_best_constants_cover_the_most_boxes_first():
    boxes = np.concatenate([np.repeat(BOX, 5, 0), [[120, 10, 8, 8]]])
    first, second = recall.best_constants(2, boxes)
    assert recall.near(first[None, None], BOX).item()
    assert recall.near(second[None, None], boxes[-1:]).item()


def test_the_pen():
    inside, outside = [75, 81, 9, 10], [5, 14, 9, 10]
    assert recall.outside_pen(np.array([inside, outside])).tolist() == [False, True]
