"""The losses against values worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from permakey_tf.ops import losses


def elbo(reduction):
    images = tf.zeros([2, 2, 2, 1])
    reconstructions = tf.constant(0.3, shape=[2, 2, 2, 1])
    posterior = tfd.MultivariateNormalDiag(tf.ones([2, 3]), 2.0 * tf.ones([2, 3]))
    return losses.negative_elbo(images, reconstructions, posterior, 0.1, reduction)


def test_elbo_by_hand():
    # Per value: 0.3^2 / (2 * 0.1) + log(2 pi 0.1) / 2; KL per latent: (4 + 1 - 1)/2 - log 2.
    per_value = 0.45 + 0.5 * np.log(2 * np.pi * 0.1)
    kl = 3 * (2.0 - np.log(2.0))
    for reduction, factor in (("sum", 4), ("mean", 1)):
        result = elbo(reduction)
        assert result.negative_log_likelihood.numpy() == pytest.approx(factor * per_value, rel=1e-5)
        assert result.kl.numpy() == pytest.approx(kl, rel=1e-5)
        assert result.loss.numpy() == pytest.approx(factor * per_value + kl, rel=1e-5)


def test_kl_of_the_prior_is_zero():
    posterior = tfd.MultivariateNormalDiag(tf.zeros([1, 4]), tf.ones([1, 4]))
    image = tf.zeros([1, 2, 2, 1])
    assert losses.negative_elbo(image, image, posterior, 0.1, "sum").kl.numpy() == pytest.approx(0)


def test_spatial_prediction_by_hand():
    features = tf.constant([[[[1.0], [2.0]], [[3.0], [4.0]]]])  # one 2x2 patch, mean 2.5
    predicted = tf.constant([[[[1.0, 2.0, 3.0, 8.0]]]])  # squared error 16 / 4 values
    plain = losses.spatial_prediction(features, predicted, 2, "none")
    relative = losses.spatial_prediction(features, predicted, 2, "relative")
    assert plain.loss.numpy() == relative.loss.numpy() == pytest.approx(4.0)
    assert plain.error_map.numpy().item() == pytest.approx(4.0)
    assert relative.error_map.numpy().item() == pytest.approx(4.0 / 2.501)


def test_padding_of_odd_maps_is_not_predicted():
    features = tf.ones([1, 3, 3, 2])
    predicted = np.full([1, 2, 2, 8], 3.0, np.float32)  # error 4 wherever it counts
    result = losses.spatial_prediction(features, predicted, 2, "relative")
    assert result.loss.numpy() == pytest.approx(4.0)
    np.testing.assert_allclose(result.error_map, np.full([1, 2, 2], 4.0 / 1.001), rtol=1e-5)


def test_loss_is_the_mean_squared_error_over_frames_locations_and_features():
    rng = np.random.default_rng(0)
    features = rng.normal(size=[3, 5, 5, 2]).astype(np.float32)
    predicted = rng.normal(size=[3, 3, 3, 8]).astype(np.float32)
    canvas = predicted.reshape(3, 3, 3, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(3, 6, 6, 2)
    expected = np.mean((canvas[:, :5, :5] - features) ** 2)
    result = losses.spatial_prediction(features, predicted, 2, "none")
    assert result.loss.numpy() == pytest.approx(expected, rel=1e-5)


def test_the_overlap_of_windows_costs_nothing_with_a_weight_of_0():
    """Neither a gradient, be it of NaN, nor the operations that would compute it."""
    maps, windows = tf.zeros([1, 4, 4, 1]), tf.random.uniform([1, 4, 4, 3])

    def operations(weight):
        @tf.function
        def gradient(windows):
            with tf.GradientTape() as tape:
                tape.watch(windows)
                loss = losses.map_reconstruction(maps, windows, "sum", weight).loss
            return tape.gradient(loss, windows)

        return len(gradient.get_concrete_function(windows).graph.get_operations())

    assert operations(0.0) < operations(0.5)


def test_map_reconstruction_by_hand():
    maps = tf.constant([[[[1.0, 0.0]]]])  # one pixel, two maps
    windows = tf.constant([[[[0.5, 0.5]]]])  # sum 1, union 0.75, overlap 0.25
    by_sum = losses.map_reconstruction(maps, windows, "sum", 0.0)
    union = losses.map_reconstruction(maps, windows, "union", 2.0)
    assert by_sum.loss.numpy() == pytest.approx((0.0 + 1.0) / 2)
    assert union.error.numpy() == pytest.approx((0.0625 + 0.5625) / 2)
    assert union.overlap.numpy() == pytest.approx(0.25)
    assert union.loss.numpy() == pytest.approx(0.3125 + 0.5)
