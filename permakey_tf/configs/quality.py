"""Every setting of the keypoint benchmark, once (docs/quality.md); see configs/base.py."""

import dataclasses

from permakey_tf.configs.base import Config, setting
from permakey_tf.configs.frames import MAX_STEPS
from permakey_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class QualityConfig(Config):
    """How keypoints are scored against ground truth (docs/quality.md has every definition).

    Pixels are those of the 210x160 frame.
    """

    epsilon: int = setting(
        4,
        "A keypoint is on an object within this distance of its box; the curves go over all whole "
        "distances up to --max_epsilon.",
        origin="ours",
        unit="pixels",
        low=1,
        high=200,
    )
    max_epsilon: int = setting(
        16, "Largest distance of the curves.", origin="ours", unit="pixels", low=1, high=200
    )
    windows: tuple[int, ...] = setting(
        (1, 25, 50, 100, 200),
        "Lengths of the windows over which tracking is measured.",
        origin="ours",
        unit="frames",
        low=1,
        high=1_000_000,
    )
    link_distance: float = setting(
        16.0,
        "Boxes of consecutive frames that are farther apart are not the same object.",
        origin="ours",
        unit="pixels",
        above=0,
    )
    ridge: float = setting(
        1.0,
        "Penalty on the probe's squared weights, beside its squared error in pixels summed over "
        "frames; centres are from -1 to 1.",
        origin="ours",
        low=0,
        high=1e9,
    )
    probe_frames: int = setting(
        5000,
        "The probe is fitted on at most this many frames.",
        origin="ours",
        low=1,
        high=MAX_STEPS,
    )
    peak_radius: int = setting(
        4,
        "The strongest peaks of a map, as a baseline, keep farther apart than this along one axis "
        "at least.",
        origin="ours",
        unit="pixels of the frame that the model sees",
        low=0,
        high=200,
    )
    quality_seed: int = setting(
        0,
        "Seed of random keypoints, shuffled frames and bars.",
        origin="ours",
        low=0,
        high=2**63 - 1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon > self.max_epsilon:
            raise UserError(
                f"epsilon={self.epsilon} must not exceed max_epsilon", ["epsilon", "max_epsilon"]
            )
