"""Greedy pursuit of eq. 3 on maps whose keypoints are known."""

import numpy as np
import pytest
import tensorflow as tf
from support import tiny_config

from permakey_tf.detector import KeypointDetector
from permakey_tf.models.build import build_model
from permakey_tf.ops import losses, pursuit, spatial

SIZE, CELL = 84, 2
COORDINATES = pursuit.cell_coordinates(SIZE, CELL)  # 42 cells, 2 / 83 * 2 apart
STD, RADIUS, SHARPNESS = 0.1, 0.2, 30.0


def take(maps, number, radius=RADIUS, sharpness=SHARPNESS):
    maps = np.asarray(maps, np.float32)
    found = pursuit.pursue(maps, COORDINATES, number, STD, radius, sharpness)
    return tf.nest.map_structure(lambda part: part.numpy(), found)


def empty():
    return np.zeros([1, 42, 42], np.float32)


def window(y, x, std=STD):
    return np.exp(-((COORDINATES - y) ** 2)[:, None] / std**2 - ((COORDINATES - x) ** 2) / std**2)


def naive(image, number, radius, sharpness, std=STD):
    """One map, in plain loops and double precision: centres, confidences, gains."""
    grid = COORDINATES.astype(float)
    cells = [(i, j) for i in range(len(grid)) for j in range(len(grid))]
    union = np.zeros(image.shape)
    centers, confidence, gains = [], [], []
    for _ in range(number):
        top = (image - union).max()
        best = next(at for at in cells if image[at] - union[at] >= top - pursuit.TIE)
        if top <= pursuit.TIE:
            centers, confidence, gains = [*centers, (0, 0)], [*confidence, 0], [*gains, 0]
            continue
        total = y = x = 0.0
        for i, j in cells:
            if (grid[i] - grid[best[0]]) ** 2 + (grid[j] - grid[best[1]]) ** 2 <= radius**2:
                weight = np.exp(sharpness * (image[i, j] - union[i, j] - top))
                total, y, x = total + weight, y + weight * grid[i], x + weight * grid[j]
        centers.append((y / total, x / total))
        before, matched, energy = union.copy(), 0.0, 0.0
        for i, j in cells:
            squared = (grid[i] - y / total) ** 2 + (grid[j] - x / total) ** 2
            added = np.exp(-squared / std**2) * (1 - before[i, j])
            matched += added * (image[i, j] - before[i, j])
            energy += added**2
            union[i, j] += added
        confidence.append(min(max(matched / energy, 0), 1))
        gains.append((((image - before) ** 2) - (image - union) ** 2).mean())
    return np.array(centers), np.array(confidence), np.array(gains)


def smooth_noise(rng, shape):
    return pursuit.smooth(rng.random(shape, np.float32)).numpy()


def test_equal_to_a_naive_loop():
    maps = smooth_noise(np.random.default_rng(0), [3, 42, 42])
    maps[1] **= 8  # a few bright places on a dark ground
    found = take(maps, 5)
    for i, image in enumerate(maps):
        centers, confidence, gains = naive(image.astype(float), 5, RADIUS, SHARPNESS)
        np.testing.assert_allclose(found.centers_yx[i], centers, atol=2e-5)
        np.testing.assert_allclose(found.explained.confidence[i], confidence, atol=2e-5)
        np.testing.assert_allclose(found.explained.gain[i], gains, atol=1e-6)


def test_smoothing_takes_the_outside_for_zero():
    smoothed = pursuit.smooth(np.ones([1, 4, 5], np.float32)).numpy()[0]
    corner, edge = 4 / 9, 6 / 9
    expected = np.ones([4, 5])
    expected[[0, -1]], expected[:, [0, -1]] = edge, edge
    expected[[0, 0, -1, -1], [0, -1, 0, -1]] = corner
    np.testing.assert_allclose(smoothed, expected, atol=1e-6)


