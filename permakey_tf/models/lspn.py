"""Local spatial prediction network: predicts feature patches from their neighbours (eq. 2)."""

import keras
import tensorflow as tf

from permakey_tf.configs.keypoints import LSPNConfig
from permakey_tf.models.conv import BatchNorm
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import losses, replicas, spatial
from permakey_tf.ops.patches import RandomPatches, inside_of
from permakey_tf.ops.windows import gather, patch_windows, split_window


class NeighbourhoodDense(Serializable, keras.layers.Layer):
    """A dense layer over the eight neighbours of every p x p patch, shared by all locations.

    Its kernel is [8*p*p*C, units] in the input order of `spatial.neighbourhood_kernel`.
    """

    def __init__(self, units: int, patch_size: int, **kwargs):
        super().__init__(**kwargs)
        self.units, self.patch_size = units, patch_size

    def build(self, input_shape):
        """Makes one weight for the eight neighbouring patches."""
        num_inputs = 8 * self.patch_size**2 * input_shape[-1]
        self.kernel = self.add_weight(
            shape=(num_inputs, self.units), initializer="glorot_uniform", name="kernel"
        )

    def call(self, features):
        """[B, H, W, C] -> [B, ceil(H/p), ceil(W/p), units]."""
        return spatial.neighbourhood_dense(features, self._weights(), self.patch_size)

    def of_neighbours(self, neighbours):
        """The same of chosen patches, given their neighbours [N, 8*p*p*C] -> [N, units]."""
        return neighbours @ self._weights()

    def _weights(self):
        return tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)


class LSPN(Serializable, keras.layers.Layer):
    """Predicts every p x p patch of one feature map from its eight neighbouring patches.

        features [B, H, W, C] -> NeighbourhoodDense -> (norm, ReLU, 1x1 conv) x n -> [B, h, w, ppC]

    Weights are shared over locations, so the hidden layers are 1x1 convolutions. There is one
    network per chosen encoder layer, trained by the mean squared prediction error alone. Where p
    does not divide a side of the map, the last patches are filled up with zeros: they are
    predicted, but the normalisation's statistics in training are those of the whole patches.

    Args:
      config: hidden sizes, depth ("4-layer" puts one hidden layer of 8ppC units in front), p.
      channels: C.
      momentum: of the batch normalisation.
      dtype: Keras dtype policy of all layers.
    """

    def __init__(self, config: LSPNConfig, channels, momentum=0.99, dtype=None, name=None):
        super().__init__(name=name, dtype=dtype)
        patch_values = config.patch_size**2 * channels
        sizes = list(config.lsp_hidden_sizes)
        if config.lsp_depth == "4-layer":
            sizes.insert(0, 8 * patch_values)
        self.first = NeighbourhoodDense(sizes[0], config.patch_size, dtype=dtype, name="dense_0")
        self.norms = [BatchNorm(momentum, dtype=dtype, name=f"norm_{i}") for i in range(len(sizes))]
        self.hidden = [
            keras.layers.Conv2D(size, 1, use_bias=False, dtype=dtype, name=f"dense_{i}")
            for i, size in enumerate(sizes[1:], start=1)
        ]
        self.last = keras.layers.Conv2D(patch_values, 1, dtype=dtype, name=f"dense_{len(sizes)}")

    def call(self, features, training=False):
        """[B, H, W, C] -> [B, ceil(H/p), ceil(W/p), p*p*C], predicted patches."""
        whole = spatial.whole_patches(*features.shape[1:3], self.first.patch_size)
        return self._after_first(self.first(features), training=training, extent=whole)

    def of_neighbours(self, neighbours, num_frames=1, num_whole=None, training=False):
        """Predictions of chosen patches from their eight neighbours.

        Args:
          neighbours: [N, 8*p*p*C], in the order of `spatial.neighbourhood_kernel`.
          num_frames: B, where patches are those of B frames, N / B of each.
          num_whole: the first so many patches of each frame lie wholly inside the map, and the
            normalisation's statistics in training are theirs. None: all do.
          training: normalises by these patches' statistics.

        Returns:
          [N, p*p*C].
        """
        first = self.first.of_neighbours(tf.cast(neighbours, self.compute_dtype))
        maps = tf.reshape(first, [num_frames, 1, -1, first.shape[-1]])
        extent = num_whole and (1, num_whole)
        outputs = self._after_first(maps, training=training, extent=extent)
        return tf.reshape(outputs, [-1, outputs.shape[-1]])

    def _after_first(self, outputs, **normalisation):
        for norm, dense in zip(self.norms, [*self.hidden, self.last], strict=True):
            outputs = dense(tf.nn.relu(norm(outputs, **normalisation)))
        return outputs


