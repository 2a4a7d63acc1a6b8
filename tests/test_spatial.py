"""Coordinates, soft-argmax, windows, neighbourhoods, map resizing."""

import numpy as np
import pytest
import tensorflow as tf

from permakey_tf.ops import spatial


def test_coordinates_are_the_last_two_channels():
    images = tf.random.stateless_uniform([2, 3, 5, 4], [0, 0])
    both = spatial.append_coordinates(images).numpy()
    np.testing.assert_array_equal(both[..., :4], images)
    np.testing.assert_array_equal(both[1, :, 2, 4], [-1, 0, 1])  # y of the rows
    np.testing.assert_array_equal(both[1, 0, :, 5], [-1, -0.5, 0, 0.5, 1])  # x of the columns
    assert spatial.append_coordinates(tf.cast(images, tf.bfloat16)).dtype == tf.bfloat16


@pytest.mark.parametrize("mode", ["marginal", "joint"])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (20, 20), (0, 20), (10, 5), (3, 17)])
def test_a_lit_pixel_gives_its_coordinate(mode, row, column):
    logits = np.zeros([1, 21, 21, 2], np.float32)
    logits[0, row, column, 1] = 1.0
    centers = spatial.soft_argmax(logits, mode, scale=1000.0).numpy()
    # Row 0 is -1, row 20 is 1: y = row / 10 - 1.
    np.testing.assert_allclose(centers[0, 1], [row / 10 - 1, column / 10 - 1], atol=1e-5)
    np.testing.assert_allclose(centers[0, 0], [0, 0], atol=1e-6)  # a flat map: the middle


def test_marginal_and_joint_differ_on_two_peaks():
    # Peaks at (0, 2) and (2, 0). The marginals are symmetric about the middle row and column;
    # so is the joint distribution's mean; one brighter peak pulls only the joint one fully.
    logits = np.zeros([1, 3, 3, 1], np.float32)
    logits[0, 0, 2, 0], logits[0, 2, 0, 0] = 50.0, 40.0
    joint = spatial.soft_argmax(logits, "joint").numpy()[0, 0]
    marginal = spatial.soft_argmax(logits, "marginal").numpy()[0, 0]
    np.testing.assert_allclose(joint, [-1, 1], atol=1e-3)
    # Marginal row logits: 50/3, 0, 40/3.
    weights = np.exp([50 / 3, 0, 40 / 3])
    expected = (weights[2] - weights[0]) / weights.sum()
    np.testing.assert_allclose(marginal, [expected, -expected], atol=1e-4)


def test_soft_argmax_moves_with_its_map():
    rng = np.random.default_rng(0)
    blob = rng.normal(size=[5, 5]).astype(np.float32) * 3
    maps = np.full([2, 21, 21, 1], -100.0, np.float32)
    maps[0, 4:9, 6:11, 0], maps[1, 7:12, 4:9, 0] = blob, blob
    first, second = spatial.soft_argmax(maps, "joint").numpy()[:, 0]
    np.testing.assert_allclose(second - first, [0.3, -0.2], atol=1e-5)  # 3 rows down, 2 left


def test_window_formula_has_no_half():
    # At the centre 1; one std away exp(-1), not exp(-1/2).
    centers = tf.constant([[[0.0, 0.5]]])
    windows = spatial.gaussian_windows(centers, 41, 0.1).numpy()[0, :, :, 0]
    assert windows[20, 30] == pytest.approx(1.0)
    assert windows[22, 30] == pytest.approx(np.exp(-1.0), rel=1e-5)  # 2 rows = 0.1
    assert windows[20, 28] == pytest.approx(np.exp(-1.0), rel=1e-5)
    assert windows[22, 32] == pytest.approx(np.exp(-2.0), rel=1e-5)


def test_windows_equal_a_loop():
    rng = np.random.default_rng(1)
    centers = rng.uniform(-1, 1, [2, 3, 2]).astype(np.float32)
    windows = spatial.gaussian_windows(centers, 9, 0.4).numpy()
    grid = np.linspace(-1, 1, 9)
    for b, i, j, k in np.ndindex(2, 9, 9, 3):
        squared = (grid[i] - centers[b, k, 0]) ** 2 + (grid[j] - centers[b, k, 1]) ** 2
        assert windows[b, i, j, k] == pytest.approx(np.exp(-squared / 0.4**2), rel=1e-4, abs=1e-7)