def test_what_crosses_the_frame_is_taken_away_and_what_stands_on_it_stays():
    maps = np.zeros([1, 7, 6], np.float32)
    maps[0, 2] += 0.5  # a horizontal bar
    maps[0, :, 4] = 0.4  # a vertical one
    maps[0, 2, 1], maps[0, 5, 1], maps[0, 0, 4] = 0.9, 0.3, 0.6  # on a bar, elsewhere, on the other
    expected = np.zeros([1, 7, 6])
    expected[0, 2, 1], expected[0, 5, 1], expected[0, 0, 4] = 0.4, 0.3, 0.2
    left = pursuit.without_lines(maps)
    np.testing.assert_allclose(left, expected, atol=1e-6)
    turned = pursuit.without_lines(maps.transpose(0, 2, 1))
    np.testing.assert_allclose(turned, expected.transpose(0, 2, 1), atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 65])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_lines_are_the_lower_medians_of_rows_and_columns(size, levels):
    drawn = np.random.default_rng(size).integers(levels, size=[3, size, size])
    maps = (drawn / levels).astype(np.float32)  # few levels: many are equal
    middle = (size - 1) // 2
    of_rows, of_columns = (
        np.sort(maps, axis)[:, :, middle] if axis == 2 else np.sort(maps, axis)[:, middle]
        for axis in (2, 1)
    )
    expected = np.empty_like(maps)
    for b, i, j in np.ndindex(maps.shape):
        expected[b, i, j] = max(0, maps[b, i, j] - max(of_rows[b, i], of_columns[b, j]))
    np.testing.assert_allclose(pursuit.without_lines(maps), expected, atol=1e-6)


def test_an_object_over_less_than_half_of_a_row_is_left_as_it_is():
    maps = empty()
    maps[0, 3:6, 10:30] = 0.7  # 20 of 42 cells
    np.testing.assert_array_equal(pursuit.without_lines(maps), maps)


def test_cells_at_the_border_are_dimmed():
    expected = [[0.25] * 4, [0.25, 1, 1, 0.25], [0.25, 1, 1, 0.25], [0.25] * 4]
    np.testing.assert_array_equal(pursuit.border_factors(4, 0.25), expected)
    np.testing.assert_array_equal(pursuit.border_factors(4, 1.0), np.ones([4, 4]))
    np.testing.assert_array_equal(pursuit.border_factors(1, 0.5), [[0.5]])


def test_middles_of_the_cells_are_where_windows_are_drawn():
    one = pursuit.cell_coordinates(SIZE, 1)
    np.testing.assert_allclose(one, spatial.coordinate_grid(SIZE), atol=1e-6)
    # Pixels 0 and 1 of 84: middle 0.5 of 83.
    np.testing.assert_allclose(COORDINATES[[0, -1]], [0.5 / 83 * 2 - 1, 82.5 / 83 * 2 - 1])
    # 10 pixels in cells of 4: the last has pixels 8 and 9.
    np.testing.assert_allclose(pursuit.cell_coordinates(10, 4), np.array([1.5, 5.5, 8.5]) / 4.5 - 1)


@pytest.mark.parametrize("row", [0, 1, 20, 41])
@pytest.mark.parametrize("column", [0, 15, 40, 41])
def test_one_bright_cell_is_the_keypoint_at_the_border_too(row, column):
    maps = empty()
    maps[0, row, column] = 1.0
    center = take(maps, 1, sharpness=1000).centers_yx[0, 0]
    np.testing.assert_allclose(center, [COORDINATES[row], COORDINATES[column]], atol=1e-6)


def test_a_map_that_is_a_union_of_windows_is_explained_wholly():
    one, two = (COORDINATES[10], COORDINATES[12]), (COORDINATES[30], COORDINATES[25])
    maps = 1 - (1 - window(*one)) * (1 - window(*two))
    found = take(maps[None], 2, sharpness=1000)
    order = np.argsort(found.centers_yx[0, :, 0])
    np.testing.assert_allclose(found.centers_yx[0, order], [one, two], atol=1e-4)
    np.testing.assert_allclose(found.explained.confidence[0], 1, atol=1e-3)
    np.testing.assert_allclose(found.explained.gain.sum(), (maps**2).mean(), rtol=1e-3)


