"""A detector as one file: the same keypoints, nothing else in it, refused when not whole."""

import hashlib

import keras
import numpy as np
import pytest
from support import moving_square, refuses, tiny_config

from permakey_tf.detector import KeypointDetector
from permakey_tf.models.build import build_model

FRAMES = moving_square(5, 20, 3, seed=1)
SETTINGS = {"permakey": {}, "transporter": {"method": "transporter"}}


def tiny_detector(**changes):
    """Untrained, but with moving statistics of its own: they count as weights."""
    model = build_model(tiny_config(**changes), 20, 3, seed=0)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if not isinstance(variable, keras.Variable) or variable.dtype == "float32":
            variable.assign(rng.uniform(0.1, 0.5, variable.shape))
    return KeypointDetector(model, keep_aspect=True)


@pytest.mark.parametrize("method", SETTINGS)
def test_finds_the_same_keypoints(tmp_path, method):
    detector = tiny_detector(**SETTINGS[method])
    path = tmp_path / "whole.npz"
    digest = detector.save(path, half=False)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = KeypointDetector.load(path, sha256=digest)
    assert loaded.config == detector.config
    wide = np.pad(FRAMES, [(0, 0), (0, 0), (5, 5), (0, 0)])  # padded where the aspect is kept
    np.testing.assert_array_equal(loaded.detect(wide), detector.detect(wide))
    if detector.error_map_layers:
        np.testing.assert_array_equal(loaded.error_maps(wide), detector.error_maps(wide))
    halved = tmp_path / "half.npz"
    detector.save(halved)
    close = KeypointDetector.load(halved).detect(wide)
    np.testing.assert_allclose(close, detector.detect(wide), atol=2e-2)
    assert halved.stat().st_size < 0.8 * path.stat().st_size


def test_holds_what_detection_reads_and_no_more(tmp_path):
    """By name: the encoder up to the last predicted layer, LSPN and PointNet."""
    tiny_detector(lsp_layers=(0,)).save(tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as arrays:
        names = [name.split("/")[2:] for name in arrays.files if name != "about"]
    assert {module for module, *_ in names} == {"vae", "lspn", "pointnet"}
    assert {tuple(rest[:2]) for module, *rest in names if module == "vae"} == {
        ("encoder", "block_0")
    }
    assert {rest[0] for module, *rest in names if module == "lspn"} == {"layer_0"}


def test_refusals(tmp_path):
    detector, path = tiny_detector(), tmp_path / "d.npz"
    detector.save(path)
    with refuses("SHA-256", "0" * 64, "anew"):
        KeypointDetector.load(path, sha256="0" * 64)
    with refuses("sha256", "compared"):
        KeypointDetector.load(tmp_path, sha256="0" * 64)
    with np.load(path) as arrays:
        content = dict(arrays)
    lost = next(name for name in content if name.startswith("weights/"))
    np.savez(tmp_path / "lost.npz", **{n: a for n, a in content.items() if n != lost})
    with refuses("lost.npz", "does not fit"):
        KeypointDetector.load(tmp_path / "lost.npz")
    np.savez(tmp_path / "other.npz", centers=np.zeros(3))
    with refuses("other.npz", "KeypointDetector.save"):
        KeypointDetector.load(tmp_path / "other.npz")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-100])
    with refuses("cut.npz", "damaged"):
        KeypointDetector.load(tmp_path / "cut.npz")
    for name in ("other.npz", "lost.txt"):
        (tmp_path / "lost.txt").write_text("notes")
        before = (tmp_path / name).read_bytes()
        with refuses(name, "is no detector's file", "another name"):
            detector.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    assert detector.save(path) == detector.save(path)  # its own kind is replaced
    huge = tiny_detector()
    huge.model.variables[0].assign(np.full(huge.model.variables[0].shape, 1e6))
    with refuses("half=False"):
        huge.save(tmp_path / "huge.npz")
    huge.model.variables[0].assign(np.full(huge.model.variables[0].shape, np.nan))
    with refuses("not finite", "diverged"):
        huge.save(tmp_path / "huge.npz", half=False)
    assert not (tmp_path / "huge.npz").exists()
