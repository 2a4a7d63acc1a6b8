"""Markers sit where keypoints are."""

import numpy as np
import pytest

from permakey_tf.viz import overlay


def test_coordinates_to_pixels():
    centers = np.array([[-1, -1], [1, 1], [0, 0], [-1, 1]])
    expected = [[0, 0], [83, 159], [41.5, 79.5], [0, 159]]
    np.testing.assert_allclose(overlay.to_pixels(centers, 84, 160), expected)


@pytest.mark.parametrize("center", [(0.0, 0.0), (-0.5, 0.25), (0.6, -0.4)])
def test_a_ring_is_drawn_around_its_keypoint(center):
    frames = np.zeros([1, 50, 50, 3], np.uint8)
    drawn = overlay.draw_keypoints(frames, np.array([[center]]), magnify=3)
    assert drawn.shape == (1, 150, 150, 3)
    rows, columns = np.nonzero(np.all(drawn[0] == overlay.keypoint_colors(1)[0], axis=-1))
    middle = [(rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2]
    np.testing.assert_allclose(middle, overlay.to_pixels([center], 150, 150)[0], atol=0.6)
    assert rows.max() - rows.min() == pytest.approx(2 * 0.04 * 150, abs=3)
    y, x = np.round(middle).astype(int)
    assert np.all(drawn[0, y, x] == 0)  # open: what the keypoint is on stays visible
    assert np.all(frames == 0)


def test_every_keypoint_has_a_colour_and_neighbours_differ():
    colors = overlay.keypoint_colors(25)
    assert colors.shape == (25, 3)
    assert np.all(np.any(colors[1:] != colors[:-1], axis=1))


def test_heat_and_rgb():
    heat = overlay.heat(np.array([[0.0, 1.0]]))
    assert heat.shape == (1, 2, 3)
    assert heat[0, 0].sum() < 20
    assert heat[0, 1].sum() > 600
    grey = overlay.to_rgb(np.full([2, 4, 4, 1], 0.5))
    assert grey.shape == (2, 4, 4, 3)
    assert np.all(grey == 128)
