"""Square windows of maps at chosen places."""

import numpy as np
import pytest
import tensorflow as tf

from permakey_tf.ops import spatial
from permakey_tf.ops.windows import Bordered, gather, patch_windows, scatter, split_window


def test_places_of_a_patch_and_its_neighbours():
    """By hand: 2 x 2 patches of 2 x 2, padded to 8 x 8."""
    windows = patch_windows(4, 2)
    targets, neighbours = split_window(windows.steps, 2)
    assert targets.tolist() == [18, 19, 26, 27]
    assert neighbours[:8].tolist() == [0, 1, 2, 3, 4, 5, 8, 9]
    assert neighbours[12:20].tolist() == [16, 17, 20, 21, 24, 25, 28, 29]
    assert windows.corners(0, 0, 0) == 0
    assert windows.corners(1, 1, 1) == 64 + 2 * 8 + 2  # of the second frame, the last patch


@pytest.mark.parametrize("side", [19, 20])
def test_corners_of_windows(side):
    """10 x 10 patches, with zeros 24 x 24, whether or not the last ones had to be filled up."""
    frame, row, column = np.array([[0, 0, 0], [0, 9, 9], [1, 0, 0], [1, 2, 3]]).T
    corners = patch_windows(side, 2).corners(frame, row, column)
    assert corners.tolist() == [0, 18 * 24 + 18, 24 * 24, 24 * 24 + 4 * 24 + 6]


@pytest.mark.parametrize(("side", "patch_size"), [(6, 2), (7, 3), (5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gathered_patches_and_neighbours_are_those_of_whole_maps(side, patch_size, dtype):
    """In the type that they have, as the networks compute them."""
    features = tf.random.stateless_uniform([2, side, side, 3], [0, 1])
    features = tf.cast(features, dtype)
    patches = spatial.to_patches(features, patch_size)
    rows = patches.shape[1]
    windows = patch_windows(side, patch_size)
    frame, row, column = (part.ravel() for part in np.indices([2, rows, rows]))
    corners = np.int32(windows.corners(frame, row, column))[:, None]
    bordered = windows.source.put(features)
    targets, neighbours = (
        gather(bordered, corners + places) for places in split_window(windows.steps, patch_size)
    )
    assert targets.dtype == neighbours.dtype == features.dtype
    np.testing.assert_array_equal(targets, tf.reshape(patches, targets.shape))
    if dtype == "float32":
        weights = tf.random.stateless_normal([neighbours.shape[1], 4], [0, 1])
        expected = spatial.neighbourhood_dense(features, weights, patch_size)
        np.testing.assert_allclose(
            neighbours @ weights, tf.reshape(expected, [-1, 4]), rtol=1e-4, atol=1e-4
        )


def test_zeros_around_a_map_and_the_map_alone():
    bordered, maps = Bordered(3, 1, 2), tf.random.stateless_normal([2, 3, 3, 4], [0, 0])
    kept = bordered.put(maps)
    assert kept.shape == [2, 6, 6, 4] and bordered.width == 6
    np.testing.assert_array_equal(bordered.take(kept), maps)
    assert not np.any(kept[:, 0]) and not np.any(kept[:, :, 4:])
    first = bordered.places(1, 0, 0)  # of the second map
    np.testing.assert_array_equal(tf.reshape(kept, [-1, 4])[first], maps[1, 0, 0])


def test_new_values_at_some_places():
    old = tf.zeros([2, 2, 2, 1])
    new = scatter(old, tf.constant([1, 6]), tf.constant([[3.0], [5.0]]))
    assert tf.reshape(new, [-1]).numpy().tolist() == [0, 3, 0, 0, 0, 0, 5, 0]
