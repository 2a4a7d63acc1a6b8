"""Flags of `python -m run.quality`: what is scored, on which frames, with which settings."""

from typing import NamedTuple

from absl import flags as absl_flags

from flags import common
from permakey_tf.configs.base import flatten
from permakey_tf.configs.keypoints import NOISES
from permakey_tf.configs.quality import QualityConfig
from permakey_tf.errors import UserError

_OF_SCORING = ("game", "visible_only", "baselines", *flatten(QualityConfig()))
_OF_FILES = ("keypoints_noise", "export_frames")


class Benchmark(NamedTuple):
    """What the flags ask for; where there are `reports`, their mean alone."""

    reports: list[str]
    runs: list[str]
    keypoint_files: list[str]
    data: str | None
    out: str
    game: str | None
    visible_only: bool
    baselines: bool
    quality: QualityConfig
    keypoints_noise: str
    export_frames: str | None


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    common.define_paths("runs", [], "Run folders, comma-separated.", values)
    common.define_paths(
        "keypoints_npz",
        [],
        "Files with `centers`, float [N, K, 2], (y, x) in [-1, 1], of any model for the frames of "
        "--data (all of them, or the scored ones); comma-separated.",
        values,
    )
    absl_flags.DEFINE_enum(
        "keypoints_noise",
        "none",
        NOISES,
        "Bars on the frames that the centres of --keypoints_npz were found in, those of "
        "--export_frames.",
        flag_values=values,
    )
    common.define_path(
        "export_frames",
        None,
        "File .npz to write `frames` of --data to, uint8 [N, S, S, C], as models see them, with "
        "the bars of --keypoints_noise: for a model that is not ours. Nothing is scored.",
        values,
    )
    common.define_path(
        "data",
        None,
        "Frames with ground truth: a frame store made with --objects (its test split is scored), "
        "or a rollout file .npz (its second half is scored).",
        values,
    )
    common.define_paths(
        "mean",
        [],
        "Folders that this command has written before, of several games or conditions: nothing is "
        "scored, one table shows their mean; comma-separated.",
        values,
    )
    common.define_path("out", None, "Folder for tables, values and plots.", values)
    absl_flags.DEFINE_string(
        "game",
        None,
        "The game of a rollout file. Unset: the file's name without .npz.",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "visible_only",
        True,
        "Count only objects that are drawn in the frame.",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "baselines",
        True,
        "Score the baselines as well, which takes most of the time.",
        flag_values=values,
    )
    common.define(QualityConfig, flag_values=values)


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> Benchmark:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    if values["mean"].value:
        if values.runs or values.keypoints_npz or values.data:
            raise UserError(
                "--mean takes what was scored before: leave out --runs, --keypoints_npz, --data"
            )
        others = (*_OF_SCORING, *_OF_FILES)
        common.refuse_flags(values, others, "with --mean, of what was scored before")
    export = values["export_frames"].value
    if export:
        useless = ("runs", "keypoints_npz", "out", "baselines")
        common.refuse_flags(values, useless, "with --export_frames, which scores nothing")
    elif not values.keypoints_npz:
        common.refuse_flags(values, ["keypoints_noise"], "without --keypoints_npz")
    needed = ("out",) if values["mean"].value else ("data",) if export else ("data", "out")
    for name in needed:
        if not values[name].value:
            raise UserError(f"--{name} must be given (see --help)")
    if not (values.runs or values.keypoints_npz or values["mean"].value or export):
        raise UserError("nothing to score: give --runs or --keypoints_npz (see --help)")
    return Benchmark(
        values["mean"].value,
        values.runs,
        values.keypoints_npz,
        values.data,
        values.out,
        values.game,
        values.visible_only,
        values.baselines,
        common.build(QualityConfig, values),
        values["keypoints_noise"].value,
        export,
    )
