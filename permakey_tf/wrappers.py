"""Keypoints as the observations of Gymnasium environments."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from permakey_tf.errors import UserError, expect
from permakey_tf.tracking import Tracker
from permakey_tf.types import Keypoints

if TYPE_CHECKING:
    from permakey_tf.detector import KeypointDetector

FORMS = ("points", "flat", "dict")
SOURCES = ("auto", "observation", "render")
# In observations of the form "dict":
KEY = "keypoints"
CONFIDENCE_KEY = "confidence"


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
      confidence: whether observations say how sure each keypoint is, in [0, 1]. Behind y and x, so
        that "points" are [K, 3] and "flat" is [3 K]; in a "dict" under "confidence", float32 [K].

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
        env: gymnasium.Env | gymnasium.vector.VectorEnv,  # the latter goes to another class
        detector: KeypointDetector,
        form: str = "points",
        frames: str = "auto",
        frame_skip: int = 1,
        track: bool = False,
        confidence: bool = False,
    ):
        expect(gymnasium.Env, env, "env", "gymnasium.make(its id) gives one")
        env = cast(gymnasium.Env, env)
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
            confidence=confidence,
        )
        gymnasium.Wrapper.__init__(self, env)
        self._sight = _Sight(env, env.observation_space, detector, form, frames, confidence)
        self._frame_skip = _check_frame_skip(env, frame_skip)
        self._trackers = _trackers(track, 1)
        self._frame: np.ndarray | None = None
        self._seen: Keypoints | None = None  # on that frame; a batch of one
        self.observation_space = self._sight.space
        # What `render` can draw on; check_env tries each of these.
        self.metadata = {**env.metadata, "render_modes": ["rgb_array"]}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As Gymnasium's; the observation has the form asked for."""
        observation, info = self.env.reset(seed=seed, options=options)
        for tracker in self._trackers:
            tracker.reset()
        return self._observe(observation, self._image(observation).copy()), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Plays an action `frame_skip` times, or until the episode ends; rewards are summed."""
        total, images = 0.0, []
        for remaining in reversed(range(self._frame_skip)):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            over = terminated or truncated
            if remaining < 2 or over:
                images.append(self._image(observation).copy())  # its array may be used again
            if over:  # the last screen itself, as in training
                images = images[-1:]
                break
        image = images[0] if len(images) == 1 else np.maximum(*images)
        return self._observe(observation, image), total, terminated, truncated, info

    def render(self) -> Any:
        """uint8 [H, W, 3]: the frame that the detector saw, a ring around every keypoint, fainter
        the less sure it is.

        Before the first reset, and in other modes than "rgb_array", what the environment renders.
        """
        frame, seen = self._frame, self._seen
        if frame is None or seen is None or self.render_mode not in (None, "rgb_array"):
            return self.env.render()
        return _draw(frame[None], seen)[0]

    def _image(self, observation: Any) -> np.ndarray:
        return self._sight.check(
            self.env.render() if self._sight.renders else self._sight.newest(observation)
        )

    def _observe(self, observation: Any, image: np.ndarray) -> Any:
        self._frame = image
        self._seen = self._sight.find(image[None], self._trackers)
        one = Keypoints(*(part[0] for part in self._seen))
        return self._sight.observation(one, observation)


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
        confidence: bool = False,
    ):
        expect(gymnasium.vector.VectorEnv, env, "env", "gymnasium.make_vec(its id, 8) gives one")
        if frame_skip != 1:
            raise UserError(
                f"frame_skip={frame_skip}: an environment of a vector may start anew in between; "
                "wrap each in gymnasium.wrappers.MaxAndSkipObservation instead"
            )
        if env.metadata.get("autoreset_mode") == gymnasium.vector.AutoresetMode.SAME_STEP:
            raise UserError(
                "autoreset_mode=SAME_STEP hides the last frame of an episode: make the "
                "environments with gymnasium.vector.AutoresetMode.NEXT_STEP"
            )
        super().__init__(env)
        space = env.single_observation_space
        self._sight = _Sight(env, space, detector, form, frames, confidence)
        self._trackers = _trackers(track, env.num_envs)
        self._over = np.zeros(env.num_envs, bool)  # episodes that ended with the last step
        self._frames: np.ndarray | None = None
        self._seen: Keypoints | None = None
        self.single_observation_space = self._sight.space
        self.observation_space = gymnasium.vector.utils.batch_space(self._sight.space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """As Gymnasium's, also with options["reset_mask"]; observations have the form asked for."""
        # A copy: the environments take the mask out, and who wraps this one may look for it.
        options = dict(options) if options else None
        mask = (options or {}).get("reset_mask")
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
        self._seen = self._sight.find(self._frames, self._trackers)
        return self._sight.observation(self._seen, observations)

    def render(self) -> Any:
        """A tuple of uint8 [H, W, 3], as of `KeypointObservation.render`."""
        frames, seen = self._frames, self._seen
        if frames is None or seen is None or self.render_mode not in (None, "rgb_array"):
            return self.env.render()
        return tuple(_draw(frames, seen))


def _way_to_images(env: Any) -> str:
    """How to make an environment that has them."""
    atari = getattr(env, "unwrapped", env).__class__.__name__ == "AtariVectorEnv"
    return "make it with " + ("grayscale=False" if atari else 'render_mode="rgb_array"')


