"""The agent's frozen vision: what of a frame is computed once, stored, and shown to its encoder.

The keypoint model runs once per frame, when the frame is played. What it yields is stored in the
form that the encoder needs:

  gnn   keypoints' positions and mean features: nothing is left to do in an update
  cnn   the frame and the keypoints' positions: an update redraws the windows and the first layers
        of features, never LSPN, PointNet or the keypointer
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from permakey_tf.configs.agent import EncoderConfig
from permakey_tf.models.base import KeypointModel, Sensed
from permakey_tf.models.frame_memory import FrameMemory
from permakey_tf.ops import spatial
from permakey_tf.ops.changes import Cells
from permakey_tf.ops.images import to_images
from permakey_tf.types import Column, Keypoints

_BANK_BATCH = 50  # frames looked at together


class Nodes(NamedTuple):
    """features: float32 [B, K, F]; positions: float32 [B, K, 2], (y, x) in [-1, 1]."""

    features: tf.Tensor
    positions: tf.Tensor


def window_means(features, windows, threshold: float) -> tf.Tensor:
    """Mean of the features where a window reaches a threshold; zeros where none does.

    Args:
      features: [B, h, w, F].
      windows: float32 [B, h, w, K].

    Returns:
      float32 [B, K, F].
    """
    masks = tf.cast(windows >= threshold, tf.float32)
    sums = tf.einsum("bhwk,bhwf->bkf", masks, tf.cast(features, tf.float32))
    return tf.math.divide_no_nan(sums, tf.reduce_sum(masks, axis=(1, 2))[..., None])


class Vision:
    """What the visions of both encoders share. Subclasses say what of a frame is stored.

    A frame is seen in two parts: `sense` has the convolutions, and knows the frames before; `look`
    is made of small operations, which XLA can join.

    Args:
      model: trained keypoint model.
      config: the windows' width and threshold.

    Attributes:
      columns: {name: Column} of what is stored per frame.
      beside: {name: Column} of what it must be told of each frame beside the frame.
    """

    columns: dict[str, Column]

    def __init__(self, model: KeypointModel, config: EncoderConfig):
        self._model, self._config = model, config
        self._std = config.gauss_std or model.config.pointnet.gauss_std
        self.beside: dict[str, Column] = {}

    def initial_memory(self, number: int) -> FrameMemory:
        """Of games that begin."""
        return self._model.initial_memory(number)

    def news(self, frames, memory: FrameMemory) -> tuple[Cells, ...]:
        """See `KeypointModel.news`."""
        return self._model.news(frames, memory)

    def sense(self, frames, news, maps) -> tuple[Sensed, tuple]:
        """See `KeypointModel.sense`."""
        return self._model.sense(frames, news, maps)

    def look(self, frames, sensed: Sensed, beside) -> tuple[dict[str, tf.Tensor], Keypoints]:
        """What is stored of frames, {name: [B, ...]}, and their keypoints.

        Args:
          frames: uint8 [B, S, S, C].
          sensed: of these frames.
          beside: {name: [B, ...]}, as `self.beside` says.
        """
        raise NotImplementedError


class NodeVision(Vision):
    """For the graph encoder: one node per keypoint."""

    def __init__(self, model: KeypointModel, config: EncoderConfig):
        super().__init__(model, config)
        number = model.config.pointnet.num_keypoints
        size = model.image_size
        num_features = model.features(tf.zeros([1, size, size, model.channels])).shape[-1]
        self.columns = {
            "features": Column((number, num_features), np.dtype(np.float32)),
            "positions": Column((number, 2), np.dtype(np.float32)),
        }

    def look(self, frames, sensed: Sensed, beside) -> tuple[dict[str, tf.Tensor], Keypoints]:
        keypoints = self._model.locate(sensed.evidence)
        return self._nodes(keypoints, sensed.features), keypoints

    def _nodes(self, keypoints: Keypoints, features) -> dict[str, tf.Tensor]:
        """What is stored, with features [B, h, w, F]."""
        windows = spatial.gaussian_windows(keypoints.centers_yx, features.shape[1], self._std)
        means = window_means(features, windows, self._config.window_threshold)
        return {"features": means, "positions": keypoints.centers_yx}

    def reorder(self, stored: dict[str, tf.Tensor], orders) -> dict[str, tf.Tensor]:
        """What is stored, with node k the one that was orders[:, k]; orders: int [B, K]."""
        return {name: tf.gather(nodes, orders, batch_dims=1) for name, nodes in stored.items()}

    def prepare(self, stored: dict) -> Nodes:
        """What is stored -> what the encoder reads."""
        return Nodes(stored["features"], stored["positions"])


class ControlVision(NodeVision):
    """For a control, which looks for no keypoints in a frame: none of its maps is needed."""

    def initial_memory(self, number: int) -> FrameMemory:
        return super().initial_memory(number)._replace(maps=())

    def news(self, frames, memory: FrameMemory) -> tuple[Cells, ...]:
        return ()


class ObjectVision(ControlVision):
    """A control that knows where the objects are: they are the nodes, in the keypoints' place.

    Features are read under the same windows as a keypoint's. Unused nodes have none: zeros.
    """

    def __init__(self, model: KeypointModel, config: EncoderConfig):
        super().__init__(model, config)
        positions = self.columns["positions"]
        present = Column(positions.shape[:1], np.dtype(np.float32))
        self.beside = {"positions": positions, "present": present}

    def sense(self, frames, news, maps) -> tuple[Sensed, tuple]:
        return Sensed((), self._model.features(to_images(frames))), maps

    def look(self, frames, sensed: Sensed, beside) -> tuple[dict[str, tf.Tensor], Keypoints]:
        """What is stored, and the objects; beside: see objects.points.object_points."""
        points = Keypoints(beside["positions"], beside["present"])
        stored = self._nodes(points, sensed.features)
        return stored | {"features": stored["features"] * points.confidence[..., None]}, points


class BankVision(ControlVision):
    """A control that does not see: its keypoints and their features are those of other frames.

    Args:
      model, config: as in `NodeVision`.
      frames: uint8 [N, S, S, C], which it has keypoints of.
    """

    def __init__(self, model: KeypointModel, config: EncoderConfig, frames: np.ndarray):
        super().__init__(model, config)
        self.beside = {"row": Column((), np.dtype(np.int32))}
        seen = []
        for start in range(0, len(frames), _BANK_BATCH):
            batch = frames[start : start + _BANK_BATCH]
            sensed, _ = model.sense_whole(batch)
            seen.append(super().look(batch, sensed, {}))
        self._bank = tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *seen)

    def sense(self, frames, news, maps) -> tuple[Sensed, tuple]:
        return Sensed((), ()), maps

    def look(self, frames, sensed: Sensed, beside) -> tuple[dict[str, tf.Tensor], Keypoints]:
        """What is stored, and the keypoints, of the bank's frames beside["row"] [B]."""
        return tf.nest.map_structure(lambda part: tf.gather(part, beside["row"]), self._bank)


