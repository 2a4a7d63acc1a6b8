"""Markers sit where keypoints are."""

import numpy as np
import pytest

from permakey_tf.types import Keypoints, View
from permakey_tf.viz import overlay, video


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


def change(confidence, number=1):
    """How much drawing keypoints of one confidence changes grey frames, in all."""
    frames = np.full([1, 84, 84, 3], 90, np.uint8)
    centers = np.linspace(-0.9, 0.9, 2 * number).reshape(1, number, 2)
    confidence = None if confidence is None else np.full([1, number], confidence)
    return np.abs(overlay.draw_keypoints(frames, centers, confidence).astype(int) - 90)


@pytest.mark.parametrize("number", [1, 9])  # the rings of nine have numbers
def test_the_surer_a_keypoint_is_the_plainer_it_is_drawn(number):
    opaque, faint = change(None, number), change(0.0, number)
    np.testing.assert_array_equal(change(1.0, number), opaque)
    np.testing.assert_array_equal(change(0.5, number), opaque)
    assert (faint > 0).sum() > 0.95 * (opaque > 0).sum()  # a faint one can still be seen
    totals = [change(confidence, number).sum() for confidence in (0, 0.05, 0.2, 0.4, 0.5)]
    assert totals == sorted(set(totals))
    assert totals[0] == pytest.approx(totals[-1] / 4, rel=0.1)


def test_how_opaque():
    centers = np.linspace(-1, 1, 10).reshape(1, 5, 2)
    opacity = overlay.opacities(centers, np.array([[0, 0.125, 0.32, 0.5, 1]]))
    np.testing.assert_allclose(opacity, [[0.25, 0.625, 0.85, 1, 1]])
    np.testing.assert_array_equal(overlay.opacities(centers, None), np.ones([1, 5]))


def test_faint_keypoints_at_one_place_do_not_add_up():
    centers = np.zeros([2, 4, 2])
    centers[1, 2] = 0.5
    opacity = overlay.opacities(centers, np.array([[0, 0, 0, 0], [0.5, 0, 0, 0]]))
    np.testing.assert_array_equal(opacity, [[0, 0, 0, 0.25], [1, 0, 0.25, 0]])


def test_contact_sheets_and_film_strips_show_confidence():
    frames, centers = np.zeros([2, 20, 20, 3], np.uint8), np.zeros([2, 1, 2])
    keypoints = Keypoints(centers, np.array([[0.0], [0.5]]))
    expected = np.concatenate(list(overlay.draw_keypoints(frames, *keypoints)), axis=1)
    sheets = overlay.summary_images(View(frames / 255, keypoints, {}))
    np.testing.assert_array_equal(sheets["keypoints"], expected)
    np.testing.assert_array_equal(overlay.film_strip(frames, keypoints), expected)
    left, right = np.split(expected, 2, axis=1)
    assert 0 < left.max() < right.max()


def test_contact_sheets_of_maps_stand_over_the_scale_of_their_colours():
    frames, maps = np.zeros([2, 20, 20, 3]), np.random.default_rng(0).random([2, 20, 20])
    keypoints = Keypoints(np.zeros([2, 1, 2]), np.ones([2, 1]))
    panels = {"error map": maps, "reconstruction": frames}
    sheets = overlay.summary_images(View(frames, keypoints, panels))
    assert sheets["panels/reconstruction"].shape == (60, 120, 3)
    sheet = sheets["panels/error_map"]
    side_by_side = overlay.heat(np.concatenate(list(maps), axis=1).repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(sheet[:60], side_by_side)
    np.testing.assert_array_equal(sheet[[-1, -1], [0, -1]], overlay.heat(np.array([0.0, 1.0])))
    assert (np.diff(sheet[-1].sum(axis=1, dtype=int)) >= -1).all()  # brighter to the right


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


@pytest.mark.parametrize("seed", range(8))
def test_what_is_drawn_on_a_part_is_what_is_drawn_on_the_whole_picture(seed, monkeypatch):
    """Trails, rings and numbers, at and beyond the edges too."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, [210, 220, 3], np.uint8)
    path = rng.uniform(-15, 235, [1, 9, 2]) + rng.normal(0, 9, [7, 9, 2]).cumsum(axis=0)
    opacity = rng.choice([0.0, 0.25, 0.6, 1.0], [7, 9])
    drawn = video.draw_trails(frame, path, opacity)
    monkeypatch.setattr(overlay, "around", lambda frame, points, margin: (frame, (0, 0)))
    np.testing.assert_array_equal(drawn, video.draw_trails(frame, path, opacity))
    assert (drawn != frame).any()