class _Sight:
    """What both wrappers share: which images are looked at, and what becomes of the keypoints.

    Args:
      env: named in what is refused.
      observed: space of one environment's own observations.
      detector, form, frames, confidence: as of `KeypointObservation`.

    Attributes:
      space: of one environment's new observations.
      renders: whether images come from `render`, not from observations.
    """

    def __init__(
        self,
        env: Any,
        observed: spaces.Space,
        detector: KeypointDetector,
        form: str,
        frames: str,
        confidence: bool,
    ):
        for name, value, known in (("form", form, FORMS), ("frames", frames, SOURCES)):
            if value not in known:
                raise UserError(f"{name}={value!r} is unknown: one of {', '.join(known)}")
        expect(bool, confidence, "confidence", "True or False")
        if isinstance(detector, str | os.PathLike):
            one = f"KeypointDetector.load({str(detector)!r})"
            raise UserError(f"detector must be a detector, not a path: {one} gives one")
        needed = ("keypoints", "num_keypoints", "channels")
        if isinstance(detector, type) or not all(hasattr(detector, name) for name in needed):
            kind = detector if isinstance(detector, type) else type(detector)
            raise UserError(
                f"detector must be a detector, not {kind.__name__}: "
                "KeypointDetector.load(run) gives one"
            )
        self._env, self._detector, self._form, self._confidence = env, detector, form, confidence
        channels = (3,) if detector.channels == 3 else (3, 1)
        shape = (observed.shape or ()) if observed.dtype == np.uint8 else ()
        is_image = len(shape) in (3, 4) and shape[-1] in channels
        self._stacked = is_image and len(shape) == 4
        self.renders = frames == "render" or (frames == "auto" and not is_image)
        found = f"{env}: its observations are {' '.join(str(observed).split())}"
        if self.renders and env.render_mode != "rgb_array":
            raise UserError(
                f"{found}, and render_mode is {env.render_mode!r}: images (uint8 [H, W, 3]) are "
                f"needed, {_way_to_images(env)}"
            )
        if not self.renders and not is_image:
            raise UserError(f'{found}, no images (uint8 [H, W, 3]): choose frames="render"')
        self.space = self._with_points(observed)

    def _with_points(self, observed: spaces.Space) -> spaces.Space:
        number = self._detector.num_keypoints
        width = 3 if self._confidence and self._form != "dict" else 2
        shape = (width * number,) if self._form == "flat" else (number, width)
        points = spaces.Box(-1.0, 1.0, shape, np.float32)
        if self._form != "dict":
            return points
        new: dict[str, spaces.Space] = {KEY: points}
        if self._confidence:
            new[CONFIDENCE_KEY] = spaces.Box(0.0, 1.0, (number,), np.float32)
        self._merges = isinstance(observed, spaces.Dict)
        own = (
            dict(observed.spaces)
            if isinstance(observed, spaces.Dict)
            else {"observation": observed}
        )
        for key in new:
            if key in own:
                raise UserError(f"{self._env}: its observations have {key!r} already")
        return spaces.Dict({**new, **own})

    def newest(self, observation: Any) -> np.ndarray:
        """The image of an observation, or of a batch of them; of a stack the last."""
        return observation[..., -1, :, :, :] if self._stacked else observation

    def check(self, frame: Any) -> np.ndarray:
        """Returns an image as it is. Raises UserError where it is none."""
        if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3:
            return frame
        is_array = isinstance(frame, np.ndarray)
        kind = f"{frame.dtype} {list(frame.shape)}" if is_array else type(frame).__name__
        raise UserError(f"{self._env}: gives {kind} where an image (uint8 [H, W, 3]) is needed")

    def find(self, frames: np.ndarray, trackers: list[Tracker]) -> Keypoints:
        """uint8 [B, H, W, 3] -> keypoints, float32, the centres in [-1, 1]; in the order of B
        trackers, or in the detector's where there are none."""
        found = self._detector.keypoints(frames)
        if trackers:
            ordered = [
                tracker.update(Keypoints(*one))
                for tracker, one in zip(trackers, zip(*found, strict=True), strict=True)
            ]
            found = Keypoints(*map(np.stack, zip(*ordered, strict=True)))
        centers = np.clip(found.centers_yx, -1.0, 1.0).astype(np.float32)
        return Keypoints(centers, found.confidence.astype(np.float32))

    def observation(self, keypoints: Keypoints, observed: Any) -> Any:
        """Keypoints [..., K] and the environment's own observation -> the new one."""
        points, confidence = (part.copy() for part in keypoints)
        if self._form == "dict":
            own = observed if self._merges else {"observation": observed}
            new = {KEY: points, CONFIDENCE_KEY: confidence} if self._confidence else {KEY: points}
            return new | dict(own)
        if self._confidence:
            points = np.concatenate([points, confidence[..., None]], axis=-1)
        return points if self._form == "points" else points.reshape(*points.shape[:-2], -1)


def _trackers(track: bool, number: int) -> list[Tracker]:
    """One for each environment; none where keypoints are not tracked."""
    expect(bool, track, "track", "True or False")
    return [Tracker() for _ in range(number * track)]


def _check_frame_skip(env: gymnasium.Env, frame_skip: int) -> int:
    if not isinstance(frame_skip, int | np.integer) or frame_skip < 1:
        raise UserError(f"frame_skip={frame_skip}: a whole number, at least 1")
    # ale-py's attribute, which Gymnasium's AtariPreprocessing reads too.
    own = getattr(env.unwrapped, "_frameskip", 1)
    if frame_skip > 1 and own != 1:
        raise UserError(
            f"frame_skip={frame_skip}: {env} skips frames itself (frameskip={own}): make it with "
            "frameskip=1"
        )
    return frame_skip


def _draw(frames: np.ndarray, keypoints: Keypoints) -> np.ndarray:
    # Imported here: whoever never renders needs no matplotlib.
    from permakey_tf.viz.overlay import draw_keypoints

    rgb = frames if frames.shape[-1] == 3 else frames.repeat(3, axis=-1)
    return draw_keypoints(rgb, *keypoints, magnify=1)
