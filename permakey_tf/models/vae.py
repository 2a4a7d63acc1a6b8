"""Variational auto-encoder: the source of the spatial features (ICLR eq. 1, app. A.2.1)."""

from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from permakey_tf.configs.keypoints import VAEConfig
from permakey_tf.models.conv import (
    BatchNorm,
    ConvBlock,
    ConvStack,
    mirrored_layers,
    output_conv,
    upsampling,
)
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import replicas


class VAEOutput(NamedTuple):
    """features: list of [B, h, w, C] per encoder layer; posterior: batch [B], event [D];
    reconstructions: float32 [B, S, S, channels] in [0, 1]."""

    features: list[tf.Tensor]
    posterior: tfd.Distribution
    reconstructions: tf.Tensor


class VAE(Serializable, keras.Model):
    """Encoder, diagonal Gaussian posterior, decoder.

        images -> ConvStack -> features of every layer -> flatten -> N(mean, std) -> z -> decoder

    Trained by the negative ELBO alone; the LSPN reads the features behind a stopped gradient.

    Args:
      config: sizes and decoder type.
      image_size: side S of the frames, divisible by 4.
      channels: 3 or 1.
      momentum: of the batch normalisation.
      dtype: Keras dtype policy of all layers; the posterior and the output stay in float32.
    """

    def __init__(self, config: VAEConfig, image_size, channels, momentum=0.99, dtype=None):
        super().__init__(name="vae", dtype=dtype)
        self.latent_dim = config.latent_dim
        self.encoder = ConvStack(config.stack, momentum, dtype=dtype, name="encoder")
        self.posterior_parameters = keras.layers.Dense(
            2 * config.latent_dim, dtype=dtype, name="posterior"
        )
        build_decoder = _transpose_decoder if config.decoder == "transpose" else _code_decoder
        self.decoder = build_decoder(config, image_size, channels, momentum, dtype)

    def encode(self, images, training=False):
        """float [B, S, S, C] in [0, 1] -> (features of every layer, posterior)."""
        features = self.encoder(images, training=training)
        flat = tf.reshape(features[-1], [-1, features[-1].shape[1:].num_elements()])
        parameters = tf.cast(self.posterior_parameters(flat), tf.float32)  # [B, 2D]
        mean, raw_std = tf.split(parameters, 2, axis=-1)
        return features, tfd.MultivariateNormalDiag(mean, tf.nn.softplus(raw_std) + 1e-6)

    def decode(self, latents, training=False):
        """float32 [B, D] -> float32 [B, S, S, C] in [0, 1]."""
        return tf.sigmoid(tf.cast(self.decoder(latents, training=training), tf.float32))

    def call(self, images, seed=None, training=False) -> VAEOutput:
        """Encodes and decodes; `seed` (int [2]) draws z, without it z is the posterior's mean."""
        features, posterior = self.encode(images, training)
        latents = posterior.mean() if seed is None else _sample(posterior, seed)
        return VAEOutput(features, posterior, self.decode(latents, training))


def _sample(posterior, seed) -> tf.Tensor:
    """float32 [B, D]: as `posterior.sample`, but an example's draw depends on the seed and on its
    place in the global batch alone."""
    size, width = tf.unstack(tf.shape(posterior.mean()))
    zeros = tf.zeros([replicas.global_size(size), width])
    noise = tfd.MultivariateNormalDiag(zeros, zeros + 1.0).sample(seed=seed)
    return posterior.mean() + posterior.stddev() * replicas.of_mine(noise)


def _transpose_decoder(config, image_size, channels, momentum, dtype):
    """Mirror of the encoder (paper)."""
    side, filters = image_size // config.stack.stride(), config.vae_filters[-1]
    layers = [
        keras.layers.Input([config.latent_dim]),
        keras.layers.Dense(side * side * filters, use_bias=False, dtype=dtype, name="dense"),
        keras.layers.Reshape([side, side, filters], dtype=dtype),
        BatchNorm(momentum, dtype=dtype, name="norm"),
        keras.layers.ReLU(dtype=dtype),
        *mirrored_layers(config.stack, channels, momentum, dtype),
    ]
    return keras.Sequential(layers, name="decoder")


def _code_decoder(config, image_size, channels, momentum, dtype):
    """The decoder of the authors' code: one thin map, five blocks, nearest up-sampling."""
    side = image_size // 4
    layers = [
        keras.layers.Input([config.latent_dim]),
        keras.layers.Dense(side * side, activation="relu", dtype=dtype, name="dense"),
        keras.layers.Reshape([side, side, 1], dtype=dtype),
    ]
    for i, (filters, kernel_size) in enumerate(
        zip((128, 64, 64, 32, 16), (3, 3, 3, 3, 4), strict=True)
    ):
        layers.append(ConvBlock(filters, kernel_size, 1, momentum, dtype, name=f"block_{i}"))
        if i < 2:
            layers.append(upsampling(f"up_{i}", dtype))
    layers += [output_conv(channels, 4, dtype), BatchNorm(momentum, dtype=dtype, name="norm")]
    return keras.Sequential(layers, name="decoder")