class MapVision(Vision):
    """For the convolutional encoder: the features under the keypoints' windows."""

    def __init__(self, model: KeypointModel, config: EncoderConfig):
        super().__init__(model, config)
        size = model.image_size
        self.columns = {
            "frame": Column((size, size, model.channels), np.dtype(np.uint8)),
            "positions": Column((model.config.pointnet.num_keypoints, 2), np.dtype(np.float32)),
        }

    def look(self, frames, sensed: Sensed, beside) -> tuple[dict[str, tf.Tensor], Keypoints]:
        keypoints = self._model.locate(sensed.evidence)
        return {"frame": frames, "positions": keypoints.centers_yx}, keypoints

    def prepare(self, stored: dict) -> tf.Tensor:
        """What is stored -> masked features, [B, h, w, F]."""
        features = self._model.features(to_images(stored["frame"]))
        windows = spatial.gaussian_windows(stored["positions"], features.shape[1], self._std)
        mask = spatial.join_windows(windows, "sum")
        if self._config.cnn_mask == "binary":
            mask = tf.cast(mask >= self._config.window_threshold, tf.float32)
        return features * tf.cast(mask, features.dtype)[..., None]


def build_vision(model: KeypointModel, config: EncoderConfig, bank: np.ndarray | None = None):
    """The vision that an encoder needs; bank: frames, where its keypoints come from others."""
    if bank is not None:
        return BankVision(model, config, bank)
    if config.needs_objects:
        return ObjectVision(model, config)
    return {"gnn": NodeVision, "cnn": MapVision}[config.encoder](model, config)
