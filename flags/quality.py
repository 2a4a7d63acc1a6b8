"""Flags of `python -m run.quality`: what is scored, on which frames, with which settings."""

from typing import NamedTuple

from absl import flags

from flags import common
from permakey_tf.configs.quality import QualityConfig
from permakey_tf.errors import UserError

_RUNS = common.define_paths("runs", [], "Run folders, comma-separated.")
_KEYPOINTS_NPZ = common.define_paths(
    "keypoints_npz",
    [],
    "Files with `centers`, float [N, K, 2], (y, x) in [-1, 1], of any model for the frames of "
    "--data (all of them, or the scored ones); comma-separated.",
)
_DATA = common.define_path(
    "data",
    None,
    "Frames with ground truth: a frame store made with --objects (its test split is scored), or a "
    "rollout file .npz (its second half is scored).",
)
_OUT = common.define_path("out", None, "Folder for tables, values and plots.")
_GAME = flags.DEFINE_string(
    "game", None, "The game of a rollout file. Unset: the file's name without .npz."
)
_VISIBLE_ONLY = flags.DEFINE_boolean(
    "visible_only", True, "Count only objects that are drawn in the frame."
)


class Command(NamedTuple):
    """What the flags ask for."""

    runs: list[str]
    keypoint_files: list[str]
    data: str
    out: str
    game: str | None
    visible_only: bool
    quality: QualityConfig


def define() -> None:
    """Defines all flags; call once, before they are parsed."""
    common.define(QualityConfig)


def from_flags() -> Command:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    for flag in (_DATA, _OUT):
        if not flag.value:
            raise UserError(f"--{flag.name} must be given (see --help)")
    if not _RUNS.value and not _KEYPOINTS_NPZ.value:
        raise UserError("nothing to score: give --runs or --keypoints_npz (see --help)")
    return Command(
        _RUNS.value,
        _KEYPOINTS_NPZ.value,
        _DATA.value,
        _OUT.value,
        _GAME.value,
        _VISIBLE_ONLY.value,
        common.build(QualityConfig),
    )
