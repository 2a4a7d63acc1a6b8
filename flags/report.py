"""Flags of `python -m run.report`: which runs, which table, where to."""

from pathlib import Path
from typing import NamedTuple

from absl import flags as absl_flags

from flags import common
from permakey_tf.errors import UserError


class Reporting(NamedTuple):
    """What the flags ask for."""

    runs: list[str]
    table: int | None
    curves: bool
    metric: str
    statistic: str
    out: Path
    collect: Path | None


def define(values: absl_flags.FlagValues = absl_flags.FLAGS) -> None:
    """Defines all flags; call once, before they are parsed."""
    common.define_paths(
        "runs", None, "Folders, comma-separated; all runs in and under them are read.", values
    )
    absl_flags.DEFINE_integer(
        "table",
        None,
        "Table of the paper to set our scores beside: 1 Atari, 2 noisy Atari, 3 number of "
        "keypoints.",
        lower_bound=1,
        upper_bound=3,
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "curves", False, "Draw learning curves over the training seeds.", flag_values=values
    )
    absl_flags.DEFINE_string(
        "metric",
        "validation/score",
        "--curves: the column of metrics.csv that is drawn.",
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "statistic",
        "iqm",
        ["iqm", "mean"],
        "--curves: what is taken over the runs at each step.",
        flag_values=values,
    )
    common.define_path(
        "collect",
        None,
        "Folder into which tests and the metrics of their runs are copied, to be kept, such as "
        "docs/experiments/agents; reports read them there.",
        values,
    )
    common.define_path(
        "out", None, "Folder for the files. Unset: report in the first of runs.", values
    )


def from_flags(values: absl_flags.FlagValues = absl_flags.FLAGS) -> Reporting:
    """Checks all flags together. Raises UserError naming the flag that is wrong."""
    runs = values.runs
    if not runs:
        raise UserError("--runs=FOLDER,... must name the folders of the runs")
    for folder in runs:
        if not Path(folder).is_dir():
            raise UserError(f"--runs={folder}: no such folder")
    collect = Path(values["collect"].value) if values["collect"].value else None
    if values.table is None and not values.curves and not collect:
        raise UserError(
            "--table=1, 2 or 3, or --curves must say what to report, or --collect where to copy"
        )
    if values.table is None and not values.curves:
        common.refuse_flags(values, ("out",), "without --table or --curves")
    if not values.curves:
        common.refuse_flags(values, ("metric", "statistic"), "without --curves")
    out = Path(values.out or Path(runs[0], "report"))
    asked = (values.table, values.curves, values.metric, values.statistic)
    return Reporting(runs, *asked, out, collect)
