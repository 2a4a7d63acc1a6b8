"""Types that cross module borders."""

from typing import Any, NamedTuple, TypedDict

import numpy as np

Box = tuple[str, int, int, int, int]  # category, left, top, width, height, pixels


class Step(NamedTuple):
    """One frame of a rollout as a frame source yields it.

    frame: uint8 [H, W, 3], RGB, any size.
    first: True on the first frame of an episode.
    action: int, index of the action that led to the frame; -1 where there is none.
    reward: float, true reward of the step.
    boxes: pixels of the 210x160 frame; None where ground truth is not asked for.
    visible: bool [number of boxes], whether each is drawn; None where that is not known.
    """

    frame: np.ndarray
    first: bool
    action: int = -1
    reward: float = 0.0
    boxes: list[Box] | None = None
    visible: np.ndarray | None = None


class Keypoints(NamedTuple):
    """Keypoints of a batch of frames.

    centers_yx: float32 [B, K, 2], (y, x) in [-1, 1], -1 at the top row and the left column.
    confidence: float32 [B, K] in [0, 1], how sure it is that something is there.
    """

    centers_yx: Any
    confidence: Any


class View(NamedTuple):
    """What there is to see of a batch of examples.

    images: float32 [B, S, S, C] in [0, 1], the frames that the keypoints belong to.
    keypoints: of these frames.
    panels: {title: float32 [B, S, S] (map) or [B, S, S, C] (image), in [0, 1]}.
    """

    images: Any
    keypoints: Keypoints
    panels: dict[str, Any]


class Losses(NamedTuple):
    """Losses of a keypoint method on one batch.

    by_module: {module: float32 []}; each trains the variables of that module alone.
    selection: float32 [], what early stopping compares.
    metrics: {name: float32 []}, parts of the losses and descriptions of the keypoints.
    """

    by_module: dict[str, Any]
    selection: Any
    metrics: dict[str, Any]


class Column(NamedTuple):
    """Shape and dtype of one part of a replay's row."""

    shape: tuple[int, ...]
    dtype: np.dtype


class SequenceBatch(NamedTuple):
    """Windows of an agent's past, time along axis 1 (T = loss steps L + n of the returns).

    inputs: {name: [B, T, ...]}, what the encoder needs of each frame, see models.vision.
    actions: int32 [B, T].
    rewards: float32 [B, T], that followed the actions.
    discounts: float32 [B, T], gamma, or 0 where the episode ended with the action.
    final: bool [B, T], observations after which no action was taken: values are bootstrapped here.
    mask: float32 [B, L], 1 for the steps that are trained.
    """

    inputs: dict[str, Any]
    actions: Any
    rewards: Any
    discounts: Any
    final: Any
    mask: Any


class EnvironmentRecord(TypedDict):
    """Which environment was played, as a frame store and a keypoint run hold it.

    id: Gymnasium's; "" for an Atari game on the plain emulator. kwargs: arguments that were given.
    package: that has it, or the module where it is of no package. version: of the package.
    """

    id: str
    kwargs: dict[str, Any]
    package: str
    version: str | None
