"""Flags of `python -m run.figures`: which figure, of which runs, on which frames."""

from pathlib import Path
from typing import NamedTuple

from absl import flags as absl_flags

from flags import common
from permakey_tf.errors import UserError
from permakey_tf.viz.video import FORMATS, check_rate

# As permakey_tf.figures.recipes.RECIPES, which needs seconds to load.
_NUMBERED = ("2a", "2b", "4", "5", "6", "7", "8", "9", "10")
FIGURES = (*_NUMBERED, "kernel", "transporter", "curves", "video")


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    absl_flags.DEFINE_enum(
        "figure",
        None,
        FIGURES,
        "Figure to draw, by its number in the paper or by name; docs/figures.md shows what each "
        "needs.",
        flag_values=values,
    )
    common.define_paths(
        "runs",
        [],
        "Run folders of run.keypoints, of either method. Comma-separated.",
        flag_values=values,
    )
    common.define_paths(
        "data",
        [],
        "Frame stores, one for each game of the runs (curves: none). Comma-separated.",
        flag_values=values,
    )
    common.define_path(
        "out",
        "figures",
        "Folder for figure_NAME.png and .pdf, .mp4 or .gif.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "columns",
        None,
        "Frames of one game. Unset: what fits the figure. Range: >= 1.",
        lower_bound=1,
        flag_values=values,
    )
    absl_flags.DEFINE_list(
        "frames",
        None,
        "Frames to show: positions in the test split, counted from 0 (2a, 2b: one for each game; "
        "transporter: positions among the test pairs). Unset: spread evenly. Comma-separated.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "frames_seed",
        None,
        "Draws the frames at random instead, and the noise bars anew. Range: >= 0.",
        lower_bound=0,
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "episode",
        0,
        "video: episode of the test split, counted from 0. Range: >= 0.",
        lower_bound=0,
        flag_values=values,
    )
    common.define_float(
        "fps",
        15.0,
        "video: frames a second. Range: 1 to 60; a GIF's at most 50.",
        1.0,
        60.0,
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "format",
        "mp4",
        FORMATS,
        "video: file format; a GIF is larger and takes longer.",
        flag_values=values,
    )


class Drawing(NamedTuple):
    """What the flags ask for. `frames`: positions in the test split, or None."""

    figure: str
    runs: list[str]
    data: list[str]
    out: Path
    columns: int | None
    frames: tuple[int, ...] | None
    frames_seed: int | None
    episode: int
    fps: float
    format: str


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> Drawing:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    if values.figure is None:
        raise UserError(f"--figure is needed: one of {', '.join(FIGURES)}")
    if not values.runs:
        raise UserError("--runs is needed: the run folders to show, separated by commas")
    if values.frames is not None and values.columns is not None:
        raise UserError("--frames and --columns: give one, each frame is a column")
    if values.figure == "video":
        check_rate(values.format, values.fps)
    else:
        common.refuse_flags(values, ("episode", "fps", "format"), "without --figure=video")
    return Drawing(
        values.figure,
        values.runs,
        values.data,
        Path(values.out),
        values.columns,
        _parse_frames(values.frames),
        values.frames_seed,
        values.episode,
        values.fps,
        values.format,
    )


def _parse_frames(words):
    if words == []:
        raise UserError("--frames: name at least one frame, or leave it out")
    return None if words is None else common.parse_tuple("frames", words, int)
