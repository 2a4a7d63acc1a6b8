"""What every keypoint method is to the trainer, the detector and the figures."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from permakey_tf.configs.keypoints import KeypointConfig, check_fit
from permakey_tf.models.frame_memory import FrameMemory
from permakey_tf.models.serialization import Serializable
from permakey_tf.ops import replicas, spatial
from permakey_tf.ops.changes import Cells
from permakey_tf.ops.images import to_images
from permakey_tf.types import Keypoints, Losses, View


class Sensed(NamedTuple):
    """evidence: what `KeypointModel.locate` finds keypoints in; features: [B, h, w, F]."""

    evidence: Any
    features: tf.Tensor


class KeypointModel(Serializable, keras.Model):
    """Base of the keypoint methods: frames in, K keypoints out, and how they are trained.

    An example is what a batch holds B of: one frame [S, S, C], or a pair of them [2, S, S, C].

    Args:
      config: settings of all modules, resolved.
      image_size: side S of the frames, divisible by 4.
      channels: C, 3 or 1.
      name: of the method.

    Raises:
      UserError: settings that make no sense for frames of this size.

    Attributes:
      frames_per_example: 1 where an example is one frame, 2 where it is a pair.
      modules: {name: keras.Model}; each has its own loss and its own optimizer.
      held_out_metrics: names of the metrics that training does without.
    """

    frames_per_example = 1
    held_out_metrics: tuple[str, ...] = ()

    def __init__(self, config: KeypointConfig, image_size: int, channels: int, name: str):
        check_fit(config, image_size)
        dtype = "mixed_bfloat16" if config.training.precision == "bfloat16" else "float32"
        super().__init__(name=name, dtype=dtype)
        self.config, self.image_size, self.channels = config, image_size, channels

    @property
    def example_shape(self) -> tuple[int, ...]:
        """[S, S, C], or [2, S, S, C] where an example is a pair."""
        frame = (self.image_size, self.image_size, self.channels)
        return frame if self.frames_per_example == 1 else (self.frames_per_example, *frame)

    def make_variables(self) -> None:
        """Makes the variables of all modules; the constructor's last call."""
        self.compute_losses(tf.zeros([1, *self.example_shape]))

    def learning_rate(self, module: str) -> float:
        """Initial learning rate of one module."""
        raise NotImplementedError

    def call(self, images: tf.Tensor) -> Keypoints:
        """float32 [B, S, S, C] in [0, 1] -> keypoints, inference only."""
        raise NotImplementedError

    @property
    def calibration_frames(self) -> int:
        """How many training frames `calibrate` is to be given; 0 where there is nothing to do."""
        return 0

    def calibrate(self, batches: Iterable[tf.Tensor]) -> None:
        """Reads what is not trained off training frames, with the weights as they are.

        Args:
          batches: of images, float32 [B, S, S, C] in [0, 1].
        """

    @property
    def error_map_layers(self) -> tuple[int, ...]:
        """Encoder layers that the method has error maps of; () where it has none."""
        return ()

    def error_maps(self, images: tf.Tensor) -> tf.Tensor:
        """float32 [B, S, S, C] in [0, 1] -> error maps of the M `error_map_layers`, float32
        [B, S, S, M] in [0, 1], inference only."""
        raise NotImplementedError

    def gains(self, images: tf.Tensor) -> tf.Tensor:
        """float32 [B, S, S, C] in [0, 1] -> float32 [B, K], where there are error maps: what each
        keypoint's window takes off eq. 3, see `ops.pursuit.Explained`."""
        raise NotImplementedError

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """float32 [B, S, S, C] in [0, 1] -> what an agent sees under the windows, [B, h, w, F]."""
        raise NotImplementedError

    @property
    def map_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the maps that are kept from frame to frame, of one game."""
        return ()

    def initial_memory(self, number: int) -> FrameMemory:
        """Of games that begin."""
        shape = (number, self.image_size, self.image_size, self.channels)
        maps = tuple(tf.zeros([number, *of_map]) for of_map in self.map_shapes)
        return FrameMemory(np.zeros(number, bool), np.zeros(shape, np.uint8), maps)

    def news(self, frames: np.ndarray, memory: FrameMemory) -> tuple[Cells, ...]:
        """What has to be computed anew in the next frames of B games, found on the host.

        Args:
          frames: uint8 [B, S, S, C].
          memory: of the frames before.

        Returns:
          The cells of each map that is kept.
        """
        return ()

    def sense(
        self, frames: tf.Tensor, news: tuple[Cells, ...], maps: tuple
    ) -> tuple[Sensed, tuple]:
        """Features of the next frames of B games, and what `locate` finds their keypoints in.

        Args:
          frames: uint8 [B, S, S, C].
          news: of these frames.
          maps: that are kept, of the frames before.

        Returns:
          What is sensed, and the maps of these frames.
        """
        return self.sense_whole(frames)

    def sense_whole(self, frames: tf.Tensor) -> tuple[Sensed, tuple]:
        """As `sense`, with nothing known of the frames before."""
        images = to_images(frames)
        return Sensed(self(images), self.features(images)), ()

    def whole_is_faster(self, news: tuple[Cells, ...]) -> bool:
        """Whether of a single frame so much is new that `sense_whole` takes less time."""
        return True

    def locate(self, evidence: Any) -> Keypoints:
        """The keypoints that `Sensed.evidence` points to; small operations, which XLA can join."""
        return evidence

    def windows(self, centers_yx: tf.Tensor, size: int) -> tf.Tensor:
        """float32 [B, K, 2] -> the keypoints' windows, float32 [B, size, size, K] in [0, 1]."""
        return spatial.gaussian_windows(centers_yx, size, self.config.pointnet.gauss_std)

    def view(self, examples: tf.Tensor) -> View:
        """What there is to see of a batch of examples, inference only."""
        raise NotImplementedError

    def compute_losses(
        self, examples: tf.Tensor, seed: tf.Tensor | None = None, training: bool = False
    ) -> Losses:
        """Losses of all modules on one batch, means over it.

        Where replicas share the batch (`ops.replicas`), on this one's part of it.

        Args:
          examples: float32 [B, S, S, C] or [B, 2, S, S, C], in [0, 1].
          seed: int [2], draws what is random in the model; without it, nothing is.
          training: batch statistics in the normalisation, and their moving averages updated.
        """
        raise NotImplementedError


def keypoint_spread(centers_yx: tf.Tensor) -> tf.Tensor:
    """float32 []: standard deviation of a keypoint's position over the global batch,
    mean over all."""
    if replicas.number() == 1:
        return tf.reduce_mean(tf.math.reduce_std(centers_yx, axis=0))
    mean, variance = tf.nn.moments(centers_yx, axes=[0])
    _, variance = replicas.moments(mean, variance, tf.zeros_like(mean))
    return tf.reduce_mean(tf.sqrt(variance))
