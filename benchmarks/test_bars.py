"""Places of noisy frames, by hand."""

import numpy as np

from benchmarks.bars import on_characters, places
from permakey_tf.data.noise import Bars
from permakey_tf.objects.boxes import Objects


def test_pixels_of_every_place():
    """20x20: columns 8-12 and rows 3-7 are bars, with 4 pixels around them 4-16 and 0-11."""
    characters = np.zeros([1, 20, 20], bool)
    characters[0, 14:, 15:18] = True  # columns 15 and 16 belong to the bar
    masks = places(Bars(np.array([8]), np.array([3])), characters)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "crossing": 12 * 13,
        "left end": 12 * 4,
        "right end": 12 * 3,
        "top end": 0,  # all of it is crossing
        "bottom end": 4 * 13,
        "inside of a bar": 4 * 5,
        "edge of a bar": 4 * 8,
        "character": 6 * 1,
        "elsewhere": 8 * 7 - 6,
    }
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    assert masks["character"][0, 14:, 17].all() and masks["bottom end"][0, 16:, 4:17].all()


def test_visible_characters_are_scaled_to_the_frame():
    objects = Objects(
        frame=np.array([0, 1, 1], np.int32),
        category=np.array([0, 0, 1], np.uint8),
        xywh=np.array([[16, 21, 8, 21], [80, 105, 16, 42], [0, 0, 160, 210]], np.int16),
        categories=("Player", "Pill"),
        visible=np.array([False, True, True]),
    )
    mask = on_characters(objects, "mspacman", 2, (210, 160), 20)
    expected = np.zeros([2, 20, 20], bool)
    expected[1, 10:14, 10:12] = True  # the hidden one and the pill, no character, are not there
    np.testing.assert_array_equal(mask, expected)
