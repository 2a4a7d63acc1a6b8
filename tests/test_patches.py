"""Patches gathered from feature maps; a random share of them, and what is estimated from it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from support import tiny_config, write_store

from permakey_tf.configs.keypoints import LoggingConfig, LSPNConfig
from permakey_tf.models.lspn import LSPN, LSPNs
from permakey_tf.models.permakey import PermaKey
from permakey_tf.ops import patches, spatial
from permakey_tf.runs.keypoints import FrameSpec, KeypointFolder
from permakey_tf.training.keypoints import KeypointTrainer

SEED = tf.constant([3, 5])


def random_patches(side, share):
    return patches.RandomPatches(spatial.patch_mask(side, side, 2), share)


@pytest.mark.parametrize(("side", "share"), [(8, 0.3), (8, 1.0), (9, 0.4), (9, 0.01), (9, 1.0)])
def test_drawn_patches(side, share):
    """None twice, whole ones first, as many of both as the share says, but one at least."""
    whole = spatial.patch_mask(side, side, 2).all(-1).ravel()
    drawing = random_patches(side, share)
    cells = drawing.draw(6, SEED).numpy()
    expected = [max(round(share * count), 1) for count in (whole.sum(), (~whole).sum()) if count]
    assert cells.shape == (6, sum(expected)) and drawing.weights.shape == (sum(expected),)
    assert drawing.num_whole == (None if whole.all() else expected[0])
    for frame in cells:
        assert len(set(frame)) == len(frame)
        assert whole[frame[: expected[0]]].all() and not whole[frame[expected[0] :]].any()
    # A patch stands for those of its kind that were not drawn.
    assert drawing.weights[: expected[0]].sum() == pytest.approx(whole.sum())
    assert drawing.weights.sum() == pytest.approx(len(whole))


def test_every_patch_is_equally_likely():
    drawing = random_patches(9, 0.25)  # 4 of 16 whole ones, 2 of 9
    counts = np.bincount(drawing.draw(4000, SEED).numpy().ravel(), minlength=25) / 4000
    whole = spatial.patch_mask(9, 9, 2).all(-1).ravel()
    np.testing.assert_allclose(counts, np.where(whole, 4 / 16, 2 / 9), atol=0.03)  # 4 deviations


def test_what_a_frame_draws_depends_on_the_seed_and_its_number_alone():
    drawing = random_patches(9, 0.3)
    cells = drawing.draw(5, SEED).numpy()
    np.testing.assert_array_equal(drawing.draw(3, SEED), cells[:3])
    assert len({tuple(sorted(frame)) for frame in cells}) == 5
    assert not np.array_equal(drawing.draw(5, SEED + 1), cells)


def make_networks(share, size, **changes):
    tf.keras.utils.set_random_seed(0)
    config = LSPNConfig(lsp_layers=(0,), lsp_hidden_sizes=(6, 5), lsp_sample=share, **changes)
    networks = LSPNs(config, [2], momentum=0.5)
    networks([tf.zeros([1, size, size, 2])])
    return networks


def losses_and_gradients(networks, compute):
    with tf.GradientTape() as tape:
        (loss,) = compute()
    return [loss, *tape.gradient(loss, networks.trainable_variables)]


@pytest.mark.parametrize(("size", "share", "number"), [(4, 0.5, 6), (5, 0.25, 4 * 5)])
def test_the_mean_over_all_draws_is_the_whole_loss(size, share, number, monkeypatch):
    """Of the same predictions, and of its gradients: every subset of a small map, once."""
    after = LSPN._after_first  # with the statistics of inference: a subset has its own
    monkeypatch.setattr(LSPN, "_after_first", lambda self, x, training, extent: after(self, x))
    networks = make_networks(share, size)
    features = [tf.random.stateless_uniform([2, size, size, 2], [0, 1])]
    whole = losses_and_gradients(networks, lambda: [networks(features)[0].loss])
    inside = spatial.patch_mask(size, size, 2).all(-1).ravel()
    kinds = [np.flatnonzero(inside), np.flatnonzero(~inside)]
    subsets = [itertools.combinations(kind, round(share * len(kind))) for kind in kinds]
    total, draws = [0.0] * len(whole), list(itertools.product(*subsets))
    assert len(draws) == number
    for draw in draws:
        cells = np.array([sum(draw, ())] * 2, np.int32)  # of both frames
        monkeypatch.setattr(patches.RandomPatches, "draw", lambda *_, cells=cells: cells)
        one = losses_and_gradients(networks, lambda: networks.sampled_losses(features, SEED))
        total = [a + tf.convert_to_tensor(b) for a, b in zip(total, one, strict=True)]
    for mean, expected in zip(total, whole, strict=True):
        np.testing.assert_allclose(mean / len(draws), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "patch_size"), [(6, 2), (7, 2), (7, 3)])
def test_all_patches_drawn_are_a_step_of_all_patches(size, patch_size):
    """Loss, gradients, moving statistics, whatever the order; a border that cuts patches, too."""
    features = [tf.random.stateless_uniform([3, size, size, 2], [0, 1])]
    results = []
    for sampled in (False, True):
        networks = make_networks(1.0, size, patch_size=patch_size)

        def compute(networks=networks, sampled=sampled):
            if sampled:
                return networks.sampled_losses(features, SEED)
            return [networks(features, training=True)[0].loss]

        found = losses_and_gradients(networks, compute)
        results.append(found + [v.numpy() for v in networks.non_trainable_variables])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def step_losses(share, training=True, **changes):
    tf.keras.utils.set_random_seed(0)
    model = PermaKey(tiny_config(lsp_sample=share, **changes), 20, 3)
    images = tf.random.stateless_uniform([4, 20, 20, 3], [0, 1])
    return model.compute_losses(images, SEED, training)


def test_only_training_is_by_part_and_the_vae_sees_nothing_of_it():
    part, whole = step_losses(0.3), step_losses(1.0)
    assert part.by_module["vae"] == whole.by_module["vae"]
    one, other = float(part.by_module["lspn"]), float(whole.by_module["lspn"])
    assert one != other and one == pytest.approx(other, rel=0.1)
    assert part.metrics.keys() == whole.metrics.keys()
    held_out = step_losses(0.3, training=False), step_losses(1.0, training=False)
    assert held_out[0].selection == held_out[1].selection


def test_a_step_learns_and_no_gradient_passes_through_the_gather(tmp_path):
    config = tiny_config(extractor="pursuit", lsp_sample=0.3, learning_rate=1e-2)
    store = write_store(tmp_path / "store")
    folder = KeypointFolder(tmp_path / "run", config, FrameSpec.of(store))
    trainer = KeypointTrainer(folder, store, LoggingConfig())
    frames = tf.constant(store.frames[:4])
    errors = []
    for step in range(8):
        losses, _ = trainer.train_step(frames, tf.constant(step))
        errors.append(float(losses["lspn"]))
    assert errors[-1] < 0.9 * errors[0]
    graph = trainer.train_step.get_concrete_function(frames, tf.constant(0)).graph
    found = {one.type for one in graph.get_operations()}
    assert {"GatherV2", "TopKV2"} <= found
    assert not [name for name in found if "Scatter" in name or "SegmentSum" in name]
