"""Keypoints of frames that come one after the other, at the cost of what changes between them."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from permakey_tf.models.base import KeypointModel
from permakey_tf.models.frame_memory import FrameMemory
from permakey_tf.ops.changes import Cells
from permakey_tf.system.graphs import traced_once
from permakey_tf.tracking import Tracker
from permakey_tf.types import Keypoints


class StreamGraph:
    """What is computed of one frame after the other; all streams of a detector share it.

    Args:
      model: with trained weights.
    """

    def __init__(self, model: KeypointModel):
        self.model = model
        size, shapes = model.image_size, model.map_shapes
        frame = tf.TensorSpec([1, size, size, model.channels], tf.uint8)
        some = tf.TensorSpec([None], tf.int32)
        news = tuple(Cells(some, some) for _ in shapes)
        maps = tuple(tf.TensorSpec([1, *shape]) for shape in shapes)
        self._whole = traced_once(self._look_at_all, [frame])
        self._news = traced_once(self._look_at_news, [frame, news, maps])

    def _look_at_all(self, frame: tf.Tensor) -> tuple[Keypoints, tuple]:
        sensed, maps = self.model.sense_whole(frame)
        return self.model.locate(sensed.evidence), maps

    def _look_at_news(
        self, frame: tf.Tensor, news: tuple[Cells, ...], maps: tuple
    ) -> tuple[Keypoints, tuple]:
        sensed, maps = self.model.sense(frame, news, maps)
        return self.model.locate(sensed.evidence), maps

    def step(self, frame: np.ndarray, memory: FrameMemory) -> tuple[Keypoints, FrameMemory]:
        """Keypoints of the next frame, and the memory of it.

        Args:
          frame: uint8 [1, S, S, C], which the memory keeps.
          memory: of the frame before.
        """
        news = self.model.news(frame, memory)
        if self.model.whole_is_faster(news):
            found, maps = self._whole(frame)
        else:
            found, maps = self._news(frame, news, memory.maps)
        return Keypoints(*(part.numpy() for part in found)), FrameMemory.after(frame, maps)


class KeypointStream:
    """Keypoints of the frames of live play, a camera or a film; made by `KeypointDetector.stream`.

    Of every frame only that is computed which can differ from the frame before.

    Example:
      stream = detector.stream(track=True)
      keypoints = stream.update(frame)   # uint8 [H, W, 3] -> centres [K, 2], confidences [K]
      stream.reset()                     # before the first frame of the next episode

    Args:
      graph: of the detector's model.
      prepare: function of a frame [H, W, 3] to frames [1, S, S, C] as the model sees them; raises
        UserError for anything else.
      to_frame: function of keypoints and the frames that they were found in, to the frames'
        coordinates.
      track: whether keypoints keep their index from frame to frame.
    """

    def __init__(self, graph: StreamGraph, prepare: Callable, to_frame: Callable, track: bool):
        self._graph, self._prepare, self._to_frame = graph, prepare, to_frame
        self._tracker = Tracker() if track else None
        self.reset()

    def reset(self) -> None:
        """Forgets all that was seen: the next frame is a whole one, in the detector's order."""
        self._memory = self._graph.model.initial_memory(1)
        self._found: Keypoints | None = None
        if self._tracker:
            self._tracker.reset()

    def update(self, frame: ArrayLike) -> Keypoints:
        """Keypoints of the next frame.

        Args:
          frame: one frame, as of `KeypointDetector.detect`. The caller may write the next one into
            the same array.

        Returns:
          `centers_yx` float32 [K, 2] and `confidence` float32 [K], as of
          `KeypointDetector.keypoints` (with `track`, of `KeypointDetector.track`) but for rounding.

        Raises:
          UserError: `frame` is no such array.
        """
        found = self._to_frame(self._seen(frame), frame)
        one = Keypoints(*(part[0].copy() for part in found))
        return self._tracker.update(one) if self._tracker else one

    def _seen(self, frame: ArrayLike) -> Keypoints:
        """Keypoints [1, K, 2] and [1, K] in the frame as the model sees it."""
        seen = np.array(self._prepare(frame))  # a copy: it is compared with the next frame
        found = self._found
        if found is None or not np.array_equal(seen, self._memory.frames):
            found, self._memory = self._graph.step(seen, self._memory)
            self._found = found
        return found