def test_two_equal_cells_take_one_keypoint_each_the_upper_one_first():
    maps = empty()
    maps[0, 8, 30] = maps[0, 25, 4] = 0.9
    found = take(maps, 2, sharpness=1000)
    expected = COORDINATES[np.array([[8, 30], [25, 4]])]
    np.testing.assert_allclose(found.centers_yx[0], expected, atol=1e-5)
    np.testing.assert_allclose(np.ptp(found.explained.confidence), 0, atol=1e-6)


@pytest.mark.parametrize("rounding", [-3e-6, 3e-6])
def test_places_are_equal_whatever_rounding_makes_of_them(rounding):
    """Two objects that look the same: which comes first must not depend on the seventh digit."""
    maps = empty()
    maps[0, 8, 30] = maps[0, 25, 4] = 0.3
    expected = take(maps, 3, sharpness=1000)
    maps[0, 25, 4] += rounding
    maps[0, 40, 40] = abs(rounding)  # where there is nothing
    found = take(maps, 3, sharpness=1000)
    np.testing.assert_allclose(found.centers_yx, expected.centers_yx, atol=1e-5)
    np.testing.assert_allclose(found.heights, expected.heights, atol=1e-5)


def test_a_constant_map_has_nothing_to_be_found():
    maps = spatial.normalize_maps(np.full([2, 42, 42, 1], 0.7, np.float32))[..., 0]
    found = take(maps, 3)
    assert not found.centers_yx.any()
    assert not found.explained.confidence.any() and not found.explained.gain.any()


def test_keypoints_without_a_bright_place_say_so():
    """Seven keypoints, two bright spots: the others' windows can only add to eq. 3."""
    maps = window(-0.5, 0.2) + window(0.4, -0.3)
    found = take(np.minimum(maps, 1)[None], 7)
    assert (found.explained.confidence[0, :2] > 0.9).all()
    assert (found.explained.confidence[0, 2:] < 0.5).all()
    assert (found.explained.gain[0, :2] > 0).all() and (found.explained.gain[0, 2:] <= 0).all()


def test_more_keypoints_than_cells():
    coordinates = pursuit.cell_coordinates(8, 4)  # 2 x 2 cells
    maps = np.array([[[1.0, 0.5], [0.25, 0.0]]], np.float32)
    found = pursuit.pursue(maps, coordinates, 9, STD, RADIUS, SHARPNESS)
    places = np.array(found.centers_yx)[0]
    assert np.isfinite(places).all()
    np.testing.assert_allclose(places[0], coordinates[[0, 0]], atol=1e-6)
    np.testing.assert_allclose(places[1], [coordinates[0], coordinates[1]], atol=1e-6)
    np.testing.assert_allclose(places[2], [coordinates[1], coordinates[0]], atol=1e-6)


def test_on_a_plateau_the_keypoint_is_in_the_middle_of_what_is_near():
    """A plateau smaller than the radius, all its cells as likely: their mean."""
    maps = empty()
    maps[0, 20:23, 30:33] = 1.0
    found = take(maps, 1, radius=0.3, sharpness=1000)
    np.testing.assert_allclose(found.centers_yx[0, 0], COORDINATES[[21, 31]], atol=1e-5)


def test_gains_are_what_eq_3_falls_by():
    """Against the loss itself, drawn at the resolution of the cells: one cell a pixel."""
    rng = np.random.default_rng(1)
    maps = smooth_noise(rng, [2, SIZE, SIZE])
    coordinates = pursuit.cell_coordinates(SIZE, 1)
    found = pursuit.pursue(maps, coordinates, 6, STD, RADIUS, SHARPNESS)
    windows = spatial.gaussian_windows(found.centers_yx, SIZE, STD)
    for count in range(1, 7):
        error = losses.map_reconstruction(maps[..., None], windows[..., :count], "union", 0.0).error
        gained = np.array(found.explained.gain)[:, :count].sum(1).mean()
        np.testing.assert_allclose(error, (maps**2).mean() - gained, atol=1e-6)


def test_half_of_full_confidence_is_where_a_window_takes_nothing_off():
    for height, better in ((0.49, False), (0.51, True)):
        maps = (height * window(0.1, 0.1))[None].astype(np.float32)
        explained = pursuit.explain(maps, np.full([1, 1, 2], 0.1, np.float32), COORDINATES, STD)
        np.testing.assert_allclose(explained.confidence, [[height]], atol=1e-4)
        assert (explained.gain.numpy() > 0).item() == better


