"""Detectors as SavedModels: plain TensorFlow finds the keypoints that the detector finds."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf
from support import refuses, tiny_config

from permakey_tf.data.preparation import prepare_frame
from permakey_tf.detector import KeypointDetector
from permakey_tf.envs.atari import AtariGame
from permakey_tf.models.build import build_model
from permakey_tf.ops.images import prepare_frames

# (H, W): Atari's, others that shrink, whole ratios, one side or both growing.
SIZES = [(210, 160), (97, 230), (60, 40), (40, 40), (200, 200), (13, 50), (50, 13), (9, 7)]

SETTINGS = {
    "permakey": {},
    "pursuit": {"extractor": "pursuit"},
    "transporter": {"method": "transporter", "channels": 1, "keep_aspect": True},
}

PLAIN = """
import sys
import numpy as np
import tensorflow as tf
frames = np.load("frames.npz")
for name in sys.argv[1:]:
    model = tf.saved_model.load(name).signatures["serving_default"]
    found = {}
    for size in frames.files:
        for output, value in model(frames=tf.constant(frames[size])).items():
            found[f"{output}_{size}"] = value
    np.savez(f"{name}.npz", **found)
assert not [name for name in sys.modules if name.startswith("permakey_tf")]
"""


@pytest.fixture(scope="module")
def screens():
    """uint8 [3, 210, 160, 3]: screens of Ms. Pac-Man."""
    game = AtariGame("mspacman")
    game.reset(np.random.SeedSequence(0))
    rng = np.random.default_rng(0)
    played = [game.step(int(rng.integers(game.num_actions))).frame for _ in range(140)]
    return np.stack(played[80::20])  # before, the game waits


def resized(screens, height, width):
    """The screens as another camera would take them: sharp edges, no blur."""
    size, nearest = (width, height), cv2.INTER_NEAREST
    return np.stack([cv2.resize(frame, size, interpolation=nearest) for frame in screens])


def tiny_detector(channels=3, keep_aspect=False, **changes):
    config = tiny_config(soft_argmax="joint", logit_scale=30, **changes)
    model = build_model(config, 20, channels, config.training.seed)
    return KeypointDetector(model, keep_aspect)


class TestPreparation:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("keep_aspect", [False, True])
    def test_the_bytes_are_those_of_opencv(self, screens, channels, keep_aspect):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
        def prepare(frames):
            return prepare_frames(frames, 20, channels, keep_aspect)

        rng = np.random.default_rng(0)
        for height, width in SIZES:
            noise = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
            few_levels = noise // 64 * 60  # many means that are half a level
            frames = np.concatenate([resized(screens, height, width), noise, few_levels])
            expected = [prepare_frame(frame, 20, channels, keep_aspect) for frame in frames]
            np.testing.assert_array_equal(prepare(frames), expected, err_msg=f"{height}x{width}")

    def test_no_frames(self):
        assert prepare_frames(tf.zeros([0, 5, 7, 3], tf.uint8), 20, 3).shape == (0, 20, 20, 3)


@pytest.fixture(scope="module")
def exported(screens, tmp_path_factory):
    """Per setting: the detector, and what plain TensorFlow makes of frames {size: [3, H, W, 3]}."""
    path = tmp_path_factory.mktemp("exported")
    frames = {f"{height}x{width}": resized(screens, height, width) for height, width in SIZES}
    np.savez(path / "frames.npz", **frames)
    detectors = {name: tiny_detector(**settings) for name, settings in SETTINGS.items()}
    for name, detector in detectors.items():
        detector.export(path / name)
    subprocess.run([sys.executable, "-c", PLAIN, *detectors], cwd=path, check=True)
    return frames, {
        name: (detector, np.load(path / f"{name}.npz")) for name, detector in detectors.items()
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_plain_tensorflow_finds_what_the_detector_finds(exported, name):
    frames, outcomes = exported
    detector, outputs = outcomes[name]
    has_maps = name != "transporter"
    # What is compared depends on the frame.
    assert detector.detect(frames["210x160"]).std(axis=0).max() > 1e-3
    for size, images in frames.items():
        centers, confidence = detector.keypoints(images)
        np.testing.assert_allclose(outputs[f"centers_{size}"], centers, atol=1e-4)
        np.testing.assert_allclose(outputs[f"confidence_{size}"], confidence, atol=1e-4)
        assert (f"error_maps_{size}" in outputs) == has_maps
        if has_maps:
            maps = detector.error_maps(images)
            np.testing.assert_allclose(outputs[f"error_maps_{size}"], maps, atol=1e-4)


@pytest.mark.parametrize("name", SETTINGS)
def test_no_frames_give_no_keypoints(exported, tmp_path, name):
    """As `detect`: the convolutions of oneDNN have a wrong shape then."""
    detector, outputs = exported[1][name]
    detector.export(tmp_path / "model")
    model = tf.saved_model.load(str(tmp_path / "model"))
    found = model.signatures["serving_default"](frames=tf.zeros([0, 21, 16, 3], tf.uint8))
    assert {f"{output}_210x160": value.shape[1:] for output, value in found.items()} == {
        output: outputs[output].shape[1:] for output in outputs if output.endswith("_210x160")
    }
    assert all(value.shape[0] == 0 for value in found.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_litert_finds_the_same(exported, tmp_path, name):
    """With LiteRT's own operations, which lack some types that TensorFlow's have."""
    frames, outcomes = exported
    detector, outputs = outcomes[name]
    detector.export(tmp_path / "model")
    content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "model")).convert()
    find = tf.lite.Interpreter(model_content=content).get_signature_runner("serving_default")
    for size in ("210x160", "13x50"):
        found = find(frames=frames[size])
        assert ("error_maps" in found) == (name != "transporter")
        for output, value in found.items():
            np.testing.assert_allclose(value, outputs[f"{output}_{size}"], atol=1e-4)


def test_only_what_finds_keypoints_is_exported(exported, tmp_path):
    detector, _ = exported[1]["permakey"]
    detector.export(tmp_path / "model")
    listed = tf.train.list_variables(str(tmp_path / "model" / "variables" / "variables"))
    read = [shape for name, shape in listed if name.startswith("variables_read")]
    assert 0 < len(read) < len(detector.model.variables)
    assert len(read) == len(listed) - 1  # and TensorFlow's list of objects


def test_a_place_that_cannot_be_written_is_named(exported, tmp_path):
    detector, _ = exported[1]["transporter"]
    (tmp_path / "model").mkdir()
    with refuses(tmp_path / "model", "exists"):
        detector.export(tmp_path / "model")
    (tmp_path / "file").write_text("")
    with refuses(tmp_path / "file"):
        detector.export(tmp_path / "file" / "model")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "model"]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_model_itself_is_for_frames_that_are_prepared_already(exported, name):
    frames, outcomes = exported
    detector, _ = outcomes[name]
    images = [
        prepare_frame(frame, 20, detector.channels, SETTINGS[name].get("keep_aspect", False))
        for frame in frames["210x160"]
    ]
    found = detector.model(np.stack(images).astype(np.float32) / 255)
    expected = detector.keypoints(np.stack(images))
    for part, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, value, atol=1e-5)