def test_a_margin_goes_on_with_the_same_pixels():
    np.testing.assert_allclose(spatial.coordinate_grid(3, margin=2), [-3, -2, -1, 0, 1, 2, 3])
    centers = tf.constant([[[-1.0, 0.9], [0.3, -0.2]]])
    plain, wide = (spatial.gaussian_windows(centers, 9, 0.4, margin) for margin in (0, 3))
    assert wide.shape == (1, 15, 15, 2)
    np.testing.assert_allclose(wide[:, 3:-3, 3:-3], plain, atol=1e-6)
    # The first centre is on the first row: as much of its window lies beyond as within.
    np.testing.assert_allclose(wide[0, :3, :, 0], wide[0, 6:3:-1, :, 0], atol=1e-6)


def test_in_a_corner_a_window_is_free_without_a_margin_only():
    centers = tf.constant([[[-1.0, -1.0], [0.0, 0.0]]])
    for margin, share in ((0, 0.25), (20, 1.0)):  # 20 pixels: more than 3 std
        windows = spatial.gaussian_windows(centers, 101, 0.1, margin).numpy()[0]
        corner, middle = windows.sum((0, 1))
        assert corner / middle == pytest.approx(share, abs=0.07)


def test_joined_windows_by_hand():
    windows = tf.constant([[[[0.5, 0.5, 0.0]]]])
    assert spatial.join_windows(windows, "sum").numpy().item() == pytest.approx(1.0)
    assert spatial.join_windows(windows, "union").numpy().item() == pytest.approx(0.75)


def test_transport_equals_the_loop_over_keypoints():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=[2, 2, 5, 5, 3]).astype(np.float32)
    windows_a, windows_b = rng.uniform(size=[2, 2, 5, 5, 4]).astype(np.float32)
    expected = a
    for k in range(4):  # Kulkarni et al. 2019, eq. 1, keypoint by keypoint
        h_a, h_b = windows_a[..., k : k + 1], windows_b[..., k : k + 1]
        expected = (1 - h_a) * (1 - h_b) * expected + h_b * b
    outputs = spatial.transport(a, b, windows_a, windows_b)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_transport_moves_what_the_windows_cover():
    # One keypoint, hard windows: at its place in b comes b, at its place in a a hole, else a.
    a, b = np.full([1, 1, 4, 1], 1.0, np.float32), np.full([1, 1, 4, 1], 2.0, np.float32)
    at_0, at_2 = (np.eye(4, dtype=np.float32)[i].reshape(1, 1, 4, 1) for i in (0, 2))
    np.testing.assert_array_equal(np.ravel(spatial.transport(a, b, at_0, at_2)), [0, 1, 2, 1])


def test_transport_has_finite_gradients_where_a_window_is_one():
    windows = tf.Variable(np.eye(4, dtype=np.float32).reshape(1, 1, 4, 4))
    features = tf.ones([1, 1, 4, 2])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(spatial.transport(features, features, windows, windows) ** 2)
    assert np.all(np.isfinite(tape.gradient(total, windows)))


