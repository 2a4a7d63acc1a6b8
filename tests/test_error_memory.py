"""Error maps that are brought up to date equal those that are computed anew."""

import numpy as np
import pytest
import tensorflow as tf
from support import tiny_config

from permakey_tf.configs.keypoints import Stack
from permakey_tf.models.error_memory import changed_pixels, receptive_field
from permakey_tf.models.permakey import PermaKey
from permakey_tf.ops.images import to_images

SIZE = 20


def make_model(**changes):
    tf.keras.utils.set_random_seed(0)
    return PermaKey(tiny_config(extractor="pursuit", **changes), SIZE, 3)


def anew(model, frames):
    """The error maps of frames alone, one [B, h, w] for each layer, not normalised."""
    last = max(model.config.lspn.lsp_layers)
    return model._predict(model._encode(to_images(frames), last))


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
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_maps_of_a_film_equal_those_of_its_frames(settings):
    model = make_model(**settings)
    memory = model.initial_memory(3)
    for frames in film():
        sensed, memory = step(model, frames, memory)
        for kept, alone in zip(memory.maps, anew(model, frames), strict=True):
            assert np.std(alone) > 0
            np.testing.assert_allclose(kept, alone, rtol=1e-4, atol=1e-6)
        keypoints, features = model.perceive(to_images(frames))
        np.testing.assert_allclose(
            model.locate(sensed.evidence).centers_yx, keypoints.centers_yx, atol=1e-4
        )
        np.testing.assert_allclose(sensed.features, features, atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_changed_pixel_changes_no_error_outside_its_patches(settings):
    """Every pixel in turn: exactly as many patches as the receptive field reaches, none missed."""
    model = make_model(**settings)
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, [1, SIZE, SIZE, 3], np.uint8)
    before = [one.numpy() for one in anew(model, frame)]
    for row, column in [(0, 0), (0, 19), (19, 0), (19, 19), (7, 8), (8, 7), (11, 19), (10, 10)]:
        other = frame.copy()
        other[0, row, column] ^= 128
        changed = np.any(other != frame, axis=-1)
        after = anew(model, other)
        for errors, old, new in zip(model._errors, before, after, strict=True):
            flags = errors._depends(changed[0])
            moved = np.abs(old - new.numpy())[0] > 1e-7 * np.abs(old).max()
            assert moved.any() and not (moved & ~flags).any()


def test_only_what_has_changed_is_predicted_and_rows_are_filled_up():
    model = make_model(lsp_layers=(0,))
    errors = model._errors[0]
    nothing = errors.changed_patches(np.zeros([2, SIZE, SIZE], bool))
    np.testing.assert_array_equal(nothing.cells, np.zeros(64))
    everything = errors.changed_patches(np.ones([2, SIZE, SIZE], bool))
    np.testing.assert_array_equal(everything.cells[:200], np.arange(200))  # 2 * 10 * 10
    assert len(everything.cells) == 256 and not everything.cells[200:].any()
    one = np.zeros([2, SIZE, SIZE], bool)
    one[1, 9, 9] = True
    cells = errors.changed_patches(one).cells
    rows, columns = np.divmod(cells[cells > 0] - 100, 10)
    # A kernel of 4 sees from 1 before to 2 after; patches of 2 depend on 3 patches' features.
    assert set(rows) == set(columns) == {2, 3, 4, 5, 6} - ({2} if 2 not in rows else set())


@pytest.mark.parametrize(
    ("kernel_sizes", "strides", "layer", "patch_size", "side", "expected"),
    [
        ((1,), (1,), 0, 1, 8, (1, 3, 1)),  # the pixel and its neighbours
        ((1,), (1,), 0, 2, 8, (2, 6, 2)),
        ((3,), (1,), 0, 2, 8, (3, 8, 2)),
        ((4,), (1,), 0, 2, 84, (3, 9, 2)),  # SAME pads an even kernel more behind than before
        ((4, 3), (1, 2), 1, 2, 84, (5, 16, 4)),  # of an even side, a stride pads behind alone
    ],
)
def test_receptive_field_by_hand(kernel_sizes, strides, layer, patch_size, side, expected):
    stack = Stack((1,) * len(strides), kernel_sizes, strides)
    assert receptive_field(stack, layer, patch_size, side) == expected


def test_changed_pixels():
    model = make_model()
    memory = model.initial_memory(2)
    frames = np.zeros([2, SIZE, SIZE, 3], np.uint8)
    assert changed_pixels(frames, memory).all()  # of a black frame that is the first one
    memory = memory._replace(known=np.array([True, False]))
    frames[0, 3, 4, 2] = 1
    changed = changed_pixels(frames, memory)
    assert np.argwhere(changed[0]).tolist() == [[3, 4]] and changed[1].all()
