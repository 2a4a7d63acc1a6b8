"""Moving bars: exactly five pixels wide, at fresh uniform positions."""

import numpy as np
import pytest

from permakey_tf.data.noise import BAR_COLOR, Bars, bar_positions, draw_bars, draw_bars_at

BLACK = np.zeros([400, 84, 84, 3], np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def covered(frames):
    """bool [B, S, S]: pixels of the bar's colour."""
    return np.all(frames == BAR_COLOR, axis=-1)


def test_vertical_bars_cover_five_whole_columns_side_by_side():
    mask = covered(draw_bars(BLACK, "vertical", rng()))
    columns = mask.all(axis=1)
    assert np.all(mask.sum((1, 2)) == 5 * 84)
    assert np.all(columns.sum(1) == 5)
    starts = columns.argmax(1)
    assert all(columns[i, s : s + 5].all() for i, s in enumerate(starts))


def test_horizontal_is_vertical_turned():
    vertical = covered(draw_bars(BLACK, "vertical", rng()))
    horizontal = covered(draw_bars(BLACK, "horizontal", rng()))
    np.testing.assert_array_equal(horizontal, vertical.transpose(0, 2, 1))


def test_both_draws_two_bars_at_independent_positions():
    mask = covered(draw_bars(BLACK, "both", rng()))
    assert np.all(mask.sum((1, 2)) == 2 * 5 * 84 - 25)
    left, top = mask.all(1).argmax(1), mask.all(2).argmax(1)
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.15


def test_positions_are_uniform_and_reach_both_edges():
    frames = np.zeros([8000, 84, 84, 1], np.uint8)
    starts = (draw_bars(frames, "vertical", rng())[:, 0, :, 0] > 0).argmax(1)
    counts = np.bincount(starts, minlength=80)
    assert len(counts) == 80  # 84 - 5 + 1 places
    expected = 8000 / 80
    assert np.sum((counts - expected) ** 2 / expected) < 125  # chi^2, 79 degrees, p = 0.0007


def test_frames_are_not_changed_and_the_rest_of_a_noisy_frame_is_the_frame():
    frames = rng(1).integers(0, 100, [5, 84, 84, 3]).astype(np.uint8)
    before = frames.copy()
    noisy = draw_bars(frames, "both", rng())
    np.testing.assert_array_equal(frames, before)
    outside = ~covered(noisy)
    np.testing.assert_array_equal(noisy[outside], before[outside])


def test_same_seed_same_bars_other_seed_other_bars():
    one, two, three = (draw_bars(BLACK, "both", rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.any(one != three)


def test_no_noise_is_the_frames_themselves():
    assert draw_bars(BLACK, "none", rng()) is BLACK


@pytest.mark.parametrize("noise", ["vertical", "horizontal", "both"])
def test_grey_bars_have_the_luma_of_the_colour(noise):
    noisy = draw_bars(np.zeros([3, 20, 20, 1], np.uint8), noise, rng())
    # 0.299 * 128 + 0.114 * 255 = 67.3
    assert set(np.unique(noisy)) == {0, 67}


@pytest.mark.parametrize("noise", ["none", "vertical", "horizontal", "both"])
def test_bars_lie_where_their_positions_say(noise):
    bars = bar_positions(400, 84, 84, noise, rng(3))
    assert (bars.left is not None) == (noise in ("vertical", "both"))
    assert (bars.top is not None) == (noise in ("horizontal", "both"))
    frames = draw_bars(BLACK, noise, rng(3))
    np.testing.assert_array_equal(frames, draw_bars_at(BLACK, bars))
    mask = covered(frames)
    if bars.left is not None:
        np.testing.assert_array_equal(mask.all(axis=1).argmax(1), bars.left)
    if bars.top is not None:
        np.testing.assert_array_equal(mask.all(axis=2).argmax(1), bars.top)


def test_the_random_stream_of_the_bars_stays_as_it_is():
    """A resumed run and a run scored again must see the same bars as before."""
    bars = bar_positions(3, 84, 84, "both", rng(0))
    np.testing.assert_array_equal(bars.left, [68, 50, 40])
    np.testing.assert_array_equal(bars.top, [21, 24, 3])
    assert bar_positions(3, 84, 84, "none", rng(0)) == Bars(None, None)
