"""Patches gathered from feature maps, and a random share of them."""

import numpy as np

from permakey_tf.ops import patches


def test_places_of_a_patch_and_its_neighbours():
    """By hand, of the second of two frames: 2 x 2 patches of 2 x 2, padded to 8 x 8."""
    targets, neighbours = patches.window_places(2, 2)
    assert targets.tolist() == [18, 19, 26, 27]
    assert neighbours[:8].tolist() == [0, 1, 2, 3, 4, 5, 8, 9]
    assert neighbours[12:20].tolist() == [16, 17, 20, 21, 24, 25, 28, 29]
    # 10 x 10 patches, padded to 24 x 24
    corners = patches.window_corners(np.array([0, 99, 100, 123]), 2, 10)
    assert corners.tolist() == [0, 18 * 24 + 18, 24 * 24, 24 * 24 + 4 * 24 + 6]