def test_any_keypoints_are_explained_whatever_their_order():
    """Two on one spot: the one that is on it explains it, and the other has nothing left."""
    maps = window(0.0, 0.0)[None].astype(np.float32)
    centers = np.array([[[0.03, 0.0], [0.7, 0.7], [0.0, 0.0]]], np.float32)
    confidence = pursuit.explain(maps, centers, COORDINATES, STD).confidence.numpy()[0]
    assert confidence[2] > 0.99 and confidence[0] < 0.1 and confidence[1] < 0.01
    turned = pursuit.explain(maps, centers[:, ::-1], COORDINATES, STD).confidence.numpy()[0]
    np.testing.assert_array_equal(turned[::-1], confidence)


def test_pursuit_explains_as_it_says():
    """`explain` of pursuit's centres, which come strongest first here, gives pursuit's values."""
    maps = np.zeros([1, 42, 42], np.float32)
    for height, y, x in ((1.0, -0.6, -0.6), (0.8, 0.0, 0.5), (0.6, 0.7, -0.2)):
        maps[0] = np.maximum(maps[0], height * window(y, x))
    found = take(maps, 3)
    again = pursuit.explain(maps, found.centers_yx, COORDINATES, STD)
    np.testing.assert_allclose(again.confidence, found.explained.confidence, atol=1e-6)
    np.testing.assert_allclose(again.gain, found.explained.gain, atol=1e-8)


@pytest.mark.parametrize("batch", [1, 5])
def test_in_a_graph_of_any_batch_size(batch):
    maps = smooth_noise(np.random.default_rng(2), [batch, 42, 42])
    graph = tf.function(
        lambda m: pursuit.pursue(m, COORDINATES, 4, STD, RADIUS, SHARPNESS),
        input_signature=[tf.TensorSpec([None, 42, 42])],
    )
    expected = take(maps, 4)
    np.testing.assert_allclose(graph(maps).centers_yx, expected.centers_yx, atol=1e-5)
    assert graph(maps).centers_yx.dtype == graph(maps).explained.confidence.dtype == tf.float32


def test_a_frame_turned_round_has_its_keypoints_turned_round():
    maps = smooth_noise(np.random.default_rng(3), [2, 42, 42])
    found, mirrored = take(maps, 6), take(maps[:, ::-1, ::-1], 6)
    np.testing.assert_allclose(mirrored.centers_yx, -found.centers_yx, atol=1e-4)


@pytest.mark.parametrize("extractor", ["pursuit", "pointnet"])
def test_a_detectors_gains_are_what_eq_3_falls_by(extractor):
    """All windows together, joined one by one in plain NumPy."""
    side, frames = 20, np.random.default_rng(0).integers(0, 256, [3, 20, 20, 3], np.uint8)
    model = build_model(tiny_config(extractor=extractor, lsp_layers=(0,), num_keypoints=4), side, 3)
    detector = KeypointDetector(model)
    gains, centers = detector.gains(frames), detector.detect(frames)
    maps = detector.error_maps(frames)
    if extractor == "pursuit":
        maps = model.extractor.layer.pursued(pursuit.to_cells(maps, 2)).numpy()
    else:
        maps = pursuit.smooth(pursuit.to_cells(maps, 2)).numpy()
    grid = pursuit.cell_coordinates(side, 2)
    std, union = model.config.pointnet.gauss_std, np.zeros_like(maps)
    for y, x in np.moveaxis(centers, 1, 0).transpose(0, 2, 1):
        squared = (grid[:, None] - y[:, None, None]) ** 2 + (grid - x[:, None, None]) ** 2
        union += (1 - union) * np.exp(-squared / std**2)
    falls = (maps**2).mean((1, 2)) - ((maps - union) ** 2).mean((1, 2))
    assert gains.shape == (3, 4) and np.ptp(gains) > 0
    np.testing.assert_allclose(gains.sum(1), falls, atol=1e-6)
    assert detector.gains(frames[0]).shape == (4,) and detector.gains(frames[:0]).shape == (0, 4)
