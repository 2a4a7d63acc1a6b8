"""Keypoints as the observations of Gymnasium environments."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from permakey_tf.errors import UserError
from permakey_tf.tracking import Tracker
from permakey_tf.types import Keypoints

if TYPE_CHECKING:
    from permakey_tf.detector import KeypointDetector

FORMS = ("points", "flat", "dict")
SOURCES = ("auto", "observation", "render")
KEY = "keypoints"  # in observations of the form "dict"


class KeypointObservation(gymnasium.Wrapper, RecordConstructorArgs):
    """An environment whose observations are keypoints.

    `KeypointObservation(environments, detector)` of a vector environment is a
    `VectorKeypointObservation`, which takes the same arguments but `frame_skip`.

    Example:
      env = gymnasium.make("ALE/MsPacman-v5", frameskip=1)
      env = KeypointObservation(env, KeypointDetector.load(run_folder), frame_skip=4)

    Args:
      env: environment whose observations are images, uint8 [H, W, 3] (or a stack of them,
        [T, H, W, 3], of which the last counts), or that renders them (render_mode="rgb_array").
      detector: finds the keypoints, K of them.
      form: of the observations. "points": float32 [K, 2], (y, x) in [-1, 1]. "flat": float32
        [2 K], y and x of the first keypoint, then of the second. "dict": the points under
        "keypoints", beside the environment's own observation ("observation", or its own keys
        where it is a dictionary itself).
      frames: where images come from. "auto": the observation where it is an image, otherwise
        `env.render()`; "observation" and "render" choose.
      frame_skip: how often an action is played, at the most, in one step. Above 1 the detector
        sees the maximum of the last two frames, as the frames of Atari games are that detectors
        are trained on; an Atari environment must then be made with frameskip=1.
      track: whether a keypoint keeps its index from step to step of an episode (tracking.Tracker).

    A keypoint beyond the border, as there are where frames were padded, is put on the border.

    Raises:
      UserError: an argument that does not fit the environment, or an image of a wrong kind.
    """

    def __new__(cls, env: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(env, gymnasium.vector.VectorEnv):
            return VectorKeypointObservation(env, *args, **kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        env: gymnasium.Env,
        detector: KeypointDetector,
        form: str = "points",
        frames: str = "auto",
        frame_skip: int = 1,
        track: bool = False,
    ):
        # Gymnasium's check_env makes the environment anew from its spec, wrappers included, to
        # render and to close it. A wrapper that records no arguments has no such spec. And what is
        # recorded is copied in depth unless told otherwise: detectors can be shared, not copied.
        RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            detector=detector,
            form=form,
            frames=frames,
            frame_skip=frame_skip,
            track=track,
        )
        gymnasium.Wrapper.__init__(self, env)
        self._sight = _Sight(env, env.observation_space, detector, form, frames)
        self._frame_skip = _check_frame_skip(env, frame_skip)
        self._trackers = [Tracker()] if track else []
        self._frame: np.ndarray | None = None
        self._points = np.zeros([detector.num_keypoints, 2], np.float32)
        self.observation_space = self._sight.space
        # What `render` can draw on; check_env tries each of these.
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """As Gymnasium's; the observation has the form asked for."""
        observation, info = self.env.reset(seed=seed, options=options)
        for tracker in self._trackers:
            tracker.reset()
        return self._observe(observation, self._image(observation)), info

    def step(self, action: Any):
        """Plays an action `frame_skip` times, or until the episode ends; rewards are summed."""
        total, images = 0.0, []
        for remaining in reversed(range(self._frame_skip)):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            over = terminated or truncated
            if remaining < 2 or over:
                images.append(self._image(observation))
            if over:  # the last screen itself, as in training
                images = images[-1:]
                break
        image = images[0] if len(images) == 1 else np.maximum(*images)
        return self._observe(observation, image), total, terminated, truncated, info

    def render(self) -> Any:
        """uint8 [H, W, 3]: the frame that the detector saw, a ring around every keypoint.

        Before the first reset, and in other modes than "rgb_array", what the environment renders.
        """
        if self._frame is None or self.render_mode not in (None, "rgb_array"):
            return self.env.render()
        return _draw(self._frame[None], self._points[None])[0]

    def _image(self, observation) -> np.ndarray:
        return self._sight.check(
            self.env.render() if self._sight.renders else self._sight.newest(observation)
        )

    def _observe(self, observation, image):
        self._frame = image.copy()  # an environment may reuse its array
        self._points = self._sight.find(image[None], self._trackers)[0]
        return self._sight.observation(self._points, observation)