class LSPNs(Serializable, keras.Model):
    """One LSPN per chosen encoder layer, and their losses.

    Args:
      config: chosen layers and sizes.
      filters: of all encoder layers.
      momentum: of the batch normalisation.
      dtype: Keras dtype policy of all layers.
    """

    def __init__(self, config: LSPNConfig, filters, momentum=0.99, dtype=None):
        super().__init__(name="lspn", dtype=dtype)
        self.config = config
        self.networks = [
            LSPN(config, filters[layer], momentum, dtype, name=f"layer_{layer}")
            for layer in config.lsp_layers
        ]

    def call(self, features, training=False) -> list[losses.SpatialPrediction]:
        """Features of every encoder layer -> loss and error map of each chosen layer."""
        chosen = [tf.stop_gradient(features[layer]) for layer in self.config.lsp_layers]
        return [
            losses.spatial_prediction(
                inputs,
                network(inputs, training=training),
                self.config.patch_size,
                self.config.lsp_error,
            )
            for inputs, network in zip(chosen, self.networks, strict=True)
        ]

    def sampled_losses(self, features, seed) -> list[tf.Tensor]:
        """The losses in training, estimated from `lsp_sample` of the patches of every frame.

        Estimates of the same predictions are unbiased; the normalisation's statistics are those of
        the drawn patches.

        Args:
          features: of every encoder layer, [B, H, H, C].
          seed: int [2], draws the patches.

        Returns:
          float32 [] for each chosen layer.
        """
        return [
            self._sampled_loss(
                tf.stop_gradient(features[layer]),
                network,
                tf.random.experimental.stateless_fold_in(seed, layer),
            )
            for layer, network in zip(self.config.lsp_layers, self.networks, strict=True)
        ]

    def _sampled_loss(self, features, network, seed):
        patch_size, side = self.config.patch_size, features.shape[1]
        inside = spatial.patch_mask(side, side, patch_size)
        num_frames, patches_a_row = tf.shape(features)[0], len(inside)
        chosen = RandomPatches(inside, self.config.lsp_sample)
        drawn = replicas.of_mine(chosen.draw(replicas.global_size(num_frames), seed))  # [B, n]
        windows = patch_windows(side, patch_size)
        bordered = windows.source.put(features)
        corners = windows.corners(
            tf.range(num_frames)[:, None], drawn // patches_a_row, drawn % patches_a_row
        )
        corners = tf.reshape(corners, [-1, 1])
        targets, neighbours = (
            gather(bordered, corners + places) for places in split_window(windows.steps, patch_size)
        )
        predicted = network.of_neighbours(neighbours, num_frames, chosen.num_whole, training=True)
        inside_drawn = inside_of(tf.reshape(drawn, [-1]), inside)
        sums, _ = losses.patch_errors(targets, predicted, inside_drawn, "none")
        sums = tf.reshape(sums, [num_frames, -1]) * chosen.weights
        num_values = inside.sum() * features.shape[-1]
        return tf.reduce_mean(tf.reduce_sum(sums, axis=1)) / num_values
