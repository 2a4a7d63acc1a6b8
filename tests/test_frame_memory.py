"""Error maps that are brought up to date equal those that are computed anew."""

import numpy as np
import pytest
import tensorflow as tf
from support import tiny_config

from permakey_tf.models.frame_memory import changed_pixels
from permakey_tf.models.permakey import PermaKey
from permakey_tf.ops.changes import changes_before
from permakey_tf.ops.images import to_images

SIZE = 20


def make_model(**changes):
    tf.keras.utils.set_random_seed(0)
    return PermaKey(tiny_config(**{"extractor": "pursuit"} | changes), SIZE, 3)


def anew(model, frames):
    """Features of each layer [B, H, W, C] and error maps [B, h, w] of frames alone."""
    features = model._encode(to_images(frames), model._depth - 1)
    return [*features, *model._predict(features)]


def kept(model, maps):
    """The same of what is remembered."""
    features = [model._kept.features(maps, layer) for layer in range(model._depth)]
    return [*features, *model._kept.errors(maps)]


def step(model, frames, memory):
    sensed, maps = model.sense(frames, model.news(frames, memory), memory.maps)
    return sensed, memory._replace(known=np.ones(len(frames), bool), frames=frames, maps=maps)


def film(length=12, number=3):
    """uint8 [T, B, S, S, 3]: noise that stands still, and a dot of two pixels that runs."""
    rng = np.random.default_rng(0)
    background = rng.integers(0, 256, [number, SIZE, SIZE, 3])
    frames = np.repeat(background[None], length, axis=0).astype(np.uint8)
    for t in range(length):
        for game in range(number):
            row = (t * (game + 1)) % (SIZE - 1)
            frames[t, game, row : row + 2, (3 * t + game) % SIZE] = 255
    return frames


# Patches that cut the map, layers behind a stride, and several maps at once.
SETTINGS = [
    {"lsp_layers": (0,)},
    {"lsp_layers": (0, 1)},
    {"lsp_layers": (1,), "patch_size": 3},
    {"lsp_layers": (0, 2), "patch_size": 3, "lsp_error": "none"},
    {"lsp_layers": (0,), "lsp_depth": "4-layer", "patch_size": 1},
    {"lsp_layers": (0,), "feature_layer": 3, "extractor": "pointnet"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_maps_of_a_film_equal_those_of_its_frames(settings):
    model = make_model(**settings)
    memory = model.initial_memory(3)
    for frames in film():
        sensed, memory = step(model, frames, memory)
        for now, alone in zip(kept(model, memory.maps), anew(model, frames), strict=True):
            assert np.std(alone) > 0
            np.testing.assert_allclose(now, alone, rtol=1e-4, atol=1e-6)
        keypoints, images = model.locate(sensed.evidence), to_images(frames)
        np.testing.assert_allclose(keypoints.centers_yx, model(images).centers_yx, atol=1e-4)
        np.testing.assert_allclose(sensed.features, model.features(images), atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_changed_pixel_changes_no_error_outside_its_patches(settings):
    """Every pixel in turn: exactly as many patches as the receptive field reaches, none missed."""
    model = make_model(**settings)
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, [1, SIZE, SIZE, 3], np.uint8)
    before = [one.numpy() for one in anew(model, frame)]
    assert len(before) == len(model._kept.grids)
    for row, column in [(0, 0), (0, 19), (19, 0), (19, 19), (7, 8), (8, 7), (11, 19), (10, 10)]:
        other = frame.copy()
        other[0, row, column] ^= 128
        changed = np.any(other != frame, axis=-1)
        after = anew(model, other)
        for grid, old, new in zip(model._kept.grids, before, after, strict=True):
            flags = grid.depends(changes_before(changed))[0]
            moved = np.abs(old - new.numpy())[0] > 1e-7 * np.abs(old).max()
            moved = moved if moved.ndim == 2 else moved.any(-1)
            assert moved.any() and not (moved & ~flags).any()


def test_only_what_has_changed_is_predicted_and_rows_are_filled_up():
    model = make_model(lsp_layers=(0,))
    features, errors = model._kept.grids
    nothing = errors.changed_cells(changes_before(np.zeros([2, SIZE, SIZE], bool)))
    np.testing.assert_array_equal(nothing.places, np.zeros(16))
    everything = errors.changed_cells(changes_before(np.ones([2, SIZE, SIZE], bool)))
    np.testing.assert_array_equal(everything.places[:200], np.arange(200))  # 2 * 10 * 10
    assert len(everything.places) == 208 and not everything.places[200:].any()
    one = np.zeros([2, SIZE, SIZE], bool)
    one[1, 9, 9] = True
    sums = changes_before(one)
    cells = errors.changed_cells(sums).places
    rows, columns = np.divmod(cells[cells > 0] - 100, 10)
    # A kernel of 4 sees from 1 before to 2 after; patches of 2 depend on 3 patches' features.
    assert set(rows) == set(columns) == {2, 3, 4, 5, 6} - ({2} if 2 not in rows else set())
    places = features.changed_cells(sums).places  # 24 x 24: a patch of zeros on every side
    assert len(set(places[:16])) == 16 and not (places[16:] - places[-1]).any()
    rows, columns = np.divmod(places[:16] - 24 * 24, 24)
    assert set(rows) == set(columns) == {9, 10, 11, 12}  # of the map: 7 to 10


def test_changed_pixels():
    model = make_model()
    memory = model.initial_memory(2)
    frames = np.zeros([2, SIZE, SIZE, 3], np.uint8)
    assert changed_pixels(frames, memory).all()  # of a black frame that is the first one
    memory = memory._replace(known=np.array([True, False]))
    frames[0, 3, 4, 2] = 1
    changed = changed_pixels(frames, memory)
    assert np.argwhere(changed[0]).tolist() == [[3, 4]] and changed[1].all()
