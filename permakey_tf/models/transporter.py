"""Transporter, the baseline: keypoints from what moves (Kulkarni et al. 2019; ICLR app. A.2.2)."""

import keras
import tensorflow as tf

from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.models.base import KeypointModel, keypoint_spread
from permakey_tf.models.conv import (
    BatchNorm,
    ConvBlock,
    ConvStack,
    mirrored_layers,
    output_conv,
    upsampling,
)
from permakey_tf.models.pointnet import Localised, PointNet
from permakey_tf.ops import spatial
from permakey_tf.types import Keypoints, Losses, View


class Transporter(KeypointModel):
    """Keypoints that suffice to turn the features of one frame into those of another.

        a || features, windows --+
                                 +-> transport -> features of b? -> refine net -> b?
        b -> features, windows --+                                    squared error to b

    `||` marks a stopped gradient: nothing that is computed from the first frame is trained
    through it. Features come from the extractor (Phi), windows from the keypointer (Psi); both
    have one set of weights for both frames. An example is a pair (a, b) of frames of one episode.

    Args:
      config: settings, the number of keypoints resolved.
      image_size: side S of the frames, divisible by 4.
      channels: 3 or 1.
    """

    frames_per_example = 2

    def __init__(self, config: KeypointConfig, image_size: int, channels: int):
        super().__init__(config, image_size, channels, name="transporter")
        settings, momentum = config.transporter, config.training.batch_norm_momentum
        policy = self.dtype_policy.name
        self.extractor = ConvStack(settings.stack, momentum, dtype=policy, name="extractor")
        self.keypointer = PointNet(config.pointnet, settings.stack, momentum, dtype=policy)
        build_refine_net = _transpose_net if settings.refine_net == "transpose" else _code_net
        side = image_size // settings.stack.stride()
        self.refine_net = build_refine_net(settings.stack, side, channels, momentum, policy)
        self.make_variables()

    @property
    def modules(self) -> dict[str, keras.Model]:
        """One module: all parts share a loss."""
        return {"transporter": self}

    def learning_rate(self, module: str) -> float:
        settings = self.config
        return settings.transporter.transporter_learning_rate or settings.training.learning_rate

    def features(self, images, training=False) -> tf.Tensor:
        return self.extractor(images, training=training)[-1]

    def call(self, images) -> Keypoints:
        return self._keypoints(self.keypointer(images))

    def _keypoints(self, localised: Localised) -> Keypoints:
        """A keypoint is sure of itself where the softmax that it is the mean of lies within its
        window: the window's mean under that softmax."""
        settings = self.config.pointnet
        probabilities = spatial.soft_argmax_weights(
            localised.logits, settings.soft_argmax, settings.logit_scale
        )
        windows = self.windows(localised.centers_yx, localised.logits.shape[1])
        confidence = tf.reduce_sum(probabilities * windows, axis=(1, 2))
        return Keypoints(localised.centers_yx, tf.clip_by_value(confidence, 0.0, 1.0))

    def reconstruct(self, pairs, training=False) -> tuple[Localised, tf.Tensor]:
        """float32 [B, 2, S, S, C] in [0, 1] -> keypoints of b, and b from a's transported features
        (float32 [B, S, S, C] in [0, 1])."""
        image_a, image_b = tf.unstack(pairs, axis=1)
        features_a = self.features(image_a, training)
        centers_a = self.keypointer(image_a, training=training).centers_yx
        features_b = self.features(image_b, training)
        keypoints = self.keypointer(image_b, training=training)
        side = features_b.shape[1]
        transported = spatial.transport(
            tf.stop_gradient(features_a),
            features_b,
            tf.stop_gradient(self.windows(centers_a, side)),
            self.windows(keypoints.centers_yx, side),
        )
        logits = tf.cast(self.refine_net(transported, training=training), tf.float32)
        return keypoints, tf.sigmoid(logits)

    def view(self, examples) -> View:
        keypoints, reconstruction = self.reconstruct(examples)
        windows = self.windows(keypoints.centers_yx, self.image_size)
        panels = {
            "windows": spatial.join_windows(windows, "union"),
            "first frame": examples[:, 0],
            "reconstruction": reconstruction,
        }
        return View(examples[:, 1], self._keypoints(keypoints), panels)

    def compute_losses(self, examples, seed=None, training=False) -> Losses:
        keypoints, reconstruction = self.reconstruct(examples, training)
        loss = tf.reduce_mean(tf.square(reconstruction - examples[:, 1]))
        metrics = {"keypoint_spread": keypoint_spread(keypoints.centers_yx)}
        return Losses({"transporter": loss}, loss, metrics)


def _transpose_net(stack, side, channels, momentum, dtype):
    """Mirror of the feature extractor (paper)."""
    layers = mirrored_layers(stack, channels, momentum, dtype)
    inputs = keras.layers.Input([side, side, stack.filters[-1]])
    return keras.Sequential([inputs, *layers], name="refine_net")


def _code_net(stack, side, channels, momentum, dtype):
    """The authors' code: 128 and 128 filters, up to the frame's resolution, 64 and 32; as in its
    VAE, the last convolution is normalised too, in front of the sigmoid."""
    layers = [keras.layers.Input([side, side, stack.filters[-1]])]
    for i, filters in enumerate((128, 128, 64, 32)):
        if i == 2:
            ups = stack.strides.count(2)
            layers += [upsampling(f"up_{up}", dtype, "bilinear") for up in range(ups)]
        layers.append(ConvBlock(filters, 3, 1, momentum, dtype, name=f"block_{i}"))
    layers += [output_conv(channels, 3, dtype), BatchNorm(momentum, dtype=dtype, name="norm")]
    return keras.Sequential(layers, name="refine_net")
