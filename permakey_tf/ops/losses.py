"""The three losses of PermaKey: ELBO, local spatial prediction, error-map reconstruction."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from permakey_tf.ops import spatial


class ELBO(NamedTuple):
    """float32 [] each: mean over the batch of the negative ELBO and of its two terms."""

    loss: tf.Tensor
    negative_log_likelihood: tf.Tensor
    kl: tf.Tensor


def negative_elbo(images, reconstructions, posterior, variance: float, reduction: str) -> ELBO:
    """Negative evidence lower bound with a Gaussian likelihood and the prior N(0, I) (eq. 1).

    Args:
      images, reconstructions: float32 [B, S, S, C] in [0, 1].
      posterior: tfd distribution with batch shape [B] and event shape [D].
      variance: of the likelihood of each pixel value.
      reduction: over the pixel values of a frame: "sum" is eq. 1; "mean" (authors' code) gives
        the KL term the weight S*S*C against eq. 1.
    """
    likelihood = tfd.Normal(reconstructions, variance**0.5)
    per_value = -likelihood.log_prob(images)  # [B, S, S, C]
    reduce = {"sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction]
    negative_log_likelihood = tf.reduce_mean(reduce(per_value, axis=(1, 2, 3)))
    prior = tfd.MultivariateNormalDiag(tf.zeros(posterior.event_shape))
    kl = tf.reduce_mean(posterior.kl_divergence(prior))
    return ELBO(negative_log_likelihood + kl, negative_log_likelihood, kl)


class SpatialPrediction(NamedTuple):
    """loss: float32 []; error_map: float32 [B, ceil(H/p), ceil(W/p)], not negative."""

    loss: tf.Tensor
    error_map: tf.Tensor


def spatial_prediction(
    features: tf.Tensor, predicted: tf.Tensor, patch_size: int, error: str
) -> SpatialPrediction:
    """Mean squared error of the predicted patches, and its map (ICLR eq. 2).

    Args:
      features: [B, H, W, C], the true features.
      predicted: [B, ceil(H/p), ceil(W/p), p*p*C].
      patch_size: p.
      error: "relative" divides the map by the mean of a patch's true features + 1e-3 (authors'
        code); "none" does not. The loss is the same for both.
    """
    _, height, width, _ = features.shape
    target = spatial.to_patches(features, patch_size)  # [B, h, w, ppC]
    inside = spatial.patch_mask(height, width, patch_size)  # [h, w, pp]
    sums, error_map = patch_errors(target, predicted, inside, error)
    num_values = inside.sum() * features.shape[-1]
    return SpatialPrediction(
        tf.reduce_mean(tf.reduce_sum(sums, axis=(1, 2))) / num_values, error_map
    )


def patch_errors(target, predicted, inside, error: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Squared errors of patches: their sums, and their means, as `spatial_prediction`'s map.

    Args:
      target, predicted: [..., p*p*C].
      inside: float32 [..., p*p], 1 where a patch's position lies inside the map: what pads it is
        not to be predicted.
      error: as in `spatial_prediction`.

    Returns:
      float32 [...] each.
    """
    target = tf.cast(target, tf.float32)
    channels = target.shape[-1] // inside.shape[-1]
    squared = tf.square(tf.cast(predicted, tf.float32) - target)
    if not isinstance(inside, np.ndarray) or not inside.all():
        squared *= tf.repeat(inside, channels, axis=-1)
    sums = tf.reduce_sum(squared, axis=-1)
    num_values = inside.sum(-1) if isinstance(inside, np.ndarray) else tf.reduce_sum(inside, -1)
    num_values = num_values * channels
    means = sums / num_values
    if error == "relative":
        means /= tf.reduce_sum(target, axis=-1) / num_values + 1e-3
    return sums, means


class MapReconstruction(NamedTuple):
    """float32 [] each: loss = error + overlap_weight * overlap."""

    loss: tf.Tensor
    error: tf.Tensor
    overlap: tf.Tensor


def map_reconstruction(
    error_maps: tf.Tensor, windows: tf.Tensor, join: str, overlap_weight: float
) -> MapReconstruction:
    """Mean squared error between every error map and the joined windows (ICLR eq. 3).

    Args:
      error_maps: float32 [B, S, S, M] in [0, 1].
      windows: float32 [B, S, S, K].
      join: "sum" or "union", see `spatial.join_windows`.
      overlap_weight: weight of mean(sum - union), ours: it keeps two keypoints off one object.
    """
    joined = spatial.join_windows(windows, join)
    error = tf.reduce_mean(tf.square(joined[..., None] - error_maps))
    total, union = (spatial.join_windows(windows, mode) for mode in ("sum", "union"))
    overlap = tf.reduce_mean(total - union)
    # Not with a weight of 0: the product over K windows would be differentiated for nothing.
    loss = error + overlap_weight * overlap if overlap_weight else error
    return MapReconstruction(loss, error, overlap)
