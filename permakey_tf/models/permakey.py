"""PermaKey: modules trained side by side, each by its own loss (ICLR section 2)."""

import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.models import extraction
from permakey_tf.models.base import KeypointModel, Sensed
from permakey_tf.models.frame_memory import FrameMemory, RememberedMaps
from permakey_tf.models.lspn import LSPNs
from permakey_tf.models.vae import VAE
from permakey_tf.ops import losses, spatial
from permakey_tf.ops.changes import Cells
from permakey_tf.ops.images import to_images
from permakey_tf.system import graphs
from permakey_tf.types import Keypoints, Losses, View

_WHOLE_FROM = 0.8  # of the patches: gathering fewer takes less time than all take (docs/speed.md)
_PATCHES = 1  # folded into a step's seed, whose latents are drawn from it as it is


class PermaKey(KeypointModel):
    """Keypoints from the error maps of local spatial prediction.

        images -> VAE -> features || LSPNs -> error maps || PointNet -> K centres -> windows
                 -ELBO            | prediction error      | map reconstruction error

    `||` marks a stopped gradient: each module is trained by the loss below it and by nothing else.
    With `extractor=pursuit`, greedy pursuit of the map reconstruction error takes PointNet's place,
    and there is no third module: nothing of it is trained.

    Args:
      config: settings of all modules, the number of keypoints resolved.
      image_size: side S of the frames, divisible by 4.
      channels: 3 or 1.
    """

    def __init__(self, config: KeypointConfig, image_size: int, channels: int):
        super().__init__(config, image_size, channels, name="permakey")
        dtype, momentum = self.dtype_policy.name, config.training.batch_norm_momentum
        self.vae = VAE(config.vae, image_size, channels, momentum, dtype)
        self.lspn = LSPNs(config.lspn, config.vae.vae_filters, momentum, dtype)
        self.modules = {"vae": self.vae, "lspn": self.lspn}
        make_extractor = extraction.BY_NAME[config.extractor]
        self.extractor = make_extractor(config, image_size, self._cell_size, dtype)
        self.extractor_layer = self.extractor.layer  # Keras looks for variables in attributes
        self.modules |= self.extractor.modules
        self.held_out_metrics = self.extractor.held_out_metrics
        self._depth = max(*self.error_map_layers, self._feature_layer) + 1
        self._kept = RememberedMaps(
            self.vae.encoder.blocks[: self._depth],
            self.lspn.networks,
            config.vae.stack,
            config.lspn,
            image_size,
        )
        self.make_variables()

    def learning_rate(self, module: str) -> float:
        own = {
            "vae": self.config.vae.vae_learning_rate,
            "lspn": self.config.lspn.lsp_learning_rate,
            "pointnet": self.config.pointnet.pointnet_learning_rate,
        }
        return own[module] or self.config.training.learning_rate

    def _patch_pixels(self, layer: int) -> int:
        """Frame pixels along the side of a patch of a layer's features."""
        return self.config.vae.stack.stride(layer) * self.config.lspn.patch_size

    @property
    def _cell_size(self) -> int:
        """Of the finest error map, frame pixels."""
        return min(map(self._patch_pixels, self.config.lspn.lsp_layers))

    def _join_maps(self, error_maps) -> tf.Tensor:
        """float32 [B, h, w] of each layer -> at frame resolution, [B, S, S, M] in [0, 1]."""
        maps = []
        for layer, error_map in zip(self.config.lspn.lsp_layers, error_maps, strict=True):
            error_map = spatial.normalize_maps(error_map[..., None])
            pixels = self._patch_pixels(layer)
            maps.append(spatial.upsample_nearest(error_map, pixels, self.image_size))
        return tf.stop_gradient(tf.concat(maps, axis=-1))

    def _predict(self, features) -> list[tf.Tensor]:
        """The error map of every chosen layer, float32 [B, h, w], inference only."""
        return [prediction.error_map for prediction in self.lspn(features)]

    def _encode(self, images, last: int) -> list[tf.Tensor]:
        """Features of the layers up to `last`; deeper ones would be thrown away."""
        return self.vae.encoder(images, depth=last + 1)

    @property
    def _feature_layer(self) -> int:
        chosen = self.config.vae.feature_layer
        return max(self.error_map_layers) if chosen is None else chosen

    def locate(self, evidence) -> Keypoints:
        return self.extractor.locate(evidence)

    def _extract(self, maps) -> Keypoints:
        """Error maps float32 [B, S, S, M] -> keypoints."""
        return self.locate(self.extractor.evidence(maps))

    @property
    def error_map_layers(self) -> tuple[int, ...]:
        return self.config.lspn.lsp_layers

    def error_maps(self, images) -> tf.Tensor:
        features = self._encode(images, max(self.error_map_layers))
        return self._join_maps(self._predict(features))

    def gains(self, images) -> tf.Tensor:
        return self.extractor.gains(self.extractor.evidence(self.error_maps(images)))

    def call(self, images) -> Keypoints:
        return self._extract(self.error_maps(images))

    @property
    def map_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self._kept.shapes

    def news(self, frames: np.ndarray, memory: FrameMemory) -> tuple[Cells, ...]:
        return self._kept.news(frames, memory)

    def sense(self, frames, news: tuple[Cells, ...], maps) -> tuple[Sensed, tuple]:
        return self._sensed(self._kept.update(to_images(frames), news, maps))

    def sense_whole(self, frames) -> tuple[Sensed, tuple]:
        features = self._encode(to_images(frames), self._depth - 1)
        return self._sensed(self._kept.put(features, self._predict(features)))

    def _sensed(self, maps) -> tuple[Sensed, tuple]:
        evidence = self.extractor.evidence(self._join_maps(self._kept.errors(maps)))
        return Sensed(evidence, self._kept.features(maps, self._feature_layer)), maps

    def whole_is_faster(self, news: tuple[Cells, ...]) -> bool:
        return self._kept.new_share(news) > _WHOLE_FROM

    def features(self, images) -> tf.Tensor:
        return self._encode(images, self._feature_layer)[-1]

    def view(self, examples) -> View:
        maps = self.error_maps(examples)
        keypoints = self._extract(maps)
        windows = self.windows(keypoints.centers_yx, self.image_size)
        titles = [f"error map {layer}" for layer in self.config.lspn.lsp_layers]
        panels = dict(zip(titles, tf.unstack(maps, axis=-1), strict=True))
        panels |= self.extractor.panels(maps)
        panels["windows"] = spatial.join_windows(windows, "union")
        panels["reconstruction"] = self.vae(examples).reconstructions
        return View(examples, keypoints, panels)

    def compute_losses(self, examples, seed=None, training=False) -> Losses:
        vae = self.config.vae
        outputs = self.vae(examples, seed=seed, training=training)
        elbo = losses.negative_elbo(
            examples, outputs.reconstructions, outputs.posterior, vae.likelihood_variance, vae.elbo
        )
        by_layer, error_maps = self._predictions(outputs.features, seed, training)
        lspn_loss = tf.add_n(by_layer)
        extracted = self.extractor.losses(self._join_maps(error_maps), training)
        metrics = {
            "vae_negative_log_likelihood": elbo.negative_log_likelihood,
            "vae_kl": elbo.kl,
            **extracted.metrics,
        }
        for layer, loss in zip(self.config.lspn.lsp_layers, by_layer, strict=True):
            metrics[f"lspn_error_layer_{layer}"] = loss
        by_module = {"vae": elbo.loss, "lspn": lspn_loss, **extracted.by_module}
        # Early stopping compares what makes keypoints; a better VAE alone does not count.
        selection = lspn_loss
        if self.config.training.selection == "unexplained" and not training:
            selection = self._unexplained(outputs.features, by_layer)
        return Losses(by_module, selection + extracted.selection, metrics)

    def _unexplained(self, features, lspn_losses) -> tf.Tensor:
        """float32 []: share of the features' variance, over frames and places, that the LSPN does
        not predict, mean over its layers. A layer that is constant has nothing to be predicted: 1.
        """
        shares = []
        for layer, loss in zip(self.error_map_layers, lspn_losses, strict=True):
            values = tf.cast(features[layer], tf.float32)
            variance = tf.reduce_mean(tf.math.reduce_variance(values, axis=(0, 1, 2)))
            rounding = 1e-10 * tf.reduce_mean(tf.square(values))
            share = tf.math.divide_no_nan(loss, variance)
            shares.append(tf.where(variance <= rounding, 1.0, share))  # NaN stays
        return tf.add_n(shares) / len(shares)

    def _predictions(self, features, seed, training):
        """Losses and error maps of every chosen layer.

        Where losses come from some of the patches, in training, the maps that PointNet needs are
        those of inference: nothing is trained through them. What nobody uses, TensorFlow does not
        compute.
        """
        if training and seed is not None and self.config.lspn.lsp_sample < 1:
            own = tf.random.experimental.stateless_fold_in(seed, _PATCHES)
            return self.lspn.sampled_losses(features, own), self._predict(features)
        predictions = self.lspn(features, training=training)
        return [one.loss for one in predictions], [one.error_map for one in predictions]

    @property
    def calibration_frames(self) -> int:
        return self.extractor.calibration_frames

    def calibrate(self, batches) -> None:
        maps_of = graphs.traced(self.error_maps, reduce_retracing=True)
        self.extractor.calibrate(map(maps_of, batches))
