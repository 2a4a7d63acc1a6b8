"""A trained run as a function of frames."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from permakey_tf.configs.keypoints import KeypointConfig
from permakey_tf.data.preparation import FrameFormat, remedy
from permakey_tf.errors import UserError, expect
from permakey_tf.models.base import KeypointModel
from permakey_tf.models.build import build_model
from permakey_tf.ops.images import prepare_frames, to_images
from permakey_tf.runs import checkpoint, release
from permakey_tf.runs.keypoints import KeypointFolder
from permakey_tf.stream import KeypointStream, StreamGraph
from permakey_tf.system import files
from permakey_tf.system.arrays import as_array
from permakey_tf.tracking import track
from permakey_tf.types import Keypoints

_CHUNK = 32  # frames in one call of the model: bounds memory for any batch size


class KeypointDetector:
    """Keypoints, windows and error maps of a trained run.

    Frames of any size are brought to the model's size by area averaging, padded to a square first
    where the model was trained on padded frames, and to grey where it was trained on grey ones.

    Example:
      detector = KeypointDetector.load("runs/mspacman_permakey_seed0")
      centers = detector.detect(frames)   # uint8 [B, H, W, 3] -> float32 [B, K, 2]

    Args:
      model: a models.base.KeypointModel with trained weights.
      keep_aspect: whether it was trained on padded frames, see data.preparation.FrameFormat.
    """

    def __init__(self, model: KeypointModel, keep_aspect: bool = False):
        expect(KeypointModel, model, "model", "KeypointDetector.load(run) gives a run's detector")
        self._model, self._keep_aspect = model, keep_aspect
        shape = [None, model.image_size, model.image_size, model.channels]
        traced = {"input_signature": [tf.TensorSpec(shape, tf.uint8)], "autograph": False}
        # Called as concrete functions: of five detectors TensorFlow thinks one that is traced anew.
        self._keypoints = tf.function(lambda frames: model(to_images(frames)), **traced)
        self._stream_graph: StreamGraph | None = None
        self._error_maps = self._gains = None
        if model.error_map_layers:
            self._error_maps = tf.function(
                lambda frames: model.error_maps(to_images(frames)), **traced
            )
            self._gains = tf.function(lambda frames: model.gains(to_images(frames)), **traced)

    def __repr__(self) -> str:
        size, kind = self.image_size, self.config.method
        seen = f"{size}x{size}x{self.channels}"
        return f"<KeypointDetector: {kind}, {self.num_keypoints} keypoints, frames of {seen}>"

    @classmethod
    def load(cls, path: str | Path, sha256: str | None = None) -> "KeypointDetector":
        """Loads the best checkpoint of a run folder, or a file that `save` has written.

        Needs neither the run's frames nor flags.

        Args:
          path: of the folder or file.
          sha256: of the file, in hex, as published with it; compared where it is given.

        Raises:
          UserError: no such run or file, or a missing, damaged or other one.
        """
        if sha256 is not None:
            expect(str, sha256, "sha256", "64 hex digits, as KeypointDetector.save returns them")
        path = files.user_path(path)
        if path.is_file():
            return cls._load_file(path, sha256)
        if sha256 is not None:
            raise UserError(f"{path}: sha256 is compared with a file, and this is none")
        folder = KeypointFolder.open(path)
        return cls(folder.load_model(), folder.frames.keep_aspect)

    @classmethod
    def _load_file(cls, path: Path, sha256: str | None) -> "KeypointDetector":
        if sha256 is not None:
            release.check(path, sha256)
        content = release.read(path)
        model = build_model(content.config, content.image_size, content.channels)
        detector = cls(model, content.keep_aspect)
        checkpoint.assign(detector._variables_read(), content.weights, path)
        return detector

    def save(self, path: str | Path, half: bool = True) -> str:
        """Writes one small file that `load` opens, to hand a trained detector on.

        It has what `detect` and `error_maps` read, and all settings; no decoder, so that the
        reconstructions of its model are meaningless, and no state of training.

        Args:
          path: of the file, such as "mspacman.npz"; another detector's is replaced.
          half: weights in half precision, half as large; docs/export.md says how far keypoints
            move.

        Returns:
          SHA-256 (hex) of the file, to be published beside it.

        Raises:
          UserError: the file cannot be written, or another kind of file is there.
        """
        weights = checkpoint.to_arrays(self._variables_read())
        size, channels = self.image_size, self.channels
        content = release.Release(self.config, size, channels, self._keep_aspect, weights)
        return release.write(files.user_path(path), content, half)

    def _variables_read(self) -> dict[str, Any]:
        """{name: variable} of all that `detect` and `error_maps` read."""
        functions = [self._keypoints, *([self._error_maps] if self._error_maps else [])]
        read = {
            id(variable)
            for function in functions
            for variable in function.get_concrete_function().variables
        }
        named = checkpoint.named_variables({"model": self._model.variables})
        return {name: variable for name, variable in named.items() if id(variable.value) in read}

    def __deepcopy__(self, memo: Any) -> "KeypointDetector":
        """The detector itself: it never changes, and Gymnasium copies the arguments of wrappers."""
        return self

    @property
    def model(self) -> KeypointModel:
        """The Keras model: images float32 [B, S, S, C] in [0, 1] to `types.Keypoints`."""
        return self._model

    @property
    def config(self) -> KeypointConfig:
        """All settings of the run."""
        return self._model.config

    @property
    def num_keypoints(self) -> int:
        """K."""
        return cast(int, self.config.pointnet.num_keypoints)  # a run's config is resolved

    @property
    def image_size(self) -> int:
        """Side S of the frames that the model sees, in pixels."""
        return self._model.image_size

    @property
    def channels(self) -> int:
        """Of the frames that the model sees: 3, or 1 where they are grey."""
        return self._model.channels

    @property
    def error_map_layers(self) -> tuple[int, ...]:
        """Encoder layers of the M error maps; () where the method has none."""
        return self._model.error_map_layers

    def detect(self, frames: ArrayLike) -> np.ndarray:
        """Keypoint centres.

        Args:
          frames: uint8 [B, H, W, 3], or one frame [H, W, 3]; RGB, any size. A model of grey
            frames also takes [B, H, W, 1].

        Returns:
          float32 [B, K, 2] (or [K, 2]), (y, x) in [-1, 1], -1 at the top row and left column of
          the frame: in pixels, row (y + 1) / 2 * (H - 1) and column (x + 1) / 2 * (W - 1), from
          0 on. Of a model of padded frames, a keypoint in the padding is outside of [-1, 1].

        Raises:
          UserError: `frames` is no such array.
        """
        return self.keypoints(frames).centers_yx

    def keypoints(self, frames: ArrayLike) -> Keypoints:
        """Keypoint centres, and how sure each is that something is there.

        What confidence is depends on how keypoints are found, docs/pursuit.md: with pursuit, how
        much brighter a place is than usual; with PointNet, how much of the error maps a window
        explains; of Transporter, how much of a keypoint's softmax lies within its window. Compare
        confidences of one run only.

        Args and errors as in `detect`.

        Returns:
          `types.Keypoints` of NumPy arrays: `centers_yx` float32 [B, K, 2] as of `detect`,
          `confidence` float32 [B, K] in [0, 1]; of one frame [K, 2] and [K].
        """
        return self._to_frame(self._seen(frames), frames)

    def _to_frame(self, found: Keypoints, frames: ArrayLike) -> Keypoints:
        """From the frames as the model sees them to the frames themselves."""
        if not self._keep_aspect:
            return found
        # From the padded square to the frame in its middle.
        sides = np.array(np.shape(frames)[-3:-1], np.float32)
        return found._replace(centers_yx=found.centers_yx * (sides.max() / sides))

    def track(self, frames: ArrayLike, episodes: ArrayLike | None = None) -> Keypoints:
        """Keypoints that keep their index from frame to frame, see `tracking.Tracker`.

        Args:
          frames: as of `detect`, [B, H, W, 3], in their order.
          episodes: int [B], episode of every frame; the first of an episode keeps the detector's
            order. Without it all frames are one episode.

        Returns:
          The keypoints of `keypoints`: of every frame in another order.

        Raises:
          UserError: as in `detect`, or the arrays do not fit each other.
        """
        frames = _checked(frames)  # of a list, once
        if frames.ndim == 3:
            raise UserError(
                "track needs frames [B, H, W, 3]; one after the other: stream(track=True)"
            )
        return track(self.keypoints(frames), episodes)

    def stream(self, track: bool = False) -> KeypointStream:
        """What `keypoints` does (with `track`, what `track` does), for frames that come one after
        the other: of each only that is computed which can differ from the frame before.

        Results are those of the whole frame, to the rounding of float32 (of bfloat16, where the
        model was trained in it). A method without error maps (Transporter) computes whole frames.

        Args:
          track: whether keypoints keep their index from frame to frame, see `tracking.Tracker`.

        Raises:
          UserError: `track` is neither True nor False.
        """
        expect(bool, track, "track", "True or False")
        if self._stream_graph is None:
            self._stream_graph = StreamGraph(self._model)
        return KeypointStream(self._stream_graph, self._prepare_one, self._to_frame, track)

    def tracker(self) -> KeypointStream:
        """`stream(track=True)`."""
        return self.stream(track=True)

    def error_maps(self, frames: ArrayLike) -> np.ndarray:
        """Error maps of the chosen encoder layers: float32 [B, S, S, M] in [0, 1].

        Args as in `detect`.

        Raises:
          UserError: as in `detect`, or the run's method has no error maps (Transporter).
        """
        size, num_maps = self.image_size, len(self.error_map_layers)
        none = np.zeros([0, size, size, num_maps], np.float32)
        return self._map(self._of_maps(self._error_maps), frames, none)

    def gains(self, frames: ArrayLike) -> np.ndarray:
        """What each keypoint's window takes off eq. 3: float32 [B, K].

        Its mean squared error falls by so much where the window, 1 high, joins those before it: in
        pursuit's order, on the map that is pursued; of PointNet's keypoints the one that explains
        most alone comes first, on the smoothed mean map. Negative: the window adds more to the
        error than it takes off, as it does where the map is less than half as bright.

        Args and errors as of `error_maps`.
        """
        none = np.zeros([0, self.num_keypoints], np.float32)
        return self._map(self._of_maps(self._gains), frames, none)

    def _of_maps(self, function: Any) -> Any:
        if function is None:
            raise UserError(
                f"{self.config.method} has no error maps: only permakey predicts features from "
                "their neighbours"
            )
        return function

    def windows(self, frames: ArrayLike) -> np.ndarray:
        """Gaussian windows of the keypoints: float32 [B, S, S, K] in [0, 1].

        Args and errors as in `detect`.
        """
        centers = self._seen(frames).centers_yx
        single = centers.ndim == 2
        windows = self._model.windows(centers[None] if single else centers, self.image_size)
        return windows.numpy()[0] if single else windows.numpy()

    def export(self, path: str | Path) -> None:
        """Writes a TensorFlow SavedModel that is used without this package.

        Its signature `serving_default` takes `frames`, uint8 [B, H, W, 3] of any size, brings them
        to the model's size as `detect` does, and gives `centers` and `confidence` (float32
        [B, K, 2] and [B, K], as of `keypoints`) and, where the method has them, `error_maps`
        (float32 [B, S, S, M]).

        Args:
          path: of the folder to make.

        Raises:
          UserError: `path` exists, or cannot be written.
        """
        module = tf.Module()
        signature = [tf.TensorSpec([None, None, None, 3], tf.uint8, "frames")]
        serve = tf.function(self._serve, input_signature=signature, autograph=False)
        # Only what the graph reads: decoders and losses stay behind.
        module.variables_read = serve.get_concrete_function().variables
        with files.new_folder(files.user_path(path)) as folder:
            try:
                tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
            except tf.errors.OpError as error:
                raise UserError(f"cannot write {path}: {error.message}") from error

    def _serve(self, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """`keypoints` and `error_maps` as one graph."""
        prepared = prepare_frames(frames, self.image_size, self.channels, self._keep_aspect)
        images, number = to_images(prepared), tf.shape(frames)[0]
        # A blank frame stands in for none: oneDNN's convolutions of none have a wrong shape.
        blank = tf.zeros([tf.maximum(1 - number, 0), *images.shape[1:]])
        images = tf.concat([images, blank], axis=0)
        centers, confidence = self._model(images)
        if self._keep_aspect:
            sides = tf.cast(tf.shape(frames)[1:3], tf.float32)
            centers *= tf.reduce_max(sides) / sides
        found = {"centers": centers, "confidence": confidence}
        if self._error_maps is not None:
            found["error_maps"] = self._model.error_maps(images)
        return {name: values[:number] for name, values in found.items()}

    def _seen(self, frames: ArrayLike) -> Keypoints:
        """Keypoints in the frame as the model sees it."""
        number = self.num_keypoints
        none = Keypoints(np.zeros([0, number, 2], np.float32), np.zeros([0, number], np.float32))
        return self._map(self._keypoints, frames, none)

    def _map(self, function: Any, frames: ArrayLike, none: Any) -> Any:
        """What a function of frames gives, chunk by chunk; `none` is that of no frames."""
        frames = _checked(frames)
        if frames.ndim == 3:
            batch = self._map(function, frames[None], none)
            return tf.nest.map_structure(lambda part: part[0], batch)
        outputs = [none]
        graph = function.get_concrete_function()
        for start in range(0, len(frames), _CHUNK):
            chunk = graph(tf.constant(self._prepare(frames[start : start + _CHUNK])))
            outputs.append(tf.nest.map_structure(lambda part: part.numpy(), chunk))
        return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *outputs)

    def _prepare(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, 3] -> uint8 [B, S, S, C], as the model sees them."""
        seen_as = FrameFormat(self.image_size, self.channels, keep_aspect=self._keep_aspect)
        return seen_as.prepare(frames)

    def _prepare_one(self, frame: ArrayLike) -> np.ndarray:
        """uint8 [H, W, 3] -> uint8 [1, S, S, C]."""
        frame = _checked(frame)
        if frame.ndim != 3:
            raise UserError(
                "update takes one frame [H, W, 3]; many at once: KeypointDetector.keypoints, or "
                "KeypointDetector.track"
            )
        return self._prepare(frame[None])


def _checked(frames: ArrayLike) -> np.ndarray:
    """uint8 [B, H, W, 3 or 1], or of one frame; UserError for everything else."""
    frames = as_array(frames, "frames")
    if frames.dtype != np.uint8 or frames.ndim not in (3, 4) or frames.shape[-1] not in (1, 3):
        raise UserError(
            f"frames must be uint8 [B, H, W, 3] or [H, W, 3], not {frames.dtype} "
            f"{list(frames.shape)}{remedy(frames)}"
        )
    return frames