class VectorKeypointObservation(gymnasium.vector.VectorObservationWrapper):
    """Environments side by side whose observations are keypoints, found in one call for all.

    Args and errors as of `KeypointObservation`. Where frames of Atari games are to be maxima of
    two, each environment is made so (`gymnasium.wrappers.MaxAndSkipObservation`), or is one of
    ale-py's AtariVectorEnv, which takes maxima itself.
    """

    def __init__(
        self,
        env: gymnasium.vector.VectorEnv,
        detector: KeypointDetector,
        form: str = "points",
        frames: str = "auto",
        frame_skip: int = 1,
        track: bool = False,
    ):
        if frame_skip != 1:
            raise UserError(
                f"frame_skip={frame_skip}: an environment of a vector may start anew in between; "
                "wrap each in gymnasium.wrappers.MaxAndSkipObservation instead"
            )
        super().__init__(env)
        self._sight = _Sight(env, env.single_observation_space, detector, form, frames)
        self._trackers = [Tracker() for _ in range(env.num_envs * track)]
        self._over = np.zeros(env.num_envs, bool)  # episodes that ended with the last step
        self._frames: np.ndarray | None = None
        self._points = np.zeros([env.num_envs, detector.num_keypoints, 2], np.float32)
        self.single_observation_space = self._sight.space
        self.observation_space = gymnasium.vector.utils.batch_space(self._sight.space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """As Gymnasium's, also with options["reset_mask"]; observations have the form asked for."""
        mask = (options or {}).get("reset_mask")  # the environments take it out
        self._begin(np.ones(self.num_envs, bool) if mask is None else np.asarray(mask, bool))
        return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        """As Gymnasium's: an environment whose episode has ended starts anew."""
        self._begin(self._over)
        result = super().step(actions)
        self._over = np.logical_or(result[2], result[3])
        return result

    def _begin(self, anew: np.ndarray) -> None:
        """Before the first observation of new episodes; anew: bool [number of environments]."""
        for tracker in itertools.compress(self._trackers, anew):
            tracker.reset()
        self._over = self._over & ~anew

    def observations(self, observations: Any) -> Any:
        """The environments' observations -> the same with keypoints, in the form asked for."""
        if self._sight.renders:
            images = [self._sight.check(image) for image in self.env.render() or (None,)]
            self._frames = np.stack(images)
        else:
            self._frames = self._sight.newest(observations).copy()
        self._points = self._sight.find(self._frames, self._trackers)
        return self._sight.observation(self._points, observations)

    def render(self) -> Any:
        """A tuple of uint8 [H, W, 3], as of `KeypointObservation.render`."""
        if self._frames is None or self.render_mode not in (None, "rgb_array"):
            return self.env.render()
        return tuple(_draw(self._frames, self._points))


class _Sight:
    """What both wrappers share: which images are looked at, and what becomes of the keypoints.

    Args:
      env: named in what is refused.
      observed: space of one environment's own observations.
      detector, form, frames: as of `KeypointObservation`.

    Attributes:
      space: of one environment's new observations.
      renders: whether images come from `render`, not from observations.
    """

    def __init__(self, env, observed: spaces.Space, detector, form: str, frames: str):
        for name, value, known in (("form", form, FORMS), ("frames", frames, SOURCES)):
            if value not in known:
                raise UserError(f"{name}={value!r} is unknown: one of {', '.join(known)}")
        self._env, self._detector, self._form = env, detector, form
        channels = (3,) if detector.channels == 3 else (3, 1)
        shape = (observed.shape or ()) if observed.dtype == np.uint8 else ()
        is_image = len(shape) in (3, 4) and shape[-1] in channels
        self._stacked = is_image and len(shape) == 4
        self.renders = frames == "render" or (frames == "auto" and not is_image)
        found = f"{env}: its observations are {' '.join(str(observed).split())}"
        if self.renders and env.render_mode != "rgb_array":
            raise UserError(
                f"{found}, and render_mode is {env.render_mode!r}: images (uint8 [H, W, 3]) are "
                'needed, make it with render_mode="rgb_array"'
            )
        if not self.renders and not is_image:
            raise UserError(f'{found}, no images (uint8 [H, W, 3]): choose frames="render"')
        self.space = self._with_points(observed)

    def _with_points(self, observed: spaces.Space) -> spaces.Space:
        number = self._detector.num_keypoints
        shape = (2 * number,) if self._form == "flat" else (number, 2)
        points = spaces.Box(-1.0, 1.0, shape, np.float32)
        if self._form != "dict":
            return points
        self._merges = isinstance(observed, spaces.Dict)
        own = (
            dict(observed.spaces)
            if isinstance(observed, spaces.Dict)
            else {"observation": observed}
        )
        if KEY in own:
            raise UserError(f"{self._env}: its observations have {KEY!r} already")
        return spaces.Dict({KEY: points, **own})

    def newest(self, observation) -> np.ndarray:
        """The image of an observation, or of a batch of them; of a stack the last."""
        return observation[..., -1, :, :, :] if self._stacked else observation

    def check(self, frame) -> np.ndarray:
        """Returns an image as it is. Raises UserError where it is none."""
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3:
            return frame
        is_array = isinstance(frame, np.ndarray)
        kind = f"{frame.dtype} {list(frame.shape)}" if is_array else type(frame).__name__
        raise UserError(f"{self._env}: gives {kind} where an image (uint8 [H, W, 3]) is needed")

    def find(self, frames: np.ndarray, trackers: list[Tracker]) -> np.ndarray:
        """uint8 [B, H, W, 3] -> float32 [B, K, 2] in [-1, 1]; in the order of B trackers, or in the
        detector's where there are none."""
        if trackers:
            found = self._detector.keypoints(frames)
            ordered = [
                tracker.update(Keypoints(*one)).centers_yx
                for tracker, one in zip(trackers, zip(*found, strict=True), strict=True)
            ]
            centers = np.stack(ordered)
        else:
            centers = self._detector.detect(frames)
        return np.clip(centers, -1.0, 1.0).astype(np.float32)

    def observation(self, points: np.ndarray, observed) -> Any:
        """Points float32 [..., K, 2] and the environment's own observation -> the new one."""
        if self._form == "points":
            return points.copy()
        if self._form == "flat":
            return points.reshape(*points.shape[:-2], -1).copy()
        own = observed if self._merges else {"observation": observed}
        return {KEY: points.copy(), **own}


def _check_frame_skip(env: gymnasium.Env, frame_skip: int) -> int:
    if frame_skip < 1:
        raise UserError(f"frame_skip={frame_skip}: at least 1")
    # ale-py's attribute, which Gymnasium's AtariPreprocessing reads too.
    own = getattr(env.unwrapped, "_frameskip", 1)
    if frame_skip > 1 and own != 1:
        raise UserError(
            f"frame_skip={frame_skip}: {env} skips frames itself (frameskip={own}): make it with "
            "frameskip=1"
        )
    return frame_skip


def _draw(frames: np.ndarray, points: np.ndarray) -> np.ndarray:
    # Imported here: whoever never renders needs no matplotlib.
    from permakey_tf.viz.overlay import draw_keypoints

    rgb = frames if frames.shape[-1] == 3 else frames.repeat(3, axis=-1)
    return draw_keypoints(rgb, points, magnify=1)
