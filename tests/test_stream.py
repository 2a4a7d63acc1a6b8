"""A stream finds what the whole frame has, at the cost of what has changed."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from support import refuses, tiny_config

from permakey_tf.detector import KeypointDetector
from permakey_tf.models.build import build_model
from permakey_tf.stream import StreamGraph

SIZE = 20


@functools.cache
def make_detector(keep_aspect=False, channels=3, **changes):
    tf.keras.utils.set_random_seed(0)
    config = tiny_config(
        **{"extractor": "pursuit", "num_keypoints": 2, "lsp_layers": (0,)} | changes
    )
    return KeypointDetector(build_model(config, SIZE, channels), keep_aspect)


def random_edits(rng, shape, number=6):
    """Frames that differ from the one before in one rectangle of noise, anywhere, of any size."""
    frame = rng.integers(0, 256, shape, np.uint8)
    for _ in range(number):
        frame = frame.copy()
        sides = [int(rng.integers(1, side // 2)) for side in shape[:2]]
        top, left = (
            int(rng.integers(0, side - edit + 1)) for side, edit in zip(shape, sides, strict=False)
        )
        area = frame[top : top + sides[0], left : left + sides[1]]
        area[:] = rng.integers(0, 256, area.shape)
        yield frame


def film(shape=(SIZE, SIZE, 3)):
    """uint8 [T, H, W, C]: edits, one at a border, a frame twice, scrolling, and a cut."""
    rng = np.random.default_rng(1)
    frames = list(random_edits(rng, shape))
    frames.append(frames[-1].copy())
    frames[-1][-1, -1] ^= 255
    frames.append(frames[-1].copy())
    frames += [np.roll(frames[-1], (step, -1), (0, 1)) for step in (1, 2)]
    return np.stack([*frames, *random_edits(rng, shape, 3)])


def assert_same(found, expected):
    for part, other in zip(found, expected, strict=True):
        assert part.shape == other.shape and part.dtype == other.dtype
        np.testing.assert_allclose(part, other, atol=1e-5)


SETTINGS = [
    {"lsp_layers": (0, 1), "lsp_depth": "4-layer"},
    {"lsp_layers": (0, 1), "patch_size": 1, "lsp_error": "none"},
    {"lsp_layers": (1, 2), "patch_size": 3},
    {"lsp_layers": (0, 1), "extractor": "pointnet", "soft_argmax": "joint"},
    {"method": "transporter"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_film_frame_by_frame(settings):
    detector = make_detector(**settings)
    stream = detector.stream()
    for frame in film():
        assert_same(stream.update(frame), detector.keypoints(frame))


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        ((47, 31, 3), {}),
        ((9, 40, 3), {"keep_aspect": True, "channels": 1}),
    ],
    ids=str,
)
def test_frames_of_other_sizes_and_grey_ones(shape, model):
    detector = make_detector(**model)
    stream = detector.stream()
    for frame in film(shape):
        assert_same(stream.update(frame), detector.keypoints(frame))


def test_a_stream_goes_on_where_frames_change_their_size():
    detector = make_detector(keep_aspect=True)
    stream, rng = detector.stream(), np.random.default_rng(2)
    for shape in ((30, 20, 3), (20, 30, 3), (20, 20, 3)):
        frame = rng.integers(0, 256, shape, np.uint8)
        assert_same(stream.update(frame), detector.keypoints(frame))


def test_only_what_has_changed_is_computed(monkeypatch):
    detector = make_detector(lsp_layers=(0, 1))
    looked = []
    look = StreamGraph.step
    monkeypatch.setattr(
        StreamGraph,
        "step",
        lambda self, frame, memory: (
            looked.append([len(set(cells.places)) for cells in self.model.news(frame, memory)])
            or look(self, frame, memory)
        ),
    )
    stream = detector.stream()
    frame = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    found = stream.update(frame)
    assert_same(stream.update(frame.copy()), found)
    frame[0, 0] ^= 1
    stream.update(frame)
    stream.reset()
    stream.update(frame)
    # Features and error maps of both layers; nothing where the frame is the one before.
    everything = [20 * 20, 10 * 10, 10 * 10, 5 * 5]
    assert looked == [everything, [2 * 2, 1, 2 * 2, 2 * 2], everything]


def test_a_new_scene_is_computed_whole_and_a_small_change_is_not(monkeypatch):
    detector = make_detector(lsp_layers=(0, 1))
    frame = film()[0]
    wholes = []
    graph = StreamGraph(detector.model)
    whole = graph._whole
    monkeypatch.setattr(graph, "_whole", lambda frame: wholes.append(True) or whole(frame))
    memory = detector.model.initial_memory(1)
    dotted, halved = frame.copy(), frame.copy()
    dotted[3, 3] ^= 255
    halved[: SIZE // 2] ^= 255
    for seen, count in ((frame, 1), (dotted, 1), (halved, 1), (255 - halved, 2)):
        found, memory = graph.step(seen[None], memory)
        assert_same([part[0] for part in found], detector.keypoints(seen))
        assert len(wholes) == count


def test_streams_know_nothing_of_each_other():
    detector = make_detector()
    one, other = detector.stream(), detector.stream()
    frames = film()
    for frame, unlike in zip(frames, frames[::-1], strict=True):
        assert_same(one.update(frame), detector.keypoints(frame))
        assert_same(other.update(unlike), detector.keypoints(unlike))


def test_frames_and_results_are_the_callers():
    """Who gives frames may write the next into the same array, and change what was found."""
    detector = make_detector()
    stream, buffer = detector.stream(), np.zeros((SIZE, SIZE, 3), np.uint8)
    for frame in film():
        buffer[:] = frame
        expected = detector.keypoints(frame)
        for _ in range(2):
            found = stream.update(buffer)
            assert_same(found, expected)
            for part in found:
                part[:] = -7


def test_weights_of_a_model_that_is_trained_on():
    """After a reset, a stream sees with the weights that the model has by then."""
    detector = make_detector(num_keypoints=1)
    stream, frame = detector.stream(), film()[0]
    before = stream.update(frame)
    for variable in detector.model.variables:
        variable.assign(variable * 0.7 + 0.01)
    stream.reset()
    after = stream.update(frame)
    assert_same(after, detector.keypoints(frame))
    assert np.abs(after.centers_yx - before.centers_yx).max() > 1e-3


def test_tracking_has_the_order_of_track():
    detector, frames = make_detector(keep_aspect=True, num_keypoints=3), film((30, 20, 3))
    tracked = detector.track(frames, np.arange(len(frames)) // 7)
    for stream in (detector.stream(track=True), detector.tracker()):
        for row, frame in enumerate(frames):
            if row and row % 7 == 0:
                stream.reset()
            assert_same(stream.update(frame), [part[row] for part in tracked])
    assert (tracked.centers_yx != detector.keypoints(frames).centers_yx).any()


def test_what_is_no_frame_is_refused_and_nothing_forgotten():
    detector = make_detector()
    stream, frames = detector.stream(), film()
    stream.update(frames[0])
    for wrong, words in (
        (frames, ["one frame", "[H, W, 3]", "KeypointDetector.keypoints"]),
        (frames[0] / 255.0, ["uint8", "float64"]),
        (np.zeros((4, 4, 2), np.uint8), ["uint8", "[4, 4, 2]"]),
        (frames[0, ..., 0], ["grey", "frames[..., None]"]),
        ([[1], [1, 2]], ["frames", "one array"]),
    ):
        with refuses(*words):
            stream.update(wrong)
    assert_same(stream.update(frames[1]), detector.keypoints(frames[1]))
    with refuses("track", "True or False"):
        detector.stream(track="yes")


FRAMES = np.zeros([4, 24, 30, 3], np.uint8)


@pytest.mark.parametrize(
    ("frames", "remedy"),
    [
        (FRAMES[..., 0], "frames[..., None]"),
        (FRAMES[0, ..., 0], "frames[..., None]"),
        (FRAMES / 255, "(frames * 255).astype(np.uint8)"),
        (FRAMES.astype(int), "frames.astype(np.uint8)"),
        (FRAMES.transpose(0, 3, 1, 2), "np.moveaxis(frames, -3, -1)"),
        ([FRAMES[0], FRAMES[1, :5]], "one size"),
    ],
)
def test_how_to_make_frames_of_what_is_none_is_told(frames, remedy):
    with refuses(remedy):
        make_detector().detect(frames)


@pytest.mark.parametrize(
    "settings",
    [{}, {"extractor": "pointnet"}, {"method": "transporter"}],
    ids=["pursuit", "pointnet", "transporter"],
)
def test_in_bfloat16_too(settings):
    detector = make_detector(precision="bfloat16", **settings)
    frames = film()
    found = detector.keypoints(frames)
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in found)
    one = detector.stream().update(frames[0])  # nothing to be updated: the same graph's values
    np.testing.assert_allclose(one.centers_yx, found.centers_yx[0], atol=0.05)
    tracked = detector.track(frames)
    assert tracked.centers_yx.shape == found.centers_yx.shape


def test_grey_frames_with_a_channel_are_taken():
    grey = make_detector(channels=1)
    assert grey.detect(FRAMES[..., :1]).shape == (4, 2, 2)
