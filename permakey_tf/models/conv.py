"""Convolution stacks shared by the VAE, PointNet and the keypoint encoders."""

import keras
import tensorflow as tf

from permakey_tf.configs.keypoints import Stack
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import replicas


class BatchNorm(Serializable, keras.layers.Layer):
    """Batch normalisation over all axes but the last, as one fused operation.

    Keras's own layer computes moments and scaling in separate passes over memory; on a CPU that
    takes about three times as long as the fused kernel (measured for [32, 84, 84, 32]).

    The statistics in training are those of the global batch: where replicas share it, of them all.
    So each replica moves its averages to the same values.

    Args:
      momentum: of the moving statistics, which inference uses.
      epsilon: added to the variance.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        """Makes scale, offset and moving statistics for the last axis."""

        def weight(name, initializer, trainable):
            # Statistics and scale stay in float32 whatever the layer computes in.
            return self.add_weight(
                shape=input_shape[-1:],
                initializer=initializer,
                trainable=trainable,
                autocast=False,
                name=name,
            )

        self.gamma, self.beta = weight("gamma", "ones", True), weight("beta", "zeros", True)
        self.moving_mean = weight("moving_mean", "zeros", False)
        self.moving_variance = weight("moving_variance", "ones", False)

    def call(self, inputs, training=False, extent: tuple[int, int] | None = None):
        """[B, h, w, C] -> the same, normalised.

        Args:
          inputs: [B, h, w, C].
          training: normalises by the batch's statistics, and moves the averages towards them.
          extent: rows and columns from the top left over which the batch's statistics are taken;
            all locations are normalised by them. None: all of them.
        """
        if training and (extent is not None or replicas.number() > 1):
            rows, columns = extent or (None, None)
            outputs, mean, variance = self._normalize_by_part(inputs, rows, columns)
        else:
            outputs, mean, variance = self._fused(inputs, training)
        if training:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _fused(self, inputs, training):
        """Normalised inputs, and the batch's mean and unbiased variance where it is training."""
        statistics = {}
        if not training:
            statistics = {
                "mean": tf.convert_to_tensor(self.moving_mean),
                "variance": tf.convert_to_tensor(self.moving_variance),
            }
        return tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=training,
            **statistics,
        )

    def _normalize_by_part(self, inputs, rows, columns):
        """As `_fused` in training, the statistics being those of inputs[:, :rows, :columns]."""
        part = tf.cast(inputs[:, :rows, :columns], tf.float32)
        mean, variance = tf.nn.moments(part, axes=[0, 1, 2])
        around = tf.convert_to_tensor(self.moving_mean)
        mean, variance = replicas.moments(mean, variance, around)
        outputs = tf.nn.batch_normalization(
            tf.cast(inputs, tf.float32),
            mean,
            variance,
            tf.convert_to_tensor(self.beta),
            tf.convert_to_tensor(self.gamma),
            self.epsilon,
        )
        size = replicas.global_size(tf.size(part) / part.shape[-1])
        number = tf.cast(size, tf.float32)
        unbiased = variance * number / tf.maximum(number - 1.0, 1.0)
        return tf.cast(outputs, inputs.dtype), mean, unbiased


class ConvBlock(Serializable, keras.layers.Layer):
    """Conv (SAME, no bias: the normalisation's offset replaces it), BatchNorm, ReLU."""

    def __init__(self, filters, kernel_size, strides=1, momentum=0.99, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding="same",
            use_bias=False,
            dtype=dtype,
            name="conv",
        )
        self.norm = BatchNorm(momentum, dtype=dtype, name="norm")

    def call(self, inputs, training=False):
        """[B, h, w, C] -> [B, h', w', filters]."""
        return tf.nn.relu(self.norm(self.conv(inputs), training=training))

    def of_windows(self, windows):
        """Outputs at chosen places, inference only.

        Args:
          windows: [N, k*k*C], what the kernel covers there, row by row, channels last.

        Returns:
          [N, filters].
        """
        kernel = tf.cast(tf.convert_to_tensor(self.conv.kernel), self.compute_dtype)
        kernel = tf.reshape(kernel, [windows.shape[-1], self.conv.filters])
        outputs = tf.cast(windows, self.compute_dtype) @ kernel
        return tf.nn.relu(self.norm(outputs[None, None]))[0, 0]


class ConvStack(Serializable, keras.layers.Layer):
    """A sequence of ConvBlocks that returns the output of every block.

    Args:
      stack: sizes of the blocks.
      momentum: of the batch normalisation.
      dtype: Keras dtype policy of all layers.
    """

    def __init__(self, stack: Stack, momentum=0.99, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.blocks = [
            ConvBlock(f, k, s, momentum, dtype=dtype, name=f"block_{i}")
            for i, (f, k, s) in enumerate(zip(*stack, strict=True))
        ]

    def call(self, images, training=False, depth: int | None = None):
        """[B, S, S, C] -> list of feature maps of the first `depth` blocks (all by default)."""
        outputs = []
        for block in self.blocks[:depth]:
            images = block(images, training=training)
            outputs.append(images)
        return outputs


def mirrored_layers(stack: Stack, channels: int, momentum, dtype) -> list[keras.layers.Layer]:
    """The transpose of a ConvStack: the last block's features back to an image's channels.

    Bilinear 2x up-sampling in front of what undoes a stride (ICLR app. A.2.1, A.2.2); the last
    convolution has no normalisation.
    """
    layers = []
    for i, kernel_size in reversed(list(enumerate(stack.kernel_sizes))):
        if stack.strides[i] == 2:
            layers.append(upsampling(f"up_{i}", dtype, "bilinear"))
        if i > 0:
            filters, name = stack.filters[i - 1], f"block_{i}"
            layers.append(ConvBlock(filters, kernel_size, 1, momentum, dtype, name=name))
    return [*layers, output_conv(channels, stack.kernel_sizes[0], dtype)]


def upsampling(name, dtype, interpolation="nearest") -> keras.layers.Layer:
    """Twice the resolution."""
    return keras.layers.UpSampling2D(2, interpolation=interpolation, dtype=dtype, name=name)


def output_conv(channels, kernel_size, dtype) -> keras.layers.Layer:
    """The convolution to an image's channels, before the sigmoid."""
    return keras.layers.Conv2D(channels, kernel_size, padding="same", dtype=dtype, name="output")
