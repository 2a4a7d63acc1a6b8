"""Draws a figure of the papers from trained runs and frame stores.

  python -m run.figures --figure=10 --runs=runs/mspacman_permakey_quick_seed0 \\
    --data=data/mspacman_quick

writes figures/figure_10.png and figures/figure_10.pdf. docs/figures.md has the commands for every
figure, from nothing to the picture.
"""

from flags import common
from flags import figures as figure_flags


def main(command):
    # TensorFlow takes seconds to load; wrong flags are refused before.
    from permakey_tf.figures import recipes as paper_figures
    from permakey_tf.figures.runs import FrameChoice, open_shown_runs
    from permakey_tf.system import disk

    kinds = (command.format,) if command.figure == "video" else ("png", "pdf")
    disk.check_place(command.out, *(f"figure_{command.figure}.{kind}" for kind in kinds))
    runs = open_shown_runs(command.runs, command.data)
    for run in runs:
        if run.seen_other_frames:
            print(f"note: {run} was trained on another store than {run.store.path}")
    choice = FrameChoice(
        command.frames, command.frames_seed, command.columns, command.episode, command.fps
    )
    picture = paper_figures.make(command.figure, runs, choice)
    stem = command.out / f"figure_{command.figure}"
    for path in paper_figures.save(picture, stem, command.format):
        print(f"figure: {path}")
    if picture.caption:
        print(f"shown: {picture.caption}")


if __name__ == "__main__":
    common.start(figure_flags, main)