def neighbourhoods_by_loop(features, p):
    """[B, h, w, 8*p*p*C]: the 3p x 3p window row by row, channels last, centre left out."""
    batch, height, width, channels = features.shape
    h, w = -(-height // p), -(-width // p)
    padded = np.zeros([batch, (h + 2) * p, (w + 2) * p, channels], features.dtype)
    padded[:, p : p + height, p : p + width] = features
    out = np.empty([batch, h, w, 8 * p * p * channels], features.dtype)
    for b, i, j in np.ndindex(batch, h, w):
        values = []
        for r in range(3 * p):
            for c in range(3 * p):
                if not (p <= r < 2 * p and p <= c < 2 * p):
                    values.extend(padded[b, i * p + r, j * p + c])
        out[b, i, j] = values
    return out


@pytest.mark.parametrize(("size", "p", "channels"), [(6, 2, 3), (7, 2, 2), (5, 1, 4), (8, 3, 2)])
def test_neighbourhood_dense_equals_a_naive_loop(size, p, channels):
    rng = np.random.default_rng(0)
    features = rng.normal(size=[2, size, size, channels]).astype(np.float32)
    weights = rng.normal(size=[8 * p * p * channels, 5]).astype(np.float32)
    expected = neighbourhoods_by_loop(features, p) @ weights
    outputs = spatial.neighbourhood_dense(features, weights, p).numpy()
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_neighbourhood_input_order():
    # An identity kernel shows the inputs themselves. Feature (y, x, c) = 100 y + 10 x + c.
    p, channels = 2, 2
    y, x, c = np.meshgrid(np.arange(6), np.arange(6), np.arange(channels), indexing="ij")
    features = (100 * y + 10 * x + c).astype(np.float32)[None]
    identity = np.eye(8 * p * p * channels, dtype=np.float32)
    inputs = spatial.neighbourhood_dense(features, identity, p).numpy()[0, 1, 1]  # centre patch
    # First window row: (0, 0), (0, 1), ... (0, 5), both channels each.
    np.testing.assert_array_equal(inputs[:12], [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51])
    # Third window row: columns 2 and 3 are the centre and are left out.
    np.testing.assert_array_equal(inputs[24:32], [200, 201, 210, 211, 240, 241, 250, 251])
    np.testing.assert_array_equal(inputs[-2:], [550, 551])


def test_the_centre_does_not_enter_its_own_prediction():
    rng = np.random.default_rng(0)
    features = rng.normal(size=[1, 6, 6, 3]).astype(np.float32)
    changed = features.copy()
    changed[0, 2:4, 2:4] += 10.0
    weights = rng.normal(size=[8 * 4 * 3, 7]).astype(np.float32)
    before, after = (
        spatial.neighbourhood_dense(f, weights, 2).numpy()[0] for f in (features, changed)
    )
    np.testing.assert_allclose(before[1, 1], after[1, 1], rtol=1e-5)
    assert np.all(np.abs(before[0, 0] - after[0, 0]) > 1e-3)


def test_patches_by_hand_and_mask_of_odd_maps():
    features = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    patches = spatial.to_patches(features, 2).numpy()[0]
    np.testing.assert_array_equal(patches[0, 0], [0, 1, 3, 4])
    np.testing.assert_array_equal(patches[0, 1], [2, 0, 5, 0])
    np.testing.assert_array_equal(patches[1, 1], [8, 0, 0, 0])
    mask = spatial.patch_mask(3, 3, 2)
    np.testing.assert_array_equal(mask[0, 0], [1, 1, 1, 1])
    np.testing.assert_array_equal(mask[0, 1], [1, 0, 1, 0])
    np.testing.assert_array_equal(mask[1, 1], [1, 0, 0, 0])


def test_odd_maps_stay_aligned_with_the_frame():
    # 21 features of 4 pixels: patches of 2 cover 8 pixels, the eleventh is half outside.
    maps = np.zeros([1, 11, 11, 1], np.float32)
    maps[0, 10, 3] = 1.0
    up = spatial.upsample_nearest(tf.constant(maps), 8, 84).numpy()[0, :, :, 0]
    rows, columns = np.nonzero(up)
    assert (rows.min(), rows.max()) == (80, 83)
    assert (columns.min(), columns.max()) == (24, 31)


def test_normalized_maps_span_0_to_1_and_constants_give_zeros():
    maps = np.stack([np.full([4, 4], 3.0), np.arange(16.0).reshape(4, 4)], -1)[None]
    normal = spatial.normalize_maps(tf.constant(maps, tf.float32)).numpy()
    assert np.all(normal[..., 0] == 0)
    np.testing.assert_allclose(normal[0, ..., 1].ravel(), np.arange(16) / 15, rtol=1e-6)


def test_constant_maps_give_finite_gradients():
    maps = tf.Variable(tf.ones([1, 4, 4, 1]))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(spatial.normalize_maps(maps) ** 2)
    assert np.all(np.isfinite(tape.gradient(total, maps)))


@pytest.mark.parametrize("function", [lambda m: spatial.soft_argmax(tf.zeros([1, 3, 3, 1]), m)])
def test_unknown_modes_are_refused(function):
    with pytest.raises(ValueError, match="nonsense"):
        function("nonsense")


def test_whole_patches():
    assert spatial.whole_patches(21, 21, 2) == (10, 10)
    assert spatial.whole_patches(21, 6, 2) == (10, 3)
    assert spatial.whole_patches(42, 6, 2) is None  # there is no other patch
    assert spatial.whole_patches(3, 21, 4) is None  # there is no whole patch
